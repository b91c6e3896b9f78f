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
# # Start here: from a photograph to a network that has learnt a little
#
# YOLO looks at a picture once and says what is in it and where. This notebook walks the whole way, in fifteen
# steps: a photograph becomes numbers, the numbers go through 25 layers, three grids of predictions come out, some of
# them are compared with the truth, and every weight of the network is moved a little so that the next answer is
# better. That is all that training does; it only does it many thousand times.
#
# Everything you see comes from the functions that training calls. Change a number, run the cell again, and look.
#
# ## The tour
#
# This notebook is the overview. Each of the others takes one step of it apart, answers the questions that people ask
# about it, and lets you touch it. Each runs in well under a minute; the time is for reading and trying.
#
# | notebook | what it answers | time |
# |---|---|---|
# | [01_data](01_data.ipynb) | How does a folder of pictures become a batch? Why is the padding gray? What if a label is wrong? | 30 min |
# | [02_augmentation](02_augmentation.ipynb) | What happens to a picture before the network sees it, and which boxes are lost? | 40 min |
# | [03_model_layer_by_layer](03_model_layer_by_layer.ipynb) | What do the 25 layers do, and what does each cost? | 60 min |
# | [04_grids_and_anchors](04_grids_and_anchors.ipynb) | What is an anchor, and where do 25,200 boxes come from? | 40 min |
# | [05_build_targets](05_build_targets.ipynb) | Which prediction is responsible for which object, and why is this anchor rejected? | 40 min |
# | [06_loss](06_loss.ipynb) | What is each prediction trained towards, and what do the loss weights do? | 50 min |
# | [07_backpropagation](07_backpropagation.ipynb) | How does one number become a change of every weight, and how do people get it wrong? | 60 min |
# | [08_training_loop](08_training_loop.ipynb) | Why warm-up, accumulation, averages? What goes wrong without? | 40 min |
# | [09_inference_and_map](09_inference_and_map.ipynb) | How do thousands of boxes become a few, and what is mAP? | 40 min |
# | [10_real_weights_and_your_data](10_real_weights_and_your_data.ipynb) | How do I use it: photographs, official weights, my own data? | 40 min |
# | [11_losses_through_time](11_losses_through_time.ipynb) | Why square roots, anchors, logistic classes, CIoU? YOLOv1 to v5 on one object | 60 min |
# | [12_backbones](12_backbones.ipynb) | Which choices make a backbone, and what does each of them change? | 50 min |
# | [13_anchor_free](13_anchor_free.ipynb) | What replaces anchors: points, task-aligned assignment, distances as distributions? | 50 min |
# | [14_gradients_and_words](14_gradients_and_words.ipynb) | What does YOLOv9's auxiliary branch change, and how can a class be a word? | 50 min |
# | [90_gallery](90_gallery.ipynb) | What can I touch? All tools, one line each | 10 min |

# %%
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %% [markdown]
# ## 1. A photograph, and what is in it
#
# A detection dataset is pictures and, for each, a list of objects: a **class** and a **box**. The box is the smallest
# upright rectangle around what can be seen of the object.

# %%
import torch

import yolo_lite as yl
from walkthrough import approx, row
from walkthrough import show_assignment, show_bars, show_batch, show_feature_maps, show_grid, show_image, show_table

photos = yl.YoloDataset("photos")
photo, objects = photos.image(0), photos.objects(0)
print("height, width, colours:", photo.shape, photo.dtype, "- the first pixel is", photo[0, 0].tolist())
show_image(photo, objects, names=photos.names)

# %% [markdown]
# **What to notice**
# - The picture is an array of height x width x 3 numbers from 0 to 255 (red, green, blue), nothing else.
# - The labels say *what* and *where*, not *how to find it*. The network has to work that out by itself.

# %% [markdown]
# ## 2. One size for all: letterbox
#
# Photographs come in all sizes, but a batch is *one* tensor, so its pictures must agree. Stretching them would turn
# circles into eggs. A **letterbox** shrinks the picture until it fits and fills the rest with gray.

# %%
boxed = yl.letterbox(photo, 640, auto=False)
print(f"{photo.shape} -> {boxed.image.shape}: times {boxed.ratio:.4f}")
print(f"gray on the left and right: {boxed.pad[0]} pixels each, above and below: {boxed.pad[1]:.0f} each")
row(show_image(photo), show_image(boxed.image), titles=["as it was", "letterboxed"])

