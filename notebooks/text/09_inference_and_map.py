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
# # 9. From raw maps to detections, and from detections to one number
#
# A trained network does not say "a star, here". It gives 25,200 boxes, each with a score. This notebook
# turns those into a handful of detections. Then it asks how good they are, and takes the answer, **mean average
# precision** (mAP), apart until nothing of it is mysterious.
#
# It runs in about half a minute. A number behind ≈ may end in other digits on your computer: processors do not all add
# up in the same order. The `assert` below such a number stops the notebook where it is not what the text says.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

import yolo_lite as yl
from walkthrough import NmsExplorer, WhyExplorer, approx, row, show_bars, show_confusion
from walkthrough import show_image, show_precision_recall, show_series, show_table

# %% [markdown]
# ## 1. How many boxes?
#
# Each grid has three anchors in each cell. The count depends on the size of the input only:

# %%
def count_boxes(size, strides=(8, 16, 32), anchors=3):
    return sum(anchors * (size // stride) ** 2 for stride in strides)

show_table(["input", "boxes"], [[f"{size} x {size}", count_boxes(size)] for size in (256, 416, 640)])

# %% [markdown]
# We use a small network that comes with the library, trained on drawn shapes of 256 pixels, and a scene of that size that
# it has not been trained on.

# %%
# eval: BatchNorm uses what it learnt instead of this batch
model = yl.load("shapes-n").eval()
scenes = yl.YoloDataset("shapes", img_size=256, split="val")
scene = scenes[15]
with torch.no_grad():
    maps = model(scene.image[None] / 255)
    boxes = model.decode(maps)[0]  # (4032, 5 + 6): centre, size, objectness, class scores
print("maps:", [tuple(raw.shape) for raw in maps])
print("decoded:", tuple(boxes.shape))

# %% [markdown]
# ## 2. Thresholds
#
# Nearly all boxes are background: their **objectness** is close to 0.

# %%
silent = (boxes[:, 4] < 0.05).float().mean()
print("objectness below 0.05:", approx(silent, ".0%"), "of", len(boxes), "boxes")
assert silent > 0.9

# %% [markdown]
# A box counts when its objectness, and its **confidence**, exceed a threshold. Confidence is objectness times class
# score: "something is here" times "and it is a star". The order does not matter for the result; testing objectness first
# is only quicker, because it throws away most rows before the classes are looked at.

# %%
confidence, cls = (boxes[:, 4:5] * boxes[:, 5:]).max(1)  # the best class of each box
counts = {f"> {threshold}": int((confidence > threshold).sum()) for threshold in (0.001, 0.01, 0.1, 0.25, 0.5)}
show_bars(counts, title="boxes left by the threshold of confidence", y_label="boxes")

# %%
chosen = (boxes[:, 4] > 0.25) & (confidence > 0.25)
xyxy = yl.xywh_to_xyxy(boxes[chosen, :4])
print(approx(chosen.sum(), "d"), "boxes are left, fewer than one in twenty")
assert chosen.float().mean() < 1 / 20
replace(show_image(scene.image, xyxy), words="the scene with the boxes that are left")

# %% [markdown]
# **What to notice**
# - Most objects are found, and most of these many times over: by the cell of its centre, by the neighbours, by
#   several anchors.
# - That is not an accident. Notebook 05 showed that up to three cells and several anchors are *trained* to be responsible
#   for an object. So something must clean up afterwards.

# %% [markdown]
# ## 3. Non-maximum suppression by hand
#
# The rule is greedy: keep the box with the highest confidence. Remove every box of the same class that overlaps it by
# more than a threshold. Repeat with what is left.

# %%
def suppress_by_hand(xyxy, confidence, iou_thres=0.45):
    left = confidence.argsort(descending=True, stable=True).tolist()
    kept = []
    while left:
        best, *others = left
        kept.append(best)
        overlap = yl.box_iou(xyxy[best : best + 1], xyxy[others])[0]
        left = [other for other, iou in zip(others, overlap) if not iou > iou_thres]
    return kept

# %%
scores, classes = confidence[chosen], cls[chosen]
mine = []
for c in classes.unique():
    of_class = (classes == c).nonzero()[:, 0]
    mine += of_class[suppress_by_hand(xyxy[of_class], scores[of_class])].tolist()
(theirs,) = yl.non_max_suppression(boxes[None], conf_thres=0.25, iou_thres=0.45)
ours = xyxy[mine][scores[mine].argsort(descending=True)]
print("boxes kept: by hand", approx(len(ours), "d"), "and by the library", approx(len(theirs), "d"))
print("largest difference of a coordinate:", (ours - theirs[:, :4]).abs().max().item(), "pixels")
assert len(scene.labels) <= len(ours) < chosen.sum() / 5

# %%
labelled = show_image(scenes.image(15), scenes.objects(15), names=model.names)
pictures = row(labelled, show_image(scene.image, theirs, names=model.names), titles=["labels", "after suppression"])
replace(pictures, words="left the scene with its ten labels, right with the boxes that are left after suppression")

# %% [markdown]
# **What to notice**
# - Of about 160 boxes ten or so are left, most of them one for each object.
# - Suppression does not correct anything. A box of a wrong class stays if no surer one of *that* class covers it.

# %% [markdown]
# ## 4. One class at a time, with a trick
#
# A star in front of a tile overlaps it, and must not be suppressed by it. So each class is treated on its own. A loop
# over classes is slow; the trick is to move the boxes of class $c$ by $c \cdot 7680$ pixels. Then boxes of different
# classes cannot meet, and one pass does.

# %%
from yolo_lite.detect.nms import nms, separate_classes

two = torch.tensor([[10.0, 10, 60, 60], [12, 12, 62, 62]])
score, of_class = torch.tensor([0.9, 0.8]), torch.tensor([0, 1])
print("IoU of the two:", round(yl.box_iou(two, two)[0, 1].item(), 3))
print("as one class:       ", nms(two, score, 0.45).tolist())
print("as classes 0 and 1: ", nms(separate_classes(two, of_class), score, 0.45).tolist())

# %% [markdown]
# ## 5. Move the thresholds
#
# Click a box to see which ones it suppressed, or which one suppressed it. The buttons beside the title set thresholds
# that are worth a look.

# %%
NmsExplorer()

# %% [markdown]
# **What to notice**
# - A low IoU threshold ("neighbours go") removes neighbours that are objects of their own; a high one ("duplicates
#   stay") keeps doubles. Unfold **box by box** for the IoU that decided.
# - A high confidence threshold raises precision as a rule (more of what is shown is right), and lowers recall (less of
#   what is there is shown): unfold **precision and recall**.
# - There is no best setting for everything. That is why a detector is judged over *all* confidence thresholds at once.
#
# ### Is there a way without it?
#
# Suppression is needed because several predictions are trained towards the same object. **NMS-free** detectors match
# exactly one prediction to each object, so that all others learn to be silent. **DETR**
# ([arXiv 2005.12872](https://arxiv.org/abs/2005.12872)) began with that in 2020: a transformer gives a fixed number of
# boxes, and they are matched one to one so that the whole costs least. **RT-DETR**
# ([2304.08069](https://arxiv.org/abs/2304.08069)) is built to be fast enough for video. One positive for each object is
# little to learn from; **Co-DETR** ([2211.12860](https://arxiv.org/abs/2211.12860)) therefore trains helpers beside it
# that match one to many, as YOLO does, and drops them afterwards.

# %% [markdown]
# ## 6. Right or wrong?
#
# A detection is **correct** when it overlaps an object of its class by at least an IoU threshold, and no better
# detection is matched to that object already (a true positive). Everything else is a **false alarm** (false positive),
# and an object that no detection is matched to is **missed** (false negative).
#
# $$ \text{precision} = \frac{\text{correct}}{\text{detections}} \qquad \text{recall} = \frac{\text{correct}}{\text{objects}} $$
#
# Here are five detections of one class, best first, in pictures with five objects: right, wrong, right, wrong, right.

# %%
correct = np.array([True, False, True, False, True])
objects = 5
found = correct.cumsum()  # how many are found when the first k detections count
precision = found / np.arange(1, 6)
recall = found / objects
show_table(["first k", "correct", "precision", "recall"], list(zip(range(1, 6), found, precision, recall)))

# %% [markdown]
# **What to notice**
# - Each row is one confidence threshold: let the first k through.
# - Recall can only rise. Precision goes up and down: a saw.

# %% [markdown]
# ## 7. Average precision
#
# Precision against recall is a curve. **Average precision** (AP) is the area under it: 1 for a detector that is always
# right, near 0 for one that guesses. First the saw is filled up: at each recall, take the best precision that is reached
# there *or later* (nobody would choose a threshold that is worse in both).

# %%
envelope = np.maximum.accumulate(precision[::-1])[::-1]
print("saw:     ", precision.round(4).tolist())
print("envelope:", envelope.round(4).tolist())
show_series({"saw": precision, "envelope": envelope}, x=recall, title="precision against recall", x_label="recall")

# %% [markdown]
# **What to notice**
# - The saw falls with each wrong detection and rises again with the next right one. The envelope never rises: it fills
#   the dips.
#
# Now the area, and here the rules part. **COCO's rule** reads the envelope at 101 recalls (0, 0.01, ..., 1) as *steps*,
# with 0 where recall is never reached, and averages.

# %%
levels = np.linspace(0, 1, 101)
place = np.searchsorted(recall, levels)  # the first detection that reaches each recall
read = np.array([envelope[k] if k < len(envelope) else 0.0 for k in place])
print("COCO's rule by hand:  ", round(read.mean(), 4))

# %% [markdown]
# **YOLOv5's rule** adds an end point on each side, draws *straight lines* between the points, and takes the area by
# trapezoids.

# %%
r = np.concatenate(([0.0], recall, [1.0]))
p = np.concatenate(([1.0], precision, [0.0]))
p = np.maximum.accumulate(p[::-1])[::-1]
values = np.interp(levels, r, p)
print("YOLOv5's rule by hand:", round(float(((values[1:] + values[:-1]) / 2 * 0.01).sum()), 4))

# %%
one_class = np.zeros(5)
for rule in ("coco", "yolov5"):
    saw = yl.average_precision(correct[:, None], [0.9, 0.8, 0.7, 0.6, 0.5], one_class, one_class, rule)
    perfect = yl.average_precision(np.ones((5, 1), bool), [0.9, 0.8, 0.7, 0.6, 0.5], one_class, one_class, rule)
    print(f"{rule:6}: these five {saw.ap.item():.4f}, a perfect detector {perfect.ap.item():.4f}")

# %% [markdown]
# **What to notice**
# - The same detections have .4587 under one rule and .5713 under the other. A figure without its rule says little.
# - Straight lines hand out area that no detection earned; and a perfect detector does not quite get 1.

# %% [markdown]
# ## 8. mAP: over classes and overlaps
#
# AP is for one class and one IoU threshold. **mAP50** averages over the classes at IoU 0.5: is the object found at all?
# **mAP** averages over ten thresholds too, 0.5, 0.55, ..., 0.95: how tight are the boxes?
#
# For an evaluation the confidence threshold is set very low (0.001). The curve should be complete; a threshold of 0.25
# would cut off its right end.

# %%
loader = yl.create_dataloader(yl.YoloDataset("shapes", img_size=256, split="val"), batch_size=20)
validation = list(islice(loader, 5))  # the first 100 scenes, kept
metrics = yl.evaluate(model, validation, rule="coco")
print(f"{metrics.num_images} scenes, {metrics.num_labels} objects")
print("mAP50", approx(metrics.map50), "and mAP", approx(metrics.map))
assert metrics.map50 > 0.95 and 0.7 < metrics.map < metrics.map50
before = metrics.curves.precision_at_recall[:, metrics.curves.recall_axis < 0.8]
print("least precision of any class up to a recall of 0.8:", approx(before.min()))
assert before.min() > 0.9
scene = show_precision_recall(metrics)
((chart,),) = scene.rows
# the right end of the curves
replace(scene, rows=((replace(chart, x_range=(0.795, 1.005)),),))

# %% [markdown]
# **What to notice**
# - The axis begins at a recall of 0.8. Up to there all curves stay near 1. They fall off at the end: the last objects to
#   be found cost many false alarms.
# - mAP is lower than mAP50, as it must be: a box that is good enough for 0.5 may not be for 0.9.

# %% [markdown]
# ## 9. The confusion matrix
#
# mAP does not say *what* goes wrong. The confusion matrix does, at one confidence threshold: rows are what was
# predicted, columns what was there. The last row holds what was missed, the last column what was seen where nothing is.

# %%
show_confusion(metrics)

# %% [markdown]
# **What to notice**
# - The diagonal is right. Off it, one class was confused with another.
# - For this network missed objects (last row) and false alarms (last column) outweigh confusions of one class with
#   another.

# %%
wrong = metrics.confusion.copy()
np.fill_diagonal(wrong, 0)
missed, false_alarms, confused = wrong[-1].sum(), wrong[:, -1].sum(), wrong[:-1, :-1].sum()
print("missed", approx(missed, "d"), "- false alarms", approx(false_alarms, "d"), "- confused", approx(confused, "d"))
assert missed + false_alarms > 2 * confused

# %% [markdown]
# And *why* is one detection wrong? The explorer below sorts the errors of a picture by kind, and gives the reason for
# the one you click. It is the scene from above, with a confidence threshold of 0.25.

# %%
WhyExplorer()

# %% [markdown]
# **What to notice**
# - An error is of one of six kinds: missed, wrong class, badly placed, both, duplicate, background
#   ([TIDE](https://arxiv.org/abs/2008.08115)). Labels that were found have green boxes.
# - Click an error and unfold **all errors, and the facts of this one**: which cell and anchor said it, with which
#   objectness and class score, and which threshold would remove it.
# - For a missed object: the best prediction of its class, and where that was lost.

# %% [markdown]
# ## 10. Where the time goes
#
# Three stages for each picture: bytes to floats, the network with its decoding, and suppression. The picture shows
# milliseconds on the computer that ran this notebook last.

# %%
stages = metrics.seconds._asdict()
print(", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in stages.items()))
show_bars({name: 1000 * seconds for name, seconds in stages.items()}, title="time for a picture", y_label="ms")

# %% [markdown]
# **What to notice**
# - As a rule the network takes most of the time, and suppression little, even with a threshold of 0.001, which leaves it
#   many boxes. A faster network gains more than a faster suppression.

# %% [markdown]
# ## 11. Check: mAP50 by hand
#
# The pieces of this notebook put together: suppress with a low threshold, cut off what sticks out of the picture (an
# object ends where the picture ends), ask of each detection whether it is correct, collect over all scenes, and hand the
# list to `average_precision`. It must be what `evaluate` says.

# %%
from yolo_lite.detect.matching import match_detections

right, conf, predicted, labels = [], [], [], []
for batch in validation:
    with torch.no_grad():
        decoded = model.decode(model(batch.images / 255))
    found = yl.non_max_suppression(decoded, conf_thres=0.001, iou_thres=0.6, multi_label=True)
    for k, detections in enumerate(found):
        detections[:, :4] = detections[:, :4].clip(0, 256)
        mine = batch.targets[batch.targets[:, 0] == k]
        # class, corners in pixels
        truth = torch.cat((mine[:, 1:2], yl.xywh_to_xyxy(mine[:, 2:]) * 256), 1)
        right.append(match_detections(detections, truth))
        conf.append(detections[:, 4]), predicted.append(detections[:, 5]), labels.append(truth[:, 0])

# %%
mine = yl.average_precision(np.concatenate(right), torch.cat(conf), torch.cat(predicted), torch.cat(labels), rule="yolov5")
theirs = yl.evaluate(model, validation, rule="yolov5")
rows = {"mAP50": (mine.ap[:, 0].mean(), theirs.map50), "mAP": (mine.ap.mean(), theirs.map)}
for name, (by_hand, by_library) in rows.items():
    print(f"{name}: by hand", approx(by_hand, ".4f"), "and by evaluate", approx(by_library, ".4f"))
    assert abs(by_hand - by_library) < 1e-6

# %% [markdown]
# ## Your turn: write `my_nms`
#
# Non-maximum suppression again, this time in one function, with the classes, and without looking at the one above. Keep
# the best box; remove what overlaps it by *more* than the threshold and has its class; go on with what is left.
# `yl.box_iou` may be used.

# %%
import torch
import yolo_lite as yl
from walkthrough import check

def my_nms(boxes, scores, classes, iou_thres):
    """Which boxes stay.

    boxes: (n, 4) left, top, right, bottom. scores: (n,). classes: (n,) whole numbers.
    iou_thres: of two boxes of one class with a larger IoU the worse one goes.
    Returns: (k,) int64, the indices of the boxes that stay, best first.
    """
    ...

check(my_nms)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_nms(boxes, scores, classes, iou_thres):
#     left = scores.argsort(descending=True, stable=True)  # indices
#     kept = []
#     while len(left):
#         best, others = left[0], left[1:]
#         kept.append(best.item())
#         overlap = yl.box_iou(boxes[best][None], boxes[others])[0]
#         left = others[(overlap <= iou_thres) | (classes[others] != classes[best])]
#     return torch.tensor(kept, dtype=torch.int64)
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>Two stars stand so close that their boxes overlap by 0.6. What does NMS with a threshold of 0.45 do?</summary>
#
# It removes one of them: it cannot know that there are two. A higher threshold would keep both, and keep doubles
# elsewhere.
# </details>
#
# <details><summary>A detector finds every object. It gives as many false alarms, each with a lower confidence than every right detection. What is its AP?</summary>
#
# 1 under COCO's rule: when the false alarms come, recall is 1 already, and the envelope looks only ahead from there.
# That is what is meant by "AP judges the order".
# </details>
#
# <details><summary>Why does <code>evaluate</code> let every class above the threshold count (multi_label), and
# <code>predict</code> only the best?</summary>
#
# Over all thresholds, further guesses with low confidence gain more than they cost, as a rule. On a picture for people, one box
# with two names is a nuisance.
# </details>
#
# <details><summary>Does it matter for mAP when all confidences are halved?</summary>
#
# No, only the order counts (as long as they stay above 0.001). It matters a lot for a threshold of 0.25.
# </details>

# %% [markdown]
# **On to [10_real_weights_and_your_data](10_real_weights_and_your_data.ipynb)**: photographs, official weights, your
# own data.
