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
# # What you may have read, and what is so
#
# YOLOv5 never had a paper. What people know of it comes from posts, videos and comments in code, copied from one to the
# next, and some of it is wrong. This page collects statements that are widely read. Below each stands a cell that asks
# the library, which computes what YOLOv5 computes. Do not believe the text either: change the cell and run it again.
#
# The other notebooks explain why things are so; each section names its notebook. At the end there is a table of the
# generations, and a reading list.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
import numpy as np
import torch

import yolo_lite as yl
from walkthrough import row, show_histogram, show_image, show_series, show_table
from yolo_lite.augment.warp import draw_warp

hyp = yl.Hyperparameters()  # YOLOv5's defaults
# random weights: what is asked here does not depend on them
model = yl.create_model("yolov5n").eval()

# %% [markdown]
# ## Pictures
#
# ### "scale: 0.5 halves the picture, translate: 0.1 moves it by a tenth"
#
# Both are *half-widths of a range*. `scale` 0.5 is a zoom between 0.5 and 1.5, `translate` 0.1 a shift between -0.1 and
# +0.1 of the side. Every value in between is equally likely: half of all pictures are enlarged.
# ([02](02_augmentation.ipynb))

# %%
generator = np.random.default_rng(0)
draws = [draw_warp(hyp, 640, generator) for _ in range(10_000)]
zoom, shift = np.array([d.scale for d in draws]), np.array([d.translate[0] - 0.5 for d in draws])
print(f"zoom {zoom.min():.2f} to {zoom.max():.2f}, shift {shift.min():+.2f} to {shift.max():+.2f} of the side")
row(show_histogram(zoom, x_label="zoom"), show_histogram(shift, x_label="shift, fraction of the side"))

# %% [markdown]
# **What to notice**
# - Two flat histograms: no value is preferred. The middle of the first is 1, the picture as it is.
#
# ### "The padding is 114 because that is zero after normalisation"
#
# It would be, nearly, in a network that subtracts ImageNet's mean colour and divides by its standard deviation: the
# mean of those means is 114.5. YOLOv5 does neither. It divides by 255, and 114 becomes 0.447. A pixel of 0 is black.
# So 114 is a plain middle gray, and convolutions do see it. ([01](01_data.ipynb))

# %%
# ImageNet's, of red, green, blue
mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
print(f"what YOLOv5 gets: {114 / 255:.3f};  255 times ImageNet's mean: {255 * mean.mean():.1f}")
print("114, if it were normalised:", ((114 / 255 - mean) / deviation).round(2))

# %% [markdown]
# ## The network
#
# ### "SPPF pools with windows of 5, 10, 15 and 20", "SPPF has four poolings"
#
# Three poolings of 5 x 5 stand in a row; the fourth part that is concatenated is the map itself. A window of 5 over a
# window of 5 reaches 2 further on each side, so the windows are **5, 9 and 13**. One bright pixel shows it.
# ([03](03_model_layer_by_layer.ipynb))

# %%
from yolo_lite.model.blocks import in_a_row

spot = torch.zeros(1, 1, 21, 21)
spot[..., 10, 10] = 1
pool = model.layers[9].m  # the pooling of the network's own SPPF
windows = in_a_row(pool, spot)[0]  # (4, 21, 21) the map, pooled once, twice, three times
widths = windows.amax(1).sum(1).int().tolist()
assert widths == [1, 5, 9, 13]
row(*(show_image(w, title=f"{n} wide") for w, n in zip(windows, widths, strict=True)))

# %% [markdown]
# **What to notice**
# - From left to right: the map, then pooled once, twice and three times. The white squares are 5, 9 and 13 pixels wide.
#
# ### "C3 comes from the C3 paper"
#
# The paper with C3 in its title (*Concentrated-Comprehensive Convolution*,
# [arXiv 1812.04920](https://arxiv.org/abs/1812.04920)) is about something else. YOLOv5's C3 is a **CSP bottleneck with
# three convolutions**, from CSPNet (Wang and others 2019, [arXiv 1911.11929](https://arxiv.org/abs/1911.11929)), with one
# change: the input is not cut into two halves of its channels. Both branches read all of it, through a 1x1 convolution
# each. ([03](03_model_layer_by_layer.ipynb), [12](12_backbones.ipynb))