# %% [markdown]
# **What to notice**
# - Nothing is distorted: one ratio serves both sides.
# - `ratio` and `pad` are kept. They are needed once more at the very end, to carry boxes back to the photograph.

# %% [markdown]
# ## 3. A batch
#
# Training looks at several pictures at once. Ours are **mosaics**: four photographs that meet at a random point, then
# moved and scaled a little. So every batch is new, objects appear in every size, and the network cannot learn the
# pictures by heart. This batch is the same on every run (its seed is fixed), and the whole tour uses it.

# %%
batch = yl.tour_batch()
print("images ", tuple(batch.images.shape), batch.images.dtype)
print("targets", tuple(batch.targets.shape), batch.targets.dtype)
show_batch(batch, photos.names, columns=2)

# %% [markdown]
# ## 4. Targets: every object is six numbers
#
# The boxes of all four pictures lie in one table, because tables of different lengths do not stack. The first column
# says which picture a row belongs to. The box is given by its centre and its size, as fractions of the picture's sides:
# the same row is right for a picture of 640 pixels and for one of 320.

# %%
rows = [[int(image), photos.names[int(cls)], *box] for image, cls, *box in batch.targets[:6].tolist()]
show_table(["image", "class", "centre x", "centre y", "width", "height"], rows)

# %% [markdown]
# ## 5. The network: 25 layers
#
# YOLOv5n has 25 layers and 1.87 million weights. Its first ten layers, the **backbone**, turn the picture into ever
# smaller maps of ever more abstract features. The next fourteen, the **neck**, carry what was found back to the finer
# maps. The last one, the **head**, makes the predictions.

# %%
model = yl.create_model("yolov5n", names=photos.names)
print(model.summary(640))

# %% [markdown]
# ## 6. One layer after the other
#
# `forward_layers` runs the network and stops after each layer, so we can look inside. The weights are still random:
# what you see is what random edge detectors see. (`no_grad` says that we only look: PyTorch then keeps no notes for
# gradients, which would fill the memory.)

# %%
images = batch.images.float() / 255
kept = {}
with torch.no_grad():
    for layer, output in model.forward_layers(images[2:3]):
        if layer.index in (0, 2, 4, 9):
            kept[f"after layer {layer.index}, {layer.kind}"] = output
show_feature_maps(kept, count=8)

# %% [markdown]
# **What to notice**
# - Each map shows picture 2 of the batch, at half, a quarter, an eighth and a thirty-second of its size.
# - Early maps look like the photographs, late ones like blots: what is lost in *where* is meant to be won in *what*.

# %% [markdown]
# ## 7. Three grids of predictions
#
# The neck hands three maps to the head: P3, P4 and P5. On each, the picture is divided into square **cells** of 8, 16
# or 32 pixels (the map's **stride**), and each cell makes three predictions, one for each of its **anchors** (a typical
# box size). A prediction is 85 numbers: four for the box, one for "is there an object at all?" (the **objectness**), and
# one for each of the 80 classes.

# %%
with torch.no_grad():
    maps = model(images)
for raw, stride in zip(maps, model.strides):
    print(f"stride {stride:2}: {tuple(raw.shape)} = images, anchors, rows, columns, 5 + {model.num_classes}")
show_grid(batch.images[2], model.strides)

# %% [markdown]
# ## 8. 25,200 boxes for each picture
#
# Raw numbers become boxes by a formula with a sigmoid $\sigma$, which squeezes any number into 0 to 1:
#
# $$ x = (2\sigma(t_x) - 0.5 + \text{column}) \cdot \text{stride} \qquad w = (2\sigma(t_w))^2 \cdot \text{anchor} $$
#
# A centre can so leave its cell by half a cell, and a box can be up to four times its anchor, no more. That makes wild
# predictions impossible, and learning calm.

# %%
boxes = model.decode(maps)
sizes = [f"3 x {raw.shape[2]} x {raw.shape[3]}" for raw in maps]
print(" + ".join(sizes), "=", boxes.shape[1], "boxes for each picture, each of", boxes.shape[2], "numbers")

first = maps[0][0, 0, 0, 0]  # stride 8 (P3): picture 0, anchor 0, row 0, column 0
by_hand = (2 * first[0].sigmoid() - 0.5 + 0) * 8
print(f"x of the very first box: by hand {approx(by_hand, '.3f')}, by decode {approx(boxes[0, 0, 0], '.3f')} pixels")
assert torch.isclose(by_hand, boxes[0, 0, 0])

