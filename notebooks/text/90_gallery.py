# ---
# jupyter:
#   jupytext:
#     formats: ipynb,text//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Gallery: everything you can touch
#
# Each tool on one line and in one cell. Run the notebook, then drag, type and click. What you see without running it
# are still pictures of the same tools.
#
# All of them take your own things: `images=`, `targets=`, `model=`, `hyp=` where they make sense. Every setting can also
# be set from Python (`anchors.anchor_t = 2`), read (`anchors.result`), taken back (Ctrl+Z, or `anchors.undo()`), and
# copied as code that runs in a cell of its own ("copy as code"). Only a picture, a sentence and the most important control
# are open at first: the buttons below them unfold the other settings, tables and curves, and those beside the title set
# what is worth a look (`anchors.show_story("anchor_t 2")`).

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
import walkthrough as wt
import yolo_lite as yl

# %% [markdown]
# ## The recorder: every line, every tensor
#
# **trace** runs any Python function and keeps, for each line, what it changed. Asked in [05](05_build_targets.ipynb):
# *why is this anchor rejected?*

# %%
batch = yl.tour_batch()
model = yl.create_model("yolov5n")
grids = [(80, 80), (40, 40), (20, 20)]
record = wt.trace(yl.build_targets)(batch.targets, grids, model.anchors, model.strides)
print("what the function returned:", len(record.result), "levels;", f"{len(record.steps)} steps of the recording")

# %% [markdown]
# **Stepper** walks through such a record, forward and back.

# %%
wt.Stepper(record)

# %% [markdown]
# ## The network
#
# **LayerExplorer**: the graph of all layers; click one to see its maps, and what one of its cells can see
# ([03](03_model_layer_by_layer.ipynb)).

# %%
wt.LayerExplorer()

# %% [markdown]
# **BackboneExplorer**: turn one choice of a backbone (block, width, depth, pooling, where it halves), and see what it does
# to the stages, to what a cell sees and to the cost ([12](12_backbones.ipynb)).

# %%
wt.BackboneExplorer()

# %% [markdown]
# ## Pictures
#
# **AugmentationLab**: every augmentation with its settings; boxes that were dropped, and why
# ([02](02_augmentation.ipynb)).

# %%
wt.AugmentationLab()

# %% [markdown]
# ## Targets
#
# **AnchorExplorer**: which anchors and cells are matched to an object, and why an anchor is rejected
# ([04](04_grids_and_anchors.ipynb), [05](05_build_targets.ipynb)).

# %%
anchors = wt.AnchorExplorer(picture=2)
anchors

# %% [markdown]
# ## Losses
#
# **LossExplorer**: gains, balance, focal loss and smoothing, and whose gradient they move
# ([06](06_loss.ipynb)).

# %%
losses = wt.LossExplorer()
losses

# %% [markdown]
# **link** makes explorers move together: anchor_t above now moves the loss below it. On a wide page both stand side by
# side with `ipywidgets.HBox([anchors, losses])`, each with its share of the width.

# %%
unlink = wt.link(anchors, losses)
anchors.anchor_t = 2.0
print("the loss follows, its anchor_t is", losses.anchor_t)
anchors.anchor_t = 4.0

# %% [markdown]
# **IouPlayground**: two boxes, four overlaps, all their terms and gradients, and the way down
# ([06](06_loss.ipynb), [07](07_backpropagation.ipynb)). From one start GIoU often gets farthest; which loss is better,
# and when, needs many: 06, section 4, has three hundred.

# %%
wt.IouPlayground()

# %% [markdown]
# **DistributionExplorer**: a side of a box as probabilities of distances, as YOLOv8 and later predict it; drag them or the
# target, and see the loss (DFL) and its gradient ([13](13_anchor_free.ipynb)). `model=` takes a detector with such a head.

# %%
wt.DistributionExplorer()

# %% [markdown]
# **FamilyExplorer**: one picture and one object through any two generations: YOLOv1 to v5, v7 to v9 and 11, YOLO-World,
# SSD, RetinaNet and FCOS. It stands in [11](11_losses_through_time.ipynb), section 7; `wt.FamilyExplorer()` in a cell of your own opens it here. (Its
# picture would make this page too large for some viewers.)

# %% [markdown]
# ## Gradients
#
# **GradientExplorer**: the gradients in layers and cells, by loss
# ([07](07_backpropagation.ipynb)).

# %%
wt.GradientExplorer()

# %% [markdown]
# ## Training
#
# **ScheduleExplorer**: learning rates, warm-up, momentum and accumulation of each group ([08](08_training_loop.ipynb)).

# %%
wt.ScheduleExplorer()

# %% [markdown]
# **LiveTraining**: a real training run that you can start, pause, step and interfere with. It stands in
# [08](08_training_loop.ipynb), section 10, and shows nothing before it has trained; `wt.LiveTraining()` in a cell of your
# own opens it here.

# %% [markdown]
# ## Predictions
#
# **NmsExplorer**: from thousands of boxes to a few; which box suppressed which ([09](09_inference_and_map.ipynb)).

# %%
wt.NmsExplorer()

# %% [markdown]
# **WhyExplorer**: every error by its kind (missed, wrong class, badly placed, class and place, duplicate, background), and for
# the one you click the reason: which cell and anchor, what it said, which threshold or which other box removed the right one
# ([09](09_inference_and_map.ipynb)). `images=` takes your dataset or its `data.yaml`, `model=` your weights.

# %%
why = wt.WhyExplorer()
why

# %% [markdown]
# The same sorting without an explorer, over a dataset, with the average precision that each kind costs
# ([TIDE](https://arxiv.org/abs/2008.08115)). The library calls the kinds what TIDE calls them: *classification* is the
# explorer's "wrong class", *localization* its "badly placed", *both* its "class and place".

# %%
from yolo_lite.datasets.shapes import Shapes

scenes = yl.YoloDataset(Shapes("val", 256, 48), img_size=256)
metrics = yl.evaluate(yl.load("shapes-n"), scenes, rule="yolov5", keep_detections=True)
costs = yl.error_costs(metrics)
print("average precision if every error were corrected:", round(yl.corrected_ap(metrics, costs.costs), 6))
assert min(costs.costs["classification"], costs.costs["localization"]) > 1.5 * costs.costs["duplicate"] > 0
wt.show_bars(costs.costs, "average precision that each kind costs")

# %% [markdown]
# **What to notice**
# - A bar says how much the average precision would rise if the errors of this kind alone were corrected.
# - Wrong classes and badly placed boxes cost this network most, duplicates and boxes on the background much less.