# %%
c3 = model.layers[4]
rows = [[name, conv.conv.in_channels, conv.conv.out_channels] for name, conv in
        (("cv1, before the bottlenecks", c3.cv1), ("cv2, past them", c3.cv2), ("cv3, after both", c3.cv3))]
assert rows[0][1] == rows[1][1]
show_table(["convolution", "channels in", "channels out"], rows)

# %% [markdown]
# ### "YOLOv5 has a decoupled head"
#
# A **decoupled head** has separate convolutions for boxes and for classes: YOLOX, YOLOv6 and YOLOv8 have it. YOLOv5's
# head is one 1x1 convolution for each level; box, objectness and classes come out of it together.
# ([13](13_anchor_free.ipynb))

# %%
def convolutions(name):
    head = yl.create_model(name).layers[-1]
    return sum(isinstance(part, torch.nn.Conv2d) for part in head.modules())

show_table(["network", "levels", "convolutions in the head"], [[n, 3, convolutions(n)] for n in ("yolov5n", "yolov8n")])

# %% [markdown]
# ## Anchors and targets
#
# ### "Above an IoU of 0.7 an anchor is positive, below 0.3 negative"
#
# That is the rule of the **region proposal network** (RPN) of Faster R-CNN, a *two-stage* detector. YOLOv5 does not ask
# for an IoU. It compares width with width and height with height: each may differ by a factor below 4.
# Two boxes with the same centre and an IoU of 0.07 match. ([05](05_build_targets.ipynb))

# %%
from yolo_lite.loss.targets import ratio_test

# the smallest anchor, 10 x 13
size, anchor = torch.tensor([[38.0, 50.0]]), model.anchors[0, :1]
test = ratio_test(size, anchor)
boxes = [torch.cat((torch.zeros(1, 2), wh), 1) for wh in (size, anchor)]  # the same centre
print(f"IoU {yl.bbox_iou(*boxes, 'iou').item():.3f}, largest factor {test.worst.item():.2f}:",
      "it matches" if test.passed else "it does not match")  # fmt: skip

# %% [markdown]
# ### "One anchor in one cell is responsible for an object"
#
# So it was in YOLOv2 and v3; in YOLOv1, which has no anchors, it was one of two boxes. In YOLOv5 every anchor that passes is matched, on all three levels, in up to three cells:
# up to 27 predictions learn the same object. ([05](05_build_targets.ipynb))