# %% [markdown]
# ## 9. Which anchor is responsible for which object?
#
# Of the 25,200 predictions of a picture, a handful must learn to say "here". YOLOv5 asks each anchor: is the object at
# most **four times** wider, narrower, higher or lower than you? It is matched to the anchors that say yes. Here is that
# test for one object.

# %%
from yolo_lite.loss.targets import ratio_test

image, cls, _, _, *size = batch.targets[batch.targets[:, 0] == 2][1].tolist()
wh = torch.tensor([size]) * 640  # pixels
print(f"a {photos.names[int(cls)]} of picture {image:.0f}, {wh[0, 0]:.0f} pixels wide and {wh[0, 1]:.0f} high")
test = ratio_test(wh, model.anchors.flatten(0, 1))
rows = zip(model.anchors.flatten(0, 1).tolist(), test.worst[:, 0].tolist(), test.passed[:, 0].tolist())
show_table(["anchor: width, height", "largest factor", "matched"], [[str(a), f"{w:.2f}", yes] for a, w, yes in rows])

# %% [markdown]
# **What to notice**
# - The nine anchors go from small (stride 8) over medium (16) to large (32).
# - One side that is off by more than four is enough to say no.

# %% [markdown]
# ## 10. Cells that are responsible
#
# The cell that holds the object's centre is responsible for it, and so are up to two neighbours that the centre is
# close to: three chances to learn instead of one. These predictions are the **positives**; all others are negatives.

# %%
matches = yl.build_targets(batch.targets, [raw.shape[2:4] for raw in maps], model.anchors, model.strides)
for match, raw, stride in zip(matches, maps, model.strides):
    print(f"stride {stride:2}: {len(match.cls):4} matches among {raw[..., 0].numel():6} predictions")
show_assignment(batch, matches, model.strides, image_index=2)

# %% [markdown]
# **What to notice**
# - Small objects are matched on the fine grid (stride 8, P3), large ones on the coarse one (stride 32, P5).
# - Neighbours are hatched: the cell beside the centre is responsible for the object as well.
# - Almost all predictions are negatives: they only have to learn to be silent.

# %% [markdown]
# ## 11. Three losses
#
# A **loss** is one number for how wrong the network is. Ours has three parts:
#
# - **box**: how badly the boxes of the matched cells overlap with their objects, $1 - \text{CIoU}$;
# - **obj**: for *every* cell, whether it says "object" where there is one and nothing elsewhere;
# - **cls**: for matched cells, whether they name the right class.
#
# This time the network runs with notes: each operation remembers what it did, for the way back in step 13.

# %%
maps = model(images)
criterion = model.criterion(yl.Hyperparameters(), img_size=640)
before = criterion(maps, batch.targets)
show_bars({"box": before.box, "obj": before.obj, "cls": before.cls}, title="the loss before training", y_label="loss")

# %% [markdown]
# ## 12. The same loss, taken apart by level
#
# The three grids add up. The fine one has 16 times as many cells as the coarse one, so nearly all of them are silent;
# its objectness is weighted up by 4 so that it is heard.

# %%
levels = criterion.levels(maps, batch.targets)
parts = {name: sum(getattr(level, name) for level in levels) for name in ("box", "obj", "cls")}
for name, part in parts.items():
    print(f"{name}: the three levels together {approx(part, '.4f')}, the loss {approx(getattr(before, name), '.4f')}")
    assert torch.isclose(part, getattr(before, name))
strides = [f"stride {stride}" for stride in model.strides]
row(*(show_bars(dict(zip(strides, (getattr(level, name) for level in levels))), title=name) for name in parts))

# %% [markdown]
# ## 13. Gradients: who is to blame?
#
# `backward` asks of every single weight: if you were a little larger, would the loss rise or fall, and how fast? The
# answer is the weight's **gradient**. It costs one pass through the network, from the last layer to the first.

# %%
before.total.backward()
weights = {str(k): list(layer.parameters()) for k, layer in enumerate(model.layers)}
norms = {name: torch.nn.utils.get_total_norm([w.grad for w in ws]) for name, ws in weights.items() if ws}
print(f"length of the gradient: layer 0 {approx(norms['0'])}, layer 24 {approx(norms['24'])}")
assert norms["0"] > 5 * norms["24"]
show_bars(norms, title="length of the gradient, layer by layer", y_label="gradient norm")