# %%
batch = yl.tour_batch()
grids = [(640 // s, 640 // s) for s in (8, 16, 32)]
matches = yl.build_targets(batch.targets, grids, model.anchors, model.strides)
print(f"{len(batch.targets)} objects, {sum(len(m.cls) for m in matches)} matches; at stride 8, 16, 32:",
      [len(m.cls) for m in matches])

# %% [markdown]
# ### "Seven objects" that are nine, and numbers that nobody can rerun
#
# A widely read walk through `build_targets` speaks of seven objects in a picture of COCO whose label file has nine rows.
# Another part of it prints 35 pairs and 103 matches for a batch of 43 rows. Only these nine of them are known, so that
# cannot be repeated. What the nine rows lead to can. ([05](05_build_targets.ipynb) shows the function line by line.)

# %%
rows = """53 .396669 .479963 .793338 .588065
0 .321526 .212996 .643052 .16726
60 .420099 .496443 .840199 .563289
0 .97439 .539114 .0512177 .469156
0 .62153 .994613 .0269818 .0107708
0 .21751 .992081 .076763 .0158359
6 .37533 .892184 .75066 .215629
6 .781094 .986248 .0703293 .0275012
0 .927958 .812408 .0307235 .0600933"""
nine = torch.tensor([[0.0, *map(float, line.split())] for line in rows.splitlines()])  # (9, 6) image, class, box

# %%
levels = yl.build_targets(nine, grids, model.anchors, model.strides)
pairs = [ratio_test(nine[:, 4:] * 640, anchors).passed.sum().item() for anchors in model.anchors]
numbers = [[stride, pair, len(m.cls)] for stride, pair, m in zip((8, 16, 32), pairs, levels, strict=True)]
assert [row[1:] for row in numbers] == [[9, 25], [6, 18], [10, 30]]
show_table(["stride", "object and anchor pairs that pass", "matches, with the neighbour cells"], numbers)

# %% [markdown]
# **What to notice**
# - A pair has up to three cells, so 9 pairs could become 27 matches. One object, matched to two anchors, has its centre in
#   the lower half of the last row, y = 79.57 of 80. There is no cell below, so two are missing.
#
# ### "Anchors are replaced below a recall of 99.5 %"
#
# The limit is **0.98**: the best possible recall, the fraction of objects that some anchor is matched to. At 0.98 or
# below YOLOv5 looks for other anchors, and takes them only if they are better. The 0.995 is another number, below.
# ([04](04_grids_and_anchors.ipynb))

# %%
from yolo_lite.loss.anchors import KEEP_ABOVE

fitting, tiny = torch.full((990, 2), 50.0) + torch.arange(990)[:, None] / 50, torch.full((10, 2), 2.0)
# 1 % that no anchor is matched to
few = yl.suggest_anchors(torch.cat((fitting, tiny)), model.anchors, generations=20)
# 2.4 % that no anchor is matched to
many = yl.suggest_anchors(torch.cat((fitting[:400], tiny)), model.anchors, generations=20)
for fit in (few, many):
    print(f"recall {fit.before.best_possible_recall:.3f}: {'replaced' if fit.replace else 'kept'} (limit {KEEP_ABOVE})")

# %% [markdown]
# ## The loss
#
# ### "The objectness of a positive is trained towards 1"
#
# In YOLOv3 it is. In YOLOv5 the target is the overlap (CIoU) of the predicted box and its object, so a badly placed box
# learns that it is badly placed. ([06](06_loss.ipynb))

# %%
with torch.no_grad():
    maps = model.train()(batch.images / 255)
    levels = model.criterion(hyp).levels(maps, batch.targets)
target = torch.cat([level.overlap.clamp(min=0) for level in levels])
assert target.max() < 1
show_histogram(target.numpy(), title="Objectness target of each match", x_label="CIoU, untrained network")

# %% [markdown]
# **What to notice**
# - None is 1. An untrained network puts a box of about its anchor's size around each cell, and most overlap their object
#   little.
#
# ### "Classes are a softmax"
#
# In YOLOv2 they are. From YOLOv3 on each class is a yes or no of its own (a sigmoid): scores need not sum to 1, and a box
# may be a "person" and a "woman". YOLOv1 had neither: plain numbers and squared errors. ([11](11_losses_through_time.ipynb))

# %%
scores = maps[0][0, 0, 0, 0, 5:].sigmoid()
print("80 class scores of one prediction sum to", round(scores.sum().item(), 2))
assert abs(scores.sum() - 1) > 1e-3

# %% [markdown]
# ### "All YOLOs since v3 use CIoU and objectness"
#
# CIoU comes with v4 and is in v5, v7, v8, v9 and YOLO11. YOLOv6 uses GIoU, in its small networks SIoU. v6,
# v8, v9 and YOLO11 have no objectness. One sees it in the number of channels: 4 + 1 + 80 for an
# anchor with objectness, 64 + 80 for a point without (64: four distributions of 16 bins).
# ([13](13_anchor_free.ipynb))

# %%
def numbers_for_each(name):
    with torch.no_grad():
        return yl.create_model(name).train()(torch.zeros(2, 3, 64, 64))[0].shape[-1]

names = ("darknet-yolov2-tiny", "darknet-yolov3-tiny", "yolov4-tiny", "yolov5n", "yolov8n", "yolov9t", "yolo11n")
show_table(["network", "numbers for each prediction, 80 classes"], [[n, numbers_for_each(n)] for n in names])

# %% [markdown]
# ## Training
#
# ### "The learning rate starts at 1.0"
#
# The plots that show 1.0 show a *factor*. The rate is `lr0` times the factor, 0.01 at the start and `lr0` times `lrf`,
# 0.0001, at the end. Before that comes warm-up: weights start at 0, biases at 0.1. ([08](08_training_loop.ipynb))

# %%
from yolo_lite.train.schedule import Schedule

schedule = Schedule(hyp, epochs=300, batches=100, batch_size=64)
rates = [schedule.at(i) for i in range(1500)]
print(f"factor {schedule.factor(0):.2f} to {schedule.factor(300):.2f}; rate at its end {hyp.lr0 * schedule.factor(300):.6f}")
show_series({"weights": [r.other_lr for r in rates], "biases": [r.bias_lr for r in rates]},
            x_label="iteration, the first 5 % of the run", y_label="learning rate")

# %% [markdown]
# **What to notice**
# - Biases come down from 0.1 and weights up from 0 during the first 300 iterations (3 epochs); then both fall together.
#
# ### "Weight decay acts on all parameters"
#
# On the weights of convolutions only. Biases and BatchNorm's scales have none. ([08](08_training_loop.ipynb))

# %%
from yolo_lite.train.optim import parameter_groups

groups = parameter_groups(model)
rows = [[name, f"{sum(p.numel() for p in group):,}", "yes" if name == "weights" else "no"]
        for name, group in groups._asdict().items()]
show_table(["group", "parameters of yolov5n", "weight decay"], rows)

# %% [markdown]
# ## Detection and its measure
#
# ### "The confidence is the objectness"
#
# It is objectness times the best class score. And suppression works within a class: two boxes in the same place with
# different classes both stay. ([09](09_inference_and_map.ipynb))

# %%
# one picture, two boxes: x, y, w, h, objectness, two classes
same_place = torch.zeros(1, 2, 7)
same_place[0, :, :5] = torch.tensor([50.0, 50, 40, 40, 0.8])
same_place[0, 0, 5], same_place[0, 1, 6] = 0.9, 0.7
found = yl.non_max_suppression(same_place)[0]
assert len(found) == 2
show_table(["confidence", "class"], [[f"{conf:.2f}", int(cls)] for *_, conf, cls in found.tolist()])

# %% [markdown]
# ### "A perfect detector has an AP of 1", "AP is AP"
#
# By COCO's rule it has. By YOLOv5's rule a perfect detector has **0.995**: its curve is closed with a point at recall 1
# and precision 0, and the last of 100 trapezoids is half empty. That is the 99.5 % that people report as their
# result. For the same detections both rules can differ by .1: right, wrong, right, wrong, right.
# ([09](09_inference_and_map.ipynb))

# %%
def ap(correct, rule):
    conf, cls = np.linspace(0.9, 0.1, len(correct)), [0] * len(correct)
    return yl.average_precision(np.array(correct, bool)[:, None], conf, cls, [0] * 5, rule).ap.item()

perfect, mixed = [1, 1, 1, 1, 1], [1, 0, 1, 0, 1]
show_table(["rule", "perfect", "right, wrong, right, wrong, right"],
           [[rule, f"{ap(perfect, rule):.4f}", f"{ap(mixed, rule):.4f}"] for rule in ("coco", "yolov5")])

# %% [markdown]
# ## The generations, in one table
#
# | | positives | box loss | objectness target | classes |
# |---|---|---|---|---|
# | YOLOv1 (2015) | the better of two boxes of the centre's cell | squared errors, square roots of the sides | the IoU | squared errors |
# | YOLOv2 (2016) | the best anchor in the centre's cell | squared errors | the IoU | softmax |
# | YOLOv3 (2018) | the best of nine anchors | squared errors, BCE for the centre | 1 | sigmoid, BCE |
# | YOLOv4 (2020) | all anchors above an IoU of shapes | CIoU (Darknet's gradient is another one: [11](11_losses_through_time.ipynb), section 10) | 1 | sigmoid, BCE |
# | YOLOv5 (2020) | all anchors by the ratio test, in up to three cells | CIoU | CIoU | sigmoid, BCE |
# | YOLOv6 (2022) | points, task-aligned | GIoU, SIoU in small networks | none | varifocal |
# | YOLOv7 (2022) | v5's candidates, chosen by SimOTA | CIoU | CIoU | sigmoid, BCE |
# | YOLOv8 (2023) | points, task-aligned | CIoU and DFL | none | BCE, soft targets |
# | YOLOv9 (2024) | as YOLOv8, with an auxiliary branch | CIoU and DFL | none | BCE, soft targets |
#
# This library can build all of them but v6. [11](11_losses_through_time.ipynb), [13](13_anchor_free.ipynb) and
# [14](14_gradients_and_words.ipynb) show how they differ; networks of one size, trained alike, are compared in
# `benchmarks/RESULTS.md`.
#
# ## By hand
#
# Does the 0.995 follow? A perfect detector has precision 1 at every recall, but for the closing point. YOLOv5 reads the
# curve at 101 recalls, 0 to 1, and adds up trapezoids.

# %%
recall = np.linspace(0, 1, 101)
precision = np.where(recall < 1, 1.0, 0.0)  # closed with a 0
by_hand = float(((precision[1:] + precision[:-1]) / 2 * np.diff(recall)).sum())
by_library = ap(perfect, "yolov5")
assert abs(by_hand - by_library) < 1e-9
print(f"by hand {by_hand:.4f}, by the library {by_library:.4f}")

# %% [markdown]
# ## Reading list
#
# **Textbooks**
# - *Dive into Deep Learning*, Zhang, Lipton, Li, Smola: convolutions, optimisers and detection, with code that runs.
# - *Understanding Deep Learning*, Prince: the clearest figures on convolutions, residual networks and training.
# - *Computer Vision: Algorithms and Applications*, Szeliski: what came before, and the geometry behind augmentation.
#
# **Papers, in the order of this tour**
# - *You Only Look Once*, Redmon and others 2015, [arXiv 1506.02640](https://arxiv.org/abs/1506.02640): one look, one
#   loss. Then YOLO9000 ([1612.08242](https://arxiv.org/abs/1612.08242)) for anchors, YOLOv3
#   ([1804.02767](https://arxiv.org/abs/1804.02767)) for three levels; it is fun to read.
# - *Feature Pyramid Networks*, Lin and others 2016, [1612.03144](https://arxiv.org/abs/1612.03144), and *PANet*, Liu
#   and others 2018, [1803.01534](https://arxiv.org/abs/1803.01534): the neck.
# - *CSPNet*, Wang and others 2019, [1911.11929](https://arxiv.org/abs/1911.11929): where C3 comes from.
# - *Focal Loss for Dense Object Detection*, Lin and others 2017, [1708.02002](https://arxiv.org/abs/1708.02002): why so
#   many negatives are a problem.
# - *Distance-IoU Loss*, Zheng and others 2019, [1911.08287](https://arxiv.org/abs/1911.08287): DIoU and CIoU, whose
#   terms notebook 07 takes apart.
# - *YOLOv4*, Bochkovskiy and others 2020, [2004.10934](https://arxiv.org/abs/2004.10934): mosaic, and forty tricks
#   measured one by one.
# - *FCOS*, Tian and others 2019, [1904.01355](https://arxiv.org/abs/1904.01355): points in place of anchors. *TOOD*,
#   Feng and others 2021, [2108.07755](https://arxiv.org/abs/2108.07755): the task-aligned metric. *Generalized Focal
#   Loss*, Li and others 2020, [2006.04388](https://arxiv.org/abs/2006.04388): distances as distributions.
# - *Faster R-CNN*, Ren and others 2015, [1506.01497](https://arxiv.org/abs/1506.01497): two stages; and *DETR*, Carion
#   and others 2020, [2005.12872](https://arxiv.org/abs/2005.12872): none of anchors, grids and suppression. Read both
#   to see what YOLO is not.
# - *TIDE*, Bolya and others 2020, [2008.08115](https://arxiv.org/abs/2008.08115): which errors a detector makes;
#   WhyExplorer sorts by it.
#
# **Open implementations**
# - Detectron2 and DETR (Apache-2.0): two-stage detectors and transformers, cleanly written.
# - YOLOX (Apache-2.0): a decoupled head without anchors, on the way from v5 to v8.
# - nanoGPT (MIT): not a detector, but how short a training loop can be.
#
# ## Questions
#
# <details><summary>Somebody reports "mAP50 0.995 on my data". What do you ask first?</summary>
#
# Which rule. By YOLOv5's 0.995 is perfect, so either the task is very easy, or validation pictures are in the training
# set.
# </details>
#
# <details><summary>A text says "we use YOLO's IoU threshold of 0.5 for positive anchors". What is wrong?</summary>
#
# YOLOv5 has no such threshold; a ratio of sides decides. 0.5 is SSD's and RetinaNet's, and also the IoU at which mAP50
# counts a detection as right, which is another thing.
# </details>
#
# <details><summary>Why is it worth knowing that three 5x5 poolings reach 13 and not 15?</summary>
#
# Because every stack of windows behaves so: n windows of k reach n(k - 1) + 1. It is the rule of receptive fields.
# </details>

# %% [markdown]
# **On to the [gallery](90_gallery.ipynb)**: every explorer on one page, with your pictures and your model.