# %% [markdown]
# **What to notice**
# - Every layer that has weights gets a gradient. Layers 11, 12, 15, 16, 19 and 22 are missing: upsampling and
#   concatenation have nothing to change.
# - The early layers have the longest gradients here. The size of their maps is not why: layers 4 and 17 have the same
#   map, and the gradient of layer 4 is several times as long. On the way back a gradient grows, above all at BatchNorm;
#   [notebook 07](07_backpropagation.ipynb) measures it.

# %% [markdown]
# ## 14. One step
#
# Each weight moves a little against its gradient: $w \leftarrow w - \text{learning rate} \cdot \text{gradient}$. Then
# the same pictures again. The loss must be lower; that is the whole idea. The step is small because a gradient only
# gives the slope where we stand, not what comes behind the next hill.

# %%
torch.optim.SGD(model.parameters(), lr=0.0003).step()
with torch.no_grad():
    after = criterion(model(images), batch.targets)
print(f"total loss before {approx(before.total, '.4f')}, after one step {approx(after.total, '.4f')}")
assert after.total < before.total - 0.002
show_bars({"before": before.total, "after one step": after.total}, title="total loss", y_label="loss")

# %% [markdown]
# ## 15. Check: the loss of one prediction, by hand
#
# Take one matched prediction and compute its box by hand, with nothing but the formula of step 8. Its overlap with the
# object must be what the loss used.

# %%
level, match = levels[1], matches[1]
t = maps[1][match.image[0], match.anchor[0], match.row[0], match.col[0], :4].sigmoid()
width, height = ((2 * t[2:]) ** 2 * match.anchor_wh[0]).tolist()
x, y = (2 * t[:2] - 0.5).tolist()
overlap = yl.bbox_iou(torch.tensor([[x, y, width, height]]), match.box[:1])
print(f"the overlap (CIoU): by hand {approx(overlap, '.4f')}, in the loss {approx(level.overlap[0], '.4f')}")
assert torch.allclose(overlap, level.overlap[:1], atol=1e-6)

# %% [markdown]
# ## Your turn: write `my_decode`
#
# Raw numbers become boxes by two short formulas. Write them for many predictions at once, in pixels of the picture: with
# `s` the sigmoid of `t`, the centre is `(2 s - 0.5 + cell) * stride`, the size `(2 s)² * anchor`.
#
# Each notebook has one such step for you, right before its questions. Put your lines in place of the `...` and run the
# cell. `check` compares your function with the library's, on the objects of the tour batch and on random numbers. Where they
# differ, it shows the first number that does, and says which usual mistake has the same numbers. `check(my_decode).step()`
# opens the Stepper on your own lines.

# %%
import torch
from walkthrough import check

def my_decode(t, cell, anchor, stride):
    """Raw numbers to boxes.

    t: (m, 4) raw numbers. cell: (m, 2) column and row. anchor: (m, 2) width and height in pixels.
    stride: pixels per cell. Returns: (m, 4) x, y (centre), w, h in pixels.
    """
    ...

check(my_decode)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_decode(t, cell, anchor, stride):
#     s = t.sigmoid()
#     centre = (2 * s[:, :2] - 0.5 + cell) * stride
#     size = (2 * s[:, 2:]) ** 2 * anchor
#     return torch.cat((centre, size), 1)
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>A picture is 960 x 480 pixels and the network takes 640 x 640. What are ratio and padding?</summary>
#
# The ratio is 640 / 960 = 0.667, so the picture becomes 640 x 320, and 160 rows of gray go above and below it.
# `yl.letterbox` with `auto=False` says the same: try it with `numpy.zeros((480, 960, 3), "uint8")`.
# </details>
#
# <details><summary>An object is 100 pixels wide and 5 high. Is an anchor of 30 x 61 matched to it?</summary>
#
# No: the width is only 3.3 times the anchor's, but the height is 12.2 times smaller. One side too far off is enough.
# </details>
#
# <details><summary>Why does the loss not compare all 25,200 boxes with the objects?</summary>
#
# Most of the picture is background. Its boxes have nothing to be compared with; they only have to say "no object", and
# that is what the objectness loss asks of them.
# </details>
#
# **On to [01_data](01_data.ipynb)**: from a folder of pictures to a batch.
