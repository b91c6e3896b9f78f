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
# # 11. Losses through time: from YOLOv1 to YOLOv5
#
# A network of 2016 and one of 2020 look at the same picture. Both have to learn where the horse is. What does each loss
# ask, and of which of its many predictions? Why did YOLOv1 take square roots, and YOLOv2 not? Why
# anchors, why logistic classes, why CIoU? All of them are **one-stage** detectors: one network gives boxes and classes at
# once. (A **two-stage** one, such as Faster R-CNN, first proposes places, and then looks at each again.)
#
# We carry **one picture and one object** through five generations, and look at three other detectors (SSD, RetinaNet,
# FCOS) for the ideas that they brought. All losses are the library's (`yolo_lite.family`). The losses and gradients of
# Darknet (for the other three: of torchvision) were recorded, and the library's are compared with them number by
# number: the recordings are in `tests/golden/family`, and `python -m tests.golden.family tests/golden/family` makes the
# comparison.
#
# The last digits of a number behind ≈ may differ on your computer. The `assert` in the same cell checks what the text
# says about it.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
import math
from dataclasses import replace

import torch
from torch.nn import functional

import yolo_lite as yl
from walkthrough import FamilyExplorer, approx, column, row
from walkthrough import show_bars, show_image, show_roles, show_series, show_table
from walkthrough.images import heat
from walkthrough.scene import Bars, Boxes, Chart, Scene
from yolo_lite.coding import YOLOV3, YOLOV5, AnchorCoding, encode_distances, encode_grid, encode_matches
from yolo_lite.coding import decode_grid, decode_matches
from yolo_lite.family.yolov1 import Yolov1Loss, Yolov1Settings, split_output
from yolo_lite.family.yolov2 import Yolov2Loss, Yolov2Settings
from yolo_lite.family.yolov3 import Yolov3Loss, Yolov3Settings
from yolo_lite.family.yolov4 import Yolov4Loss, Yolov4Settings, overlap_step

# %% [markdown]
# ## 1. One picture, one object, two networks
#
# The picture is the third one of the tour's batch, at 416 pixels, and the object is the horse. To keep the tables short
# there are three classes: person, cat, horse. Everything else in the picture counts as background here.
#
# Some words first. The others are explained where they appear.
#
# - **Darknet**: the program in C with which the authors trained YOLOv1 to v4. Joseph Redmon wrote it ("pjreddie" on
#   GitHub); v4 comes from Alexey Bochkovskiy's version ("AlexeyAB"), which runs the smaller networks of Scaled-YOLOv4,
#   too; the larger ones were trained in PyTorch. A network is described in a text
#   file, `.cfg`, with the settings of its loss: the **published description**.
# - **Stride 8, 16, 32**, or P3, P4, P5: a grid with a cell for every 8, 16, 32 pixels (notebook 04). Here they have
#   52 x 52, 26 x 26 and 13 x 13 cells.
# - **Objectness**: how sure a prediction is that it has an object. YOLOv1 calls it confidence.
# - **Logit**: a raw number $t$ before the sigmoid $\sigma(t) = 1 / (1 + e^{-t})$ or a softmax. A star marks a target:
#   $x^*$ is what $x$ should be. $p$ is an objectness, $s_c$ the score of class $c$.
# - **IoU, GIoU, DIoU, CIoU**: how well two boxes overlap, see [notebook 06](06_loss.ipynb), section 4.
# - **VOC** and **COCO**: two public collections of labelled pictures, with 20 and 80 classes. **AP**: the mean
#   precision by which detectors are compared, see [notebook 09](09_inference_and_map.ipynb).
#
# First two small helpers for the pictures. In all of them the horse's box is white.

# %%
def with_boxes(image, xyxy, labels):
    """A picture with boxes: the first one white, the others in colours that stand for no role."""
    (panel,) = show_image(image).rows[0]
    boxes = Boxes(xyxy, tuple(labels), (), ("object", "#009E73", "#D55E00", "#CC79A7")[: len(labels)])
    return Scene(((replace(panel, layers=(*panel.layers, boxes)),),))

def redrawn(scene, **changes):
    """The same panels with other fields: another window, other axes."""
    return replace(scene, rows=tuple(tuple(replace(panel, **changes) for panel in panels) for panels in scene.rows))

# %%
batch, size, classes = yl.tour_batch(), 416, ("person", "cat", "horse")
third = batch.images[2:3].float()  # (1, 3, 640, 640)
picture = functional.interpolate(third, size=size, mode="bilinear", antialias=True)[0].round().byte()
horse = batch.targets[batch.targets[:, 0] == 2][4, 2:]  # (4,) x, y, w, h as fractions of the picture
targets = torch.tensor([[0, 2, *horse.tolist()]])  # (1, 6) image, class, x, y, w, h
corners = yl.xywh_to_xyxy(targets[:, 2:] * size)  # (1, 4) pixels
# left, top, right, bottom: most pictures show this part, with the horse in it
near = (137, 156, 397, 416)
print("the horse: x {:.0f}, y {:.0f}, w {:.0f}, h {:.0f} pixels".format(*(horse * size)))
with_boxes(picture, corners, ["horse"])

# %% [markdown]
# **What to notice**
# - Only the horse has a label here; what else is in the picture is background. Its centre lies in column 7 and row 9 of
#   the 13 x 13 cells of stride 32.
#
# A loss needs predictions. Those of a trained network would make the rules hard to see, so we make two networks'
# outputs by hand. For YOLOv2 to v5 their raw numbers $t$ are all 0, except for those of width and height:
#
# - the **blank** network gives 0 there, too. Its boxes are the anchors, each in the middle of its cell;
# - the **half-trained** one knows how large the horse is, but not where. Every cell gives a box of the horse's size in
#   the middle of the cell. (The exception is YOLOv5, whose boxes cannot be larger than four times their anchor. At stride 8 all of
#   them stay too small for the horse, at stride 16 those of one anchor.)
#
# YOLOv1 has no anchors, and raw numbers of another kind. Section 2 gives it an output of its own.

# %%
def raw_maps(anchors, strides, coding=YOLOV3, knows_size=False):
    """Raw maps of a network: for each stride (1, A, H, W, 5 + 3), zeros but for the size."""
    maps = []
    for pixels, stride in zip(anchors, strides):
        raw = torch.zeros(1, len(pixels), size // stride, size // stride, 8)
        if knows_size:
            # YOLOv5 reaches less than four times its anchor
            limit = math.inf if coding.size == "exponential" else 3.99
            wh = (horse[2:] * size).minimum(limit * pixels)  # (A, 2)
            box = torch.cat((torch.full_like(wh, 0.5), wh / stride), 1)
            raw[..., 2:4] = encode_matches(box, pixels / stride, coding)[:, None, None, 2:]
        maps.append(raw)
    return maps

# %% [markdown]
# ## 2. YOLOv1: a cell, two boxes, and squared errors
#
# YOLOv1 (2016) divides the picture into $7 \times 7$ cells. The cell that holds an object's centre is responsible for
# it. Each cell gives $B = 2$ boxes, each with a confidence, and one set of class scores. That is a plain list of
# $7 \cdot 7 \cdot (5 \cdot 2 + 3) = 637$ numbers (with the paper's 20 classes 1470). There are no anchors and no
# activation: the raw numbers *are* the box. $x, y$ are counted in cells from the cell's corner, $w, h$ are **square
# roots** of fractions of the picture.
#
# Our network predicts the same two boxes in every cell, a tall one and a wide one, a confidence of 0.3, and 0 for every
# class.

# %%
v1 = Yolov1Loss(num_classes=3)
out = torch.zeros(1, v1.settings.outputs(3))  # (1, 637)
# views: classes (1, 7, 7, 3), confidence (1, 2, 7, 7), boxes (1, 2, 7, 7, 4)
parts = split_output(out, 3)
parts.confidence[:] = 0.3
parts.boxes[:, 0] = torch.tensor([0.5, 0.5, 0.4, 0.7])  # tall
parts.boxes[:, 1] = torch.tensor([0.5, 0.5, 0.7, 0.5])  # wide
col, line = (horse[:2] * 7).int().tolist()
boxes = decode_grid(parts.boxes)[0, :, line, col]  # (2, 4) fractions of the picture
ious = yl.bbox_iou(boxes * size, horse[None] * size, "iou")
print(f"the horse's centre: column {col}, row {line}; IoU of the tall box {ious[0]:.3f}, of the wide box {ious[1]:.3f}")

# %%
xyxy = torch.cat((corners, yl.xywh_to_xyxy(boxes * size)))
boxes_of_v1 = with_boxes(picture, xyxy, ["horse", "tall", "wide"])
window = {"left": near[0], "top": near[1], "width": near[2] - near[0], "height": near[3] - near[1]}
asked = v1.assign([out], targets)
roles = show_roles(picture, asked, [size / 7], boxes=corners, window=near)
row(redrawn(boxes_of_v1, **window), roles, titles=["boxes of its cell", "YOLOv1: roles"])

# %% [markdown]
# **What to notice**
# - **Who is responsible?** Of the boxes of the horse's cell the one with the larger IoU *at this moment*: the wide one.
#   So the two boxes of a cell specialise during training, without any anchor telling them to.
# - One **positive**. The other 97 boxes are **negatives**: their confidence is trained towards 0. That includes the
#   tall box in the same cell. YOLOv1 ignores no prediction.
# - How to read the right picture, and all that follow: in a blue cell at least one prediction is positive, and the
#   number counts them (here 1 of 2). In a hatched cell none is positive, and the number counts the *ignored* ones. In a
#   plain cell all are negatives. Where a cell has only one prediction, or is too small, there are no numbers. The line
#   below counts the whole grid, with what lies outside of the part that is shown.
#
# What does each cost? All terms are squared errors. With Darknet's half in front, whose derivative is the plain
# difference, the box that is responsible costs
#
# $$ 5 \cdot \tfrac12 \left[(x - x^*)^2 + (y - y^*)^2 + (\sqrt w - \sqrt{w^*})^2 + (\sqrt h - \sqrt{h^*})^2\right]
# + \tfrac12 (p - \text{IoU})^2 + \tfrac12 \sum_c (s_c - s_c^*)^2 $$
#
# and every other box $0.5 \cdot \tfrac12\, p^2$. (The paper's equation 3 has no halves. Its loss is twice as large,
# and so is every gradient.) Here $w, h$ are fractions of the picture.

# %%
goal = encode_grid(horse[None], (7, 7))[0]  # x, y in the cell, roots of w and h
box = 5 * 0.5 * ((parts.boxes[0, 1, line, col] - goal) ** 2).sum()
obj = 0.5 * (0.3 - ious[1]) ** 2
cls = 0.5 * ((torch.zeros(3) - torch.tensor([0.0, 0, 1])) ** 2).sum()
k = asked.role[0].argmax()  # the positive
print("target x, y, root w, root h:", [round(x, 3) for x in goal.tolist()])
for name, value in {"box": box, "obj": obj, "cls": cls}.items():
    print(f"{name}: by hand {value:.4f}, by the library {getattr(asked.losses, name)[0, k]:.4f}")
print(f"a negative: by hand {0.5 * 0.5 * 0.3**2:.4f}, by the library {asked.losses.total[0, 0]:.4f}, 97 times")

# %% [markdown]
# The classes are neither softmax nor logistic here. Three plain numbers are trained towards (0, 0, 1). Nothing keeps a
# "probability" between 0 and 1.
#
# ### Why square roots?
#
# **YOLOv1 learns the square roots of width and height, so that the same error in pixels costs more in a small box than in
# a large one.** For a small object, 10 pixels too wide is a large error, for a large one a small error. What does the
# loss make of it?

# %%
wide = torch.arange(10, 401, 5.0)  # true widths in pixels

def cost_of_10_pixels(square_root):
    square = lambda w: torch.stack((w * 0 + 208, w * 0 + 208, w, w), 1) / size  # (n, 4)
    goal, given = (encode_grid(square(w), (7, 7), square_root)[:, 2] for w in (wide, wide + 10))
    return 2.5 * (given - goal) ** 2

costs = {"square root": cost_of_10_pixels(True), "without": cost_of_10_pixels(False), "1 - IoU": 1 - wide / (wide + 10)}
for name, cost in costs.items():
    print(f"{name:12} 20 pixels wide: {cost[2]:.5f}, 200 pixels wide: {cost[38]:.5f}, ratio {cost[2] / cost[38]:.1f}")
relative = {name: cost / cost[18] for name, cost in costs.items()}  # index 18: 100 pixels
redrawn(show_series(relative, wide, "10 pixels too wide: the cost, relative to that at a width of 100 pixels",
                    "true width in pixels", "relative cost"), legend="beside")

# %% [markdown]
# **What to notice**
# - Without the root the same 10 pixels cost the same at every size, although they matter much more in a small box.
# - With the root an error in a small box costs more: 8 times as much at a tenth of the width. That is close to the
#   ratio of $1 - \text{IoU}$ (7), and IoU is what detectors are judged by. The two curves have nearly the same form.
#
# ### Why 0.5 and 5?
#
# **The factor 0.5 halves the gradient of the many boxes without an object, so that the few with one are not drowned; the
# factor 5 raises that of the coordinates.** Here one box is responsible, 97 are not. All confidences come from the same
# features, so their gradients add up. How large is each group's gradient, and how large is that of the coordinates?

# %%
def gradient_sums(**scales):
    loss = Yolov1Loss(3, Yolov1Settings(**scales))
    gradient = split_output(loss.layer_gradient([out], targets)[0], 3)
    positive = asked.role[0].view(2, 7, 7) > 0
    confidence, boxes = gradient.confidence[0], gradient.boxes[0]
    silence, found = confidence[~positive].abs().sum(), confidence[positive].abs().sum()
    return {"97 negatives": silence, "1 positive": found, "x, y, w, h": boxes.abs().sum()}

before = gradient_sums(noobject_scale=1.0, coord_scale=1.0)
after = gradient_sums()  # the published 0.5 and 5
for name, sums in {"all weights 1": before, "0.5 and 5": after}.items():
    print(f"{name:14}", ", ".join(f"{part} {value:.2f}" for part, value in sums.items()))
charts = [redrawn(show_bars(sums, y_label="sum of |gradient|"), y_range=(0, 32)) for sums in (before, after)]
row(*charts, titles=["all weights 1", "lambda_noobj 0.5, lambda_coord 5"])

# %% [markdown]
# **What to notice**
# - With all weights 1, the summed gradient of the 97 negatives is more than 100 times that of the one positive. So most
#   of the gradient asks for a low confidence. $\lambda_\text{noobj} = 0.5$, the factor of the negatives,
#   halves their gradient.
# - The gradient of the coordinates is small beside it. $\lambda_\text{coord} = 5$ makes it five times as large.
# - With both, 14.6 against 4.7, the parts are closer, but not equal. The paper says why such weights are needed,
#   but not why just these two numbers.
#
# Now with round numbers that you can check on paper: a prediction $(x, y, w, h) = (0.5, 0.5, 0.36, 0.25)$ for an object
# $(0.6, 0.4, 0.49, 0.16)$. The roots of the sizes are 0.6, 0.5 and 0.7, 0.4, so each of the four errors is 0.1. The
# paper's equation 3 gives $5 \cdot 4 \cdot 0.1^2$ for them, and $0.5 \cdot 0.3^2$ for a box without an object whose
# confidence is 0.3. The library, with Darknet's halves, should give half of both:

# %%
given = torch.zeros_like(out)
split_output(given, 3).confidence[:] = 0.3
# x, y in the cell, roots of w and h
split_output(given, 3).boxes[0, 0, 4, 4] = torch.tensor([0.5, 0.5, 0.6, 0.5])
# in the same cell, row 4 and column 4
round_object = torch.tensor([[0, 2, 4.6 / 7, 4.4 / 7, 0.49, 0.16]])
answer = v1.assign([given], round_object)
print(f"coordinates: equation 3 {5 * 4 * 0.1**2:.4f}, the library {answer.losses.box[answer.role > 0].item():.4f}")
print(f"no object:   equation 3 {0.5 * 0.3**2:.4f}, the library {answer.losses.total[0, 0]:.4f}")

# %% [markdown]
# ### One object per cell
#
# A cell has one set of classes, so it can have one object. What happens to the second one? It is **dropped**: no box is
# responsible for it, and nothing in the loss mentions it. The library counts such objects.

# %%
# a cat, in the same cell as the horse
cat = torch.tensor([[0, 1, horse[0] + 0.02, horse[1] - 0.03, 0.1, 0.2]])
both = torch.cat((targets, cat))
counted = Yolov1Loss(3)
pair = counted([out], both).total, v1([out], targets).total
matched = counted.assign([out], both).matches.target.tolist()
print("objects with a responsible box:", matched, " dropped:", counted.dropped)
print("loss with the cat {:.4f}, without {:.4f}".format(*pair))

# %% [markdown]
# ## 3. YOLOv2: anchors, and the logarithm
#
# YOLOv2 (2017) moves the classes from the cell to the box, so that a cell can have several objects. And it gives each
# box a size to start from, an **anchor** (notebook 04). The network no longer says "212 pixels wide", it says how the
# box differs from its anchor, **as a logarithm**:
#
# $$ b_x = \sigma(t_x) + \text{column}, \qquad b_w = p_w\, e^{t_w}
# \qquad\Longleftrightarrow\qquad t_w = \ln \frac{b_w}{p_w} $$
#
# $b_x, b_w$ are the box's centre and width, $p_w$ the anchor's width, all in cells; $y$ and $h$ go the same way. Why
# the logarithm? Without it a box of half the width has an error of $-0.5$ anchors, one of twice the width $+1$: the
# same mistake, counted differently. As logarithms they are $-0.693$ and $+0.693$. And no $t$ makes a negative width.
# First by hand, there and back:

# %%
anchor = torch.tensor([[10.0, 5.0]])  # in cells
# x, y in the cell; twice as wide as the anchor, half as high
box = torch.tensor([[0.3, 0.6, 20.0, 2.5]])
t = [math.log(0.3 / 0.7), math.log(0.6 / 0.4), math.log(20 / 10), math.log(2.5 / 5)]
back = [1 / (1 + math.exp(-t[0])), 1 / (1 + math.exp(-t[1])), 10 * math.exp(t[2]), 5 * math.exp(t[3])]
print("encoded by hand:       ", [round(x, 4) for x in t])
print("encoded by the library:", [round(x, 4) for x in encode_matches(box, anchor, YOLOV3)[0].tolist()])
print("decoded by hand:       ", [round(x, 4) for x in back])
print("decoded by the library:", [round(x, 4) for x in decode_matches(torch.tensor([t]), anchor, YOLOV3)[0].tolist()])

# %%
ratio = torch.tensor([0.25, 0.5, 1.0, 2.0, 3.9])[:, None]
# boxes around anchors of size 1
box = torch.cat((torch.full((5, 2), 0.5), ratio, ratio), 1)
ways = {name: encode_matches(box, torch.ones(5, 2), coding)[:, 2] for name, coding in [("exp", YOLOV3), ("v5", YOLOV5)]}
rows = [[f"{r:g}", f"{r - 1:+.2f}", f"{a:+.3f}", f"{b:+.3f}"] for r, a, b in zip(ratio[:, 0].tolist(), *ways.values())]
show_table(["size / anchor", "difference", "t = ln(size / anchor), v2 to v4", "t of Scaled-v4 and v5"], rows)

# %% [markdown]
# **What to notice**
# - With the logarithm, half and twice have the same $t$ with opposite signs, a quarter and 3.9 times nearly so.
# - Scaled-YOLOv4 and YOLOv5 write the size as $b_w = p_w\,(2\,\sigma(t_w))^2$. It ends at four times the anchor, where
#   $\sigma = 1$ and $t$ is infinite. It is not symmetric: half is $-0.603$ and twice $+0.881$, a quarter $-1.099$ and
#   3.9 times $+4.363$.
#
# **Which prediction is responsible?** Of the five anchors in the horse's cell the one whose *shape* is most like the
# horse's: IoU of the two boxes, moved to one corner. Unlike in YOLOv1 this is geometry. What the network predicts does
# not matter.

# %%
in_cells = [[1.3221, 1.73145], [3.19275, 4.00944], [5.05587, 8.09892], [9.47112, 4.84053], [11.2364, 10.0071]]
v2_anchors = [torch.tensor(in_cells) * 32]  # YOLOv2's anchors for VOC, in pixels
v2 = Yolov2Loss(v2_anchors[0], 32, num_classes=3).eval()
for w, h in v2_anchors[0].tolist():
    inter = min(w, horse[2] * size) * min(h, horse[3] * size)
    union = w * h + horse[2:].prod() * size**2 - inter
    print(f"anchor {w:3.0f} x {h:3.0f}: IoU of the shapes {inter / union:.3f}")
blank, half = raw_maps(v2_anchors, [32]), raw_maps(v2_anchors, [32], knows_size=True)
asked_blank, asked = v2.assign(blank, targets), v2.assign(half, targets)
print("responsible: anchor, row, column", asked.cells[asked.role[0] > 0][0, 1:].tolist())
row(*(show_roles(picture, each, [32], boxes=corners, window=near) for each in (asked_blank, asked)),
    titles=["YOLOv2, blank network", "YOLOv2, half-trained"])

# %% [markdown]
# **What to notice**
# - The positive is the same in both pictures.
# - On the right there are four hatched cells, in which all five predictions are ignored. That makes 20. The line below
#   says 24: the other four are in the blue cell, beside its positive.
#
# ### What is an ignored prediction?
#
# The cell beside the one with the horse's centre predicts a box of the right size, slightly off. Is that "no object"?
# A loss that calls it background trains a prediction that is nearly right towards 0. A loss that calls it positive has
# many boxes for one horse. YOLOv2 does neither: a prediction that is not responsible, but whose box has an IoU above
# 0.6 with an object, is **ignored**. Its objectness has no loss and no gradient.

# %%
leaf = half[0].clone().requires_grad_()
(slope,) = torch.autograd.grad(v2([leaf], targets).total, leaf)
overlap = yl.bbox_iou(yl.coding.decode(half, v2_anchors, [32], YOLOV3)[0, :, :4], horse[None] * size, "iou")
for name, place in {"positive": 1, "ignored": -1, "negative": 0}.items():
    k = int((asked.role[0] == place).nonzero()[0])
    _, a, r, c = asked.cells[k].tolist()
    print(f"{name:8} anchor {a}, row {r}, column {c}: IoU {overlap[k]:.3f},",
          f"gradient of objectness {slope[0, a, r, c, 4]:+.4f}")
print(f"IoU of ignored: {overlap[asked.role[0] == -1].min():.3f} and more; of negatives: at most",
      f"{overlap[asked.role[0] == 0].max():.3f}")

# %% [markdown]
# **What to notice**
# - Positives follow from geometry, ignored ones from what the network predicts *now*. The blank network's boxes fit
#   badly, so fewer of them are ignored.
# - An ignored prediction is trained neither towards 0 nor towards 1. At inference non-maximum suppression (NMS,
#   notebook 09) removes boxes that overlap a better one.
#
# ### The loss by hand
#
# Still squared errors: of $\sigma(t_x), \sigma(t_y), t_w, t_h$ and of the objectness $\sigma(t_o)$. Small objects
# count more by a factor $2 - w h$ (fractions of the picture), which replaces the square roots. The classes are a
# **softmax** with cross-entropy. The weights are $5, 1, 1, 1$ for object, no object, class and coordinates. The
# objectness target of the positive is its IoU.

# %%
cell, size_in_cells = horse[:2] * 13 - torch.tensor([7.0, 9.0]), horse[2:] * 13
goal = torch.cat((cell, (size_in_cells / (v2_anchors[0][3] / 32)).log()))
k = asked_blank.role[0].argmax()
own = yl.bbox_iou(torch.tensor([[7.5 * 32, 9.5 * 32, *v2_anchors[0][3]]]), horse[None] * size, "iou")[0]
box = 1 * (2 - horse[2] * horse[3]) * 0.5 * ((torch.tensor([0.5, 0.5, 0, 0]) - goal) ** 2).sum()
by_hand = {"box": box, "obj": 5 * 0.5 * (0.5 - own) ** 2, "cls": 1 * -torch.zeros(3).log_softmax(0)[2]}
for name, value in by_hand.items():
    print(f"{name}: by hand {value:.4f}, by the library {getattr(asked_blank.losses, name)[0, k]:.4f}")
print(f"a negative: by hand {1 * 0.5 * 0.5**2:.4f}, by the library {asked_blank.losses.obj[0, 0]:.4f}")

# %% [markdown]
# One more term exists only for the first 12,800 pictures (Darknet's number, not the paper's): every box that is not
# responsible is trained, with a small weight of 0.01, towards its anchor in the middle of its cell. That keeps boxes
# near their anchors at the start. Ours are in the middle of their cells already, so only the half-trained network has
# this loss, since its boxes have another size than their anchors:

# %%
for name, maps in {"blank": blank, "half-trained": half}.items():
    young = v2(maps, targets).anchor_prior  # v2.seen is 0 pictures here
    print(f"{name}: {young:.3f}")

# %% [markdown]
# ## 4. YOLOv3: three grids, one of nine anchors, and yes or no
#
# One grid of 13 x 13 is too coarse for small objects. YOLOv3 (2018) has three, with three anchors each. **Which
# prediction is responsible?** Of all nine anchors the one whose shape is most like the object's. So an object has one
# positive, in one grid. On the other two grids its predictions are negatives, or ignored if their IoU is high enough
# (above 0.7 in the published description, above 0.5 in the paper).

# %%
def three(numbers):
    return list(torch.tensor(numbers, dtype=torch.float32).view(3, 3, 2))

strides, masks = [8, 16, 32], [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
v3_anchors = three([10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326])
v3 = Yolov3Loss(torch.cat(v3_anchors), masks, strides, num_classes=3)
v3_half = raw_maps(v3_anchors, strides, knows_size=True)
asked = v3.assign(v3_half, targets)
print("responsible: level, anchor, row, column", asked.cells[asked.role[0] > 0][0].tolist())
show_roles(picture, asked, strides, boxes=corners, window=near)

# %% [markdown]
# **What to notice**
# - One positive among 10,647, at stride 32. At the other strides the middle of the horse is hatched: boxes of the right
#   size in the right place, which are not responsible for it.
# - In the positive's own cell the two other anchors are ignored, too. That makes 8 at stride 32: 3 + 3 + 2.
# - The threshold decides how large the hatched area is. How many are ignored above which IoU?

# %%
v3_blank, rows = raw_maps(v3_anchors, strides), []
for threshold in (0.5, 0.7, 1.0):
    loss = Yolov3Loss(torch.cat(v3_anchors), masks, strides, 3, Yolov3Settings(ignore_thresh=threshold))
    count = [int((loss.assign(maps, targets).role == -1).sum()) for maps in (v3_blank, v3_half)]
    rows.append([f"IoU above {threshold}", *count])
show_table(["ignored", "blank network", "half-trained"], rows)

# %% [markdown]
# ### The loss by hand
#
# Objectness and classes are now **binary cross-entropy** (BCE, notebook 06): one question with yes or no for each
# class. The objectness target of the positive is 1. Width and height have half squares of $t_w, t_h$ as before. For the
# centre Darknet uses the gradient $\sigma(t_x) - x^*$, which is that of BCE with a target between 0 and 1. The paper
# writes squared errors of $t_x$ itself. Where paper and program differ, the library has both: `faithful="darknet"` is
# the default, `faithful="paper"` the other.

# %%
def bce(z, target):
    # notebook 06, section 5
    return max(z, 0) - z * target + math.log(1 + math.exp(-abs(z)))

asked = v3.assign(v3_blank, targets)
k = int(asked.role[0].argmax())
x, y = (horse[:2] * 13 - torch.tensor([7.0, 9.0])).tolist()
w, h = (horse[2:] * size / v3_anchors[2][1]).log().tolist()
weight = 2 - horse[2].item() * horse[3].item()
by_hand = {"box": weight * (bce(0, x) + bce(0, y) + w**2 / 2 + h**2 / 2), "obj": bce(0, 1)}
by_hand["cls"] = bce(0, 0) + bce(0, 0) + bce(0, 1)
for name, value in by_hand.items():
    print(f"{name}: by hand {value:.4f}, by the library {getattr(asked.losses, name)[0, k]:.4f}")

# %% [markdown]
# ### Three ways to train classes
#
# Squared errors (v1), softmax (v2), logistic, that is a sigmoid for each class (v3 and later). Let the raw class
# numbers of the responsible prediction be $(3, -1, -1)$, clearly a person. Which gradient does each of the three
# losses give?

# %%
said, gradients = torch.tensor([3.0, -1, -1]), {}
split_output(out, 3).classes[0, line, col] = said
gradients["v1, squared errors"] = split_output(v1.layer_gradient([out], targets)[0], 3).classes[0, line, col]
for name, loss, maps, (level, a) in (("v2, softmax", v2, blank, (0, 3)), ("v3, logistic", v3, v3_blank, (2, 1))):
    changed = [raw.clone() for raw in maps]
    changed[level][0, a, 9, 7, 5:] = said
    gradients[name] = loss.layer_gradient(changed, targets)[level][0, a, 9, 7, 5:]
rows = [[name, *(f"{x:+.3f}" for x in each.tolist())] for name, each in gradients.items()]
show_table(["gradient of", *classes], rows)

# %% [markdown]
# **What to notice**
# - v1: the difference itself. The confident mistake has the largest gradient, and even a score of 1.5 for the right
#   class would be trained *down* to 1.
# - v2: the three add up to 0 (but for rounding). What "horse" gains, the others lose.
# - v3: each class on its own. Two of them may be true: of two objects at one prediction (a woman, a person) v3 makes
#   both classes positive, where v2's last object overwrites the first.
#
# ## 5. YOLOv4: several anchors, CIoU, and another rule of ignoring
#
# One positive in 10,647 is little to learn from. In YOLOv4 (2020) the best anchor is responsible *and* every other one
# whose shape has an IoU above 0.213 with the object's. It compares boxes by **CIoU** (notebook 06) instead of four
# squared errors. And a prediction is ignored only if its box has an IoU above 0.7 with an object *and* the score of
# some class is above 0.25.

# %%
v4_anchors = three([12, 16, 19, 36, 40, 28, 36, 75, 76, 55, 72, 146, 142, 110, 192, 243, 459, 401])
# What the published description sets: iou_normalizer is the factor of the box loss.
published = dict(iou_kind="ciou", iou_normalizer=0.07, iou_thresh=0.213, ignore_thresh=0.7, max_delta=5.0)
# strides 8, 16, 32
settings = [Yolov4Settings(**published, scale_x_y=k) for k in (1.2, 1.1, 1.05)]
v4 = Yolov4Loss(torch.cat(v4_anchors), masks, strides, 3, settings)
v4_half = raw_maps(v4_anchors, strides, knows_size=True)
asked = v4.assign(v4_half, targets)
print("responsible: level, anchor, row, column", asked.cells[asked.role[0] > 0].tolist())
show_roles(picture, asked, strides, boxes=corners, window=near)

# %% [markdown]
# **What to notice**
# - Three positives on two grids, where v3 had one: 142 x 110 and 192 x 243 at stride 32, 72 x 146 at stride 16.
# - The ignored area is nearly v3's: the two fewer are positives now. Let every prediction give all classes a low score
#   (logit $-3$, score 0.05). v3 ignores as many as before. In v4 all of them are negatives:

# %%
for name, loss, maps in (("v3", v3, v3_half), ("v4", v4, v4_half)):
    unsure = [raw.clone() for raw in maps]
    for raw in unsure:
        raw[..., 5:] = -3
    counts = [int((loss.assign(each, targets).role == -1).sum()) for each in (maps, unsure)]
    print(f"{name}: ignored {counts[0]}, with class scores of 0.05 {counts[1]}")

# %% [markdown]
# The loss by hand for the best anchor of the blank network. The box costs $0.07\,(1 - \text{CIoU})$. The factor 0.07 is
# that of the published description (`iou_normalizer`):

# %%
asked = v4.assign(raw_maps(v4_anchors, strides), targets)
k = int((asked.cells == torch.tensor([2, 1, 9, 7])).all(1).nonzero())
# pixels; logit 0: the anchor, in the middle of its cell
predicted = torch.tensor([[7.5 * 32, 9.5 * 32, 192, 243]])
ciou = yl.bbox_iou(predicted, horse[None] * size, "ciou").item()
by_hand = {"box": 0.07 * (1 - ciou), "obj": bce(0, 1), "cls": 3 * math.log(2)}
for name, value in by_hand.items():
    print(f"{name}: by hand {value:.4f}, by the library {getattr(asked.losses, name)[0, k]:.4f}")

# %% [markdown]
# ## 6. YOLOv5: neighbours, and no prediction is ignored
#
# YOLOv5 (2020) matches by the **ratio of sides**: every anchor that differs from the object by less than a factor of 4
# in both. And two neighbours of the centre's cell are responsible as well: of left and right the nearer one, and of
# above and below the nearer one ([notebook 05](05_build_targets.ipynb), section 5). All other predictions are
# negatives. The objectness target of a positive is the overlap that its box has now, as in YOLOv1 and v2, but with
# CIoU.

# %%
v5 = yl.ComputeLoss(torch.stack(v3_anchors), strides, 3)
v5_half = raw_maps(v3_anchors, strides, YOLOV5, knows_size=True)
asked = v5.assign(v5_half, targets)
print("positives:", int((asked.role > 0).sum()), " ignored:", int((asked.role < 0).sum()))
show_roles(picture, asked, strides, boxes=corners, window=near)

# %% [markdown]
# **What to notice**
# - 15 positives: three anchors at stride 32 and two at stride 16, in three cells each.
# - There is no ignored prediction. At stride 16 there are boxes of the horse's size just outside these cells, which
#   YOLOv3 would ignore. Here they are negatives. The nearest neighbours, whose boxes fit best, are positives. (At
#   stride 8 no box fits: four times the largest anchor is still smaller than the horse.)
#
# By hand, for a positive at stride 32: its part of the mean over the 9 matches of the level, times the gain of the box
# loss. That is 0.05 here, the library's `hyp.box`, and comparable with YOLOv4's 0.07.

# %%
levels = v5.levels(v5_half, targets)
k = int((asked.cells == torch.tensor([2, 1, 9, 7])).all(1).nonzero())
predicted = torch.tensor([[7.5 * 32, 9.5 * 32, *(horse[2:] * size)]])
ciou = yl.bbox_iou(predicted, horse[None] * size, "ciou").item()
print(f"box: by hand {v5.hyp.box / 9 * (1 - ciou):.5f}, by the library {asked.losses.box[0, k]:.5f}")
print(f"its objectness target: CIoU {ciou:.4f}, by the library {levels[2].objectness[0, 1, 9, 7]:.4f}")

# %% [markdown]
# ## 7. Five generations side by side
#
# The same horse and the half-trained network of each generation (with the exceptions of section 1: YOLOv1 has its two
# boxes of section 2, and YOLOv5's boxes end at four times their anchor):

# %%
split_output(out, 3).classes[:] = 0  # as before section 4 changed them
half_trained = {"YOLOv1": (v1, [out]), "YOLOv2": (v2, half), "YOLOv3": (v3, v3_half), "YOLOv4": (v4, v4_half)}
half_trained["YOLOv5"] = (v5, v5_half)
rule = ["larger IoU now, of 2 boxes", "best shape of 5 anchors", "best shape of 9 anchors"]
rule += ["best, and shape IoU > 0.213", "sides within a factor of 4, 3 cells"]
target = ["IoU", "IoU", "1", "1", "CIoU"]
box_term = ["squares of x, y, roots", "squares of σ(t_x), σ(t_y), t_w, t_h", "BCE of t_x, t_y; squares of t_w, t_h"]
box_term += ["1 - CIoU", "1 - CIoU"]
class_term = ["squares", "softmax", "logistic", "logistic", "logistic"]
rows = []
for (name, (loss, maps)), *words in zip(half_trained.items(), rule, box_term, target, class_term):
    role = loss.assign(maps, targets).role
    positive, ignored, negative = (int((role == which).sum()) for which in (1, -1, 0))
    print(f"{name}: {positive} positive, {ignored} ignored, {negative} negative")
    rows.append([name, *words])
show_table(["", "responsible", "box", "objectness", "classes"], rows)

# %% [markdown]
# **What to notice**
# - The counts above the table go from one positive to fifteen: YOLOv4 and v5 train more predictions for one object.
# - Predictions are ignored in v2, v3 and v4. The threshold is 0.6, 0.7 (0.5 in v3's paper), and 0.7 together with a
#   class score above 0.25.
# - In three of five the objectness target is the overlap. In v3 and v4 it is 1.
#
# ### Any two of them, live
#
# The explorer puts any two generations side by side, SSD, RetinaNet and FCOS among them. It takes small untrained
# networks at 224 pixels (so that YOLOv1 has its 7 x 7 cells), each with anchors of its own. Four buttons below the
# picture unfold more: losses, gradients, predictions, terms.

# %%
explorer = FamilyExplorer(images=picture[None], targets=targets, names=classes, left="YOLOv1", right="YOLOv3")
explorer

# %% [markdown]
# **What to notice**
# - The picture: which predictions are positive. Drag the horse: its positive jumps from cell to cell.
# - Unfold **losses**, the loss by term. In both, nearly all of the objectness loss comes from negatives. YOLOv3 has more
#   than 3,000 of them, YOLOv1 97.
# - Unfold **gradients**. In both the horse's cell has the largest one. The line below the map adds up squares over *all*
#   predictions of all grids: in YOLOv3 the one positive has less than half a percent of that sum ("0%"), since each of
#   the many negatives has a gradient of about 0.5.
# - The bars below are the gradient of each raw number of the chosen prediction. Unfold **predictions** and click another
#   row, a negative: only one bar is left.
#
# The same from Python. The totals differ from those above, and some of the positives as well, because these networks see 224 pixels instead of 416, and
# their anchors have other sizes:

# %%
for pair in (("YOLOv4", "YOLOv5"), ("SSD", "FCOS")):
    explorer.left, explorer.right = pair
    for side in explorer.result.sides:
        print(f"{side.name}: {side.counts['positive']} positive of {sum(side.counts.values())}")
explorer.reset()

# %% [markdown]
# ## 8. What each decoding can reach
#
# An object's centre may lie *on* a grid line. $\sigma(t)$ gets there only with $t = \pm\infty$. YOLOv4 therefore
# stretches it by a factor $k$, the **grid sensitivity** (Darknet: `scale_x_y`):
#
# $$ b_x = k\,\sigma(t_x) - \frac{k - 1}{2} + \text{column} $$
#
# The library's class `AnchorCoding(sensitivity, size)` describes all of these. YOLOv5's size is $(2\,\sigma(t_w))^2$
# anchors (section 3), the others' is $e^{t_w}$ anchors.

# %%
codings = {"v2, v3": YOLOV3, "v4, stride 32": AnchorCoding(1.05), "v4, stride 16": AnchorCoding(1.1)}
codings |= {"v4, stride 8": AnchorCoding(1.2), "Scaled-v4, v5": YOLOV5}
t, one, rows = torch.linspace(-6, 6, 121)[:, None].expand(-1, 4), torch.ones(121, 2), []
for name, coding in codings.items():
    # -99 and 99 stand for infinity
    far = decode_matches(torch.tensor([[-99.0] * 4, [99.0] * 4]), one[:2], coding)
    line_at = encode_matches(torch.tensor([[0.0, 0.5, 1, 1]]), one[:1], coding)[0, 0]
    largest = "any" if coding.size == "exponential" else f"{far[1, 2]:.0f} anchors"
    at_half = decode_matches(torch.full((1, 4), 0.5), one[:1], coding)[0]
    rows.append([name, coding.sensitivity, f"{far[0, 0]:.3f} to {far[1, 0]:.3f}", f"{line_at:.2f}", largest,
                 f"{at_half[0]:.6f}", f"{at_half[2]:.6f}"])
reach = {name: decode_matches(t, one, coding)[:, 0] for name, coding in codings.items()}
names = ["", "k", "centre reaches", "t on the grid line", "largest size", "x at t = .5", "w at t = .5"]
chart = show_series(reach, t[:, 0], "centre", "t", "cells from the cell's corner")
column(redrawn(chart, legend="beside"), show_table(names, rows))

# %% [markdown]
# **What to notice**
# - For a centre on the line YOLOv3 needs $t = -\infty$. With $k = 1.2$ it is $-2.4$, and with YOLOv5's $k = 2$ it is
#   $-1.1$.
# - YOLOv4 stretches more where cells are small. YOLOv5's centres reach half a cell beyond each side of the cell. Its
#   neighbour cells need that: they are responsible for a centre that lies outside of them.
#
# ## 9. Gradients side by side: squared errors of t and CIoU
#
# What trains a network is the gradient of its loss. Let the responsible prediction (YOLOv4's anchor 192 x 243, in the
# cell of the horse's centre) be wrong in one thing at a time. What gradient do the two losses have in $t_x, t_y, t_w,
# t_h$? The squared error is that of YOLOv3's paper, whose gradient is $t - t^*$. Both losses have weight 1 here.

# %%
every = torch.cat(v4_anchors)  # (9, 2)
anchor = every[7:8] / 32  # in cells
goal = torch.cat((horse[:2] * 13 - torch.tensor([7.0, 9.0]), horse[2:] * 13))[None]  # (1, 4) from the cell's corner

def only_box(kind, faithful="paper"):
    """A loss of one anchor on the coarse grid."""
    if kind == "squares":
        return Yolov3Loss(every, [[7]], [32], 3, faithful="paper")
    return Yolov4Loss(every, [[7]], [32], 3, Yolov4Settings(iou_kind=kind, iou_normalizer=1.0), faithful=faithful)

def slope(loss, t):
    """The gradient of the box loss by the four raw numbers (4,) of the responsible prediction."""
    raw = torch.zeros(1, 1, 13, 13, 8, dtype=t.dtype)
    raw[0, 0, 9, 7, :4] = t
    raw.requires_grad_()
    (gradient,) = torch.autograd.grad(loss([raw], targets).box, raw)
    return gradient[0, 0, 9, 7, :4]

# %%
wrong = {"6 pixels too far right": goal + torch.tensor([0.2, 0, 0, 0])}
wrong["twice as wide"], wrong["half as wide"] = (goal * torch.tensor([1, 1, factor, 1]) for factor in (2, 0.5))
four, panels = ("t_x", "t_y", "t_w", "t_h"), []
for name, box in wrong.items():
    t = encode_matches(box, anchor, YOLOV3)[0]
    both = {name: slope(only_box(kind), t) for name, kind in (("squares", "squares"), ("CIoU", "ciou"))}
    iou = yl.bbox_iou(box, goal, "iou").item()
    # no -0.0
    signed = {kind: ", ".join(f"{round(x, 3) + 0.0:+.3f}" for x in g.tolist()) for kind, g in both.items()}
    print(f"{name}, IoU {iou:.2f}; gradients of t_x, t_y, t_w, t_h:")
    print(*(f"    {kind:8}{numbers}" for kind, numbers in signed.items()), sep="\n")
    marks = [Bars(four, tuple(g.tolist()), name=k, hatch=h) for (k, g), h in zip(both.items(), ("", "/"))]
    panels.append(Chart(tuple(marks), name, f"IoU {iou:.2f}", "", "gradient", y_range=(-0.9, 1.7),
                        legend="none" if panels else "inside"))
Scene((tuple(panels),))

# %% [markdown]
# **What to notice**
# - Six pixels too far right is a small error: the IoU is 0.94. The squared error gives it the *largest* gradient of
#   the three. The box is near the edge of its cell, where the sigmoid is flat, so six pixels are 1.5 in $t_x$. CIoU
#   gives it a small gradient, $+0.021$, and one in $t_w$, too, $-0.029$: a wider box would cover more of the horse.
# - Twice and half as wide both have an IoU of 0.5. For each loss the two gradients in $t_w$ have nearly the same size
#   and opposite signs, thanks to the logarithm. CIoU also has one in $t_h$, although the height is right, because it
#   compares the ratio of width and height.
# - The squared errors treat the four numbers separately. CIoU treats them together.
#
# How does the gradient change as the box gets better? Now the width alone is wrong, from far too narrow to far too
# wide:

# %%
offsets = torch.cat((torch.linspace(-1.5, 1.5, 61), torch.tensor([-0.02, -0.001, 0.001, 0.02]))).sort().values
t_goal = encode_matches(goal, anchor, YOLOV3)[0]
fading = {}
for name, kind in (("squares", "squares"), ("CIoU", "ciou")):
    loss = only_box(kind)
    fading[name] = torch.stack([slope(loss, t_goal + o * torch.tensor([0, 0, 1.0, 0]))[2] for o in offsets])
redrawn(show_series(fading, offsets, "gradient in t_w", "t_w - target", "gradient"), legend="beside")

# %% [markdown]
# **What to notice**
# - The squared error's gradient is a straight line: large for large errors, and close to 0 near the target.
# - CIoU's is nearly the reverse. It stays below about 1, becomes smaller for boxes that are far off, and is largest
#   *next to* the target, where it jumps from one sign to the other. With a fixed learning rate the width therefore
#   jumps over the target and back.
#
# ## 10. What Darknet's CIoU step really is
#
# The program that trained YOLOv4 does not use the derivative of CIoU. Recorded numbers show what it does
# (`tests/golden/family/darknet`, files `v4_*`); the library's function for it is `overlap_step`. The table has it
# beside the true gradient (`yl.iou_gradient`), for a box (0.5, 0.5, 0.2, 0.2) and an object (0.6, 0.54, 0.3, 0.2),
# $x, y, w, h$ as fractions of the picture:

# %%
first, second = torch.tensor([[0.5, 0.5, 0.2, 0.2]]), torch.tensor([[0.6, 0.54, 0.3, 0.2]])
rows = []
for kind in ("iou", "giou", "diou", "ciou"):
    # in thousandths: without bbox_iou's epsilon
    true = yl.iou_gradient(first * 1000, second * 1000, kind)[0] * 1000
    darknet = overlap_step(first, second, kind)[0]
    rows.append([kind, *(f"{a:.3f} | {b:.3f}" for a, b in zip(true.tolist(), darknet.tolist()))])
show_table(["gradient of", "x: true | Darknet", "y", "w", "h"], rows)

# %% [markdown]
# **What to notice**
# - IoU and GIoU: $x, y$ are exact, $w, h$ are **twice** the derivative.
# - DIoU: $x, y$ differ now. DIoU subtracts a fraction: the squared distance of the centres over the squared diagonal of
#   the enclosing box. In $x$ the derivative of the distance adds $+1.11$ to the $2.77$ of the IoU, that of the diagonal
#   $-0.25$, which makes 3.63. Darknet's part of the diagonal has the **opposite sign**, $+0.25$, which makes 4.13. In
#   $w, h$ only the part of the IoU is doubled.
# - CIoU adds a term for the shape. In $w$ the true gradient changes by $+0.009$, Darknet's by $+0.001$: it lacks the
#   factor $1 / (w^2 + h^2)$, which is 12.5 here.
#
# The largest difference comes after this. By the chain rule these numbers have to be multiplied by the derivative of
# the box by $t$: $\sigma'(t_x) / 13$ for the centre, $w$ for the width. Darknet multiplies $w, h$ by
# $e^{t_w}, e^{t_h}$, and $x, y$ by nothing. `faithful="darknet"` and `faithful="paper"` have the same *value*, and
# these gradients in $t$ for the blank network:

# %%
ways = {"paper": only_box("ciou", "paper"), "darknet": only_box("ciou", "darknet")}
steps = {name: slope(loss, torch.zeros(4)) for name, loss in ways.items()}
for name, gradient in steps.items():
    value = ways[name]([torch.zeros(1, 1, 13, 13, 8)], targets).box.item()
    print(f"{name:7} value {value:.4f}; gradient", ", ".join(f"{n} {g:+.4f}" for n, g in zip(four, gradient.tolist())))
ratio = (steps["darknet"] / steps["paper"]).tolist()
print("Darknet's over the true one:", ", ".join(approx(r, ".1f") for r in ratio))
assert 45 < min(ratio[:2]) and max(ratio[:2]) < 60 and 3 < min(ratio[2:]) and max(ratio[2:]) < 5
assert min(ratio[:2]) > 10 * max(ratio[2:])

# %% [markdown]
# **What to notice**
# - The value is the same, the gradients are not. In $x, y$ Darknet's step is about 50 times the true gradient, in
#   $w, h$ about 4 times. A common factor would not matter, since the learning rate can undo it. But compared with the
#   size, the *centre* has more than ten times the weight that the true gradient gives it.
#
# ### One box, 60 steps
#
# Does that do harm? Let one prediction be trained alone: 60 steps of gradient descent, with a learning rate that falls to
# zero. The start is bad on purpose: the centre in a corner of the cell, the box much too narrow and too tall. Four losses
# are compared: squared errors (YOLOv4's `iou_kind="mse"`); $1 - \text{CIoU}$ with its true gradient, and with
# Darknet's step; and the true gradient again for Scaled-YOLOv4's form of the box, which is YOLOv5's ($k = 2$, section
# 8). Each is tried with seven learning rates.

# %%
start = torch.tensor([[-3.0, 2.0, -1.0, 0.5]], dtype=torch.float64)  # in v4's form
prior = anchor.double()

def follow(loss, coding, learning_rate, steps=60):
    """The box after 0, 1 ... steps (steps + 1, 4), in pixels, and its IoU with the horse (steps + 1,)."""
    # the same box in another form
    t = encode_matches(decode_matches(start, prior, YOLOV3), prior, coding)[0]
    way = [t]
    for step in range(steps):
        t = t - learning_rate * (1 - step / steps) * slope(loss, t)
        way.append(t)
    boxes = (decode_matches(torch.stack(way), prior, coding) + torch.tensor([7, 9, 0, 0])) * 32
    return boxes, yl.bbox_iou(boxes, horse[None] * size, "iou").nan_to_num()

# %%
square_form = Yolov4Settings(iou_kind="ciou", iou_normalizer=1.0, new_coords=True, scale_x_y=2.0)
losses = {"squared errors": (only_box("mse"), YOLOV3), "CIoU, true": (ways["paper"], YOLOV3)}
losses["CIoU, Darknet"] = (ways["darknet"], YOLOV3)
losses["CIoU, true, v5 form"] = (Yolov4Loss(every, [[7]], [32], 3, square_form, faithful="paper"), YOLOV5)
rates = (0.05, 0.1, 0.5, 1, 2, 5, 10)
tried = {name: [follow(*loss, rate) for rate in rates] for name, loss in losses.items()}
ends = {name: torch.stack([torch.cat((box[-1], iou[-1:])) for box, iou in of]) for name, of in tried.items()}  # (7, 5)
words = lambda end: f"IoU {approx(end[4])}, x {approx(end[0], '.0f')}" if end[4] > 0.3 else "lost"
rows = [[f"{rate:g}", *(words(end[k]) for end in ends.values())] for k, rate in enumerate(rates)]
# the horse's x is 247, the start's 226
moved = (ends["CIoU, true"][:, 0] - 226).abs().max()
assert moved < 5 and ends["CIoU, true"][:, 4].max() < 0.8
assert all(ends[name][:, 4].max() > 0.95 for name in losses if name != "CIoU, true")
show_table(["learning rate", *losses], rows, "after 60 steps (start: x 226; horse: x 247)")

# %%
# the best mean on the way
best = {name: max(of, key=lambda each: each[1].mean()) for name, of in tried.items()}
lines = {name: ious for name, (_, ious) in best.items()}
long = follow(*losses["CIoU, true"], 1, steps=600)[1][-1]
print(f"CIoU, true gradient, 600 steps with learning rate 1: IoU {approx(long)}")
assert long > 0.97
redrawn(show_series(lines, title="IoU with the horse, each with its best learning rate", x_label="step",
                    y_label="IoU"), legend="beside")

# %%
pictures, paper = [], torch.full((3, 540, 416), 114, dtype=torch.uint8)
for name in ("CIoU, true", "CIoU, Darknet"):
    some = yl.xywh_to_xyxy(best[name][0][[0, 5, 60]].float())
    drawn = with_boxes(paper, torch.cat((corners, some)), ["horse", "start", "step 5", "step 60"])
    pictures.append(redrawn(drawn, left=80, top=90, width=320, height=440))
row(*pictures, titles=["true gradient", "Darknet's step"])

# %% [markdown]
# **What to notice**
# - With the true gradient the size is about right after four steps, and then jumps to and fro around the horse's, since
#   CIoU's gradient does not get smaller near the target (section 9). The centre stays behind: with none of the seven
#   learning rates $x$ leaves 226. The start is a corner of the cell, where the sigmoid is flat, so
#   $\sigma'(t_x)$ is small. With ten times as many steps it arrives.
# - Darknet's step changes the size first and the centre later, but within 60 steps it arrives. It has no $\sigma'$.
#   Neither have Darknet's squared errors, which arrive as well, and more smoothly, since they get smaller near the
#   target. In both cases larger learning rates lose the box.
# - In YOLOv5's form the true gradient nearly arrives, too. The same box is at $t_x = -0.98$ instead of $-3$. There the sigmoid
#   is steeper, and $k = 2$ doubles its slope: together nine times as steep.
# - So the true gradient of $1 - \text{CIoU}$ can train a network: YOLOv5 does it. This experiment says only that, with
#   YOLOv3's form of the box (YOLOv4's without its small stretch), a centre that starts in a corner takes long. It has one box and plain gradient descent;
#   training has many objects, shared weights and momentum. Section 14 compares trained networks.
#
# ## 11. Too many negatives: hard examples or focal loss
#
# There are a few positives and thousands of negatives. YOLOv1's answer was $\lambda_\text{noobj}$. SSD (2016) and
# RetinaNet (2017) gave two others:
#
# - **SSD, online hard example mining (OHEM)**: of the negatives only those with the largest loss are trained, three for
#   each positive. All others have no loss at all. (SSD calls its anchors **default boxes**, others **priors**: boxes of
#   fixed sizes, known before the network has seen anything);
# - **RetinaNet, focal loss**: all are trained, and each is weighted down by how easy it is (notebook 06).

# %%
from yolo_lite.family.retinanet import RetinaNetLoss
from yolo_lite.family.ssd import SsdLoss

ssd, grids = SsdLoss((300, 300), 3), (38, 19, 10, 5, 3, 1)
ssd_maps = [torch.zeros(1, a, n, n, 8) for n, a in zip(grids, ssd.settings.anchors_per_cell())]
retina = RetinaNetLoss([8, 16, 32, 64, 128], 3)
retina_maps = [torch.zeros(1, 9, n, n, 7) for n in (52, 26, 13, 7, 4)]
for name, loss, maps in (("SSD at 300 pixels", ssd, ssd_maps), ("RetinaNet at 416 pixels", retina, retina_maps)):
    role = loss.assign(maps, targets).role
    counts = [int((role == which).sum()) for which in (1, 0, -1)]
    print("{}: {} positive, {} negative, {} ignored".format(name, *counts))

# %% [markdown]
# **What to notice**
# - SSD: three negatives for each positive, and 8,688 without any loss. The word "ignored" means something else here:
#   not "nearly right", but "easy enough to be left out".
# - RetinaNet: ignored are the anchors whose largest IoU is between 0.4 and 0.5. All others are trained.
#
# Which negatives make the gradient? Take the 8,721 predictions of SSD that are not positive. Let their logits for
# "object" be spread around $-4$ (drawn at random, with a fixed seed). Sort them, the hardest first, and add up their
# gradients.

# %%
from yolo_lite.family.ssd.loss import hard_negatives
from yolo_lite.loss.focal import bce_with_focal

z = -4 + 1.5 * torch.randn(8721, generator=torch.Generator().manual_seed(0))
z = z.sort(descending=True).values.requires_grad_()
plain, focal = (bce_with_focal(z, torch.zeros_like(z), gamma=gamma) for gamma in (0.0, 2.0))
# 11 positives behind the negatives; what they cost does not matter
positive = torch.arange(8732) >= 8721
hard = hard_negatives(torch.cat((plain, plain[:11]))[None], positive[None], 3)[0, :8721]
sums, parts_of = {"all, BCE": plain.sum(), "focal": focal.sum(), "OHEM": plain[hard].sum()}, {}
for name, total in sums.items():
    added = torch.autograd.grad(total, z, retain_graph=True)[0].cumsum(0)
    parts_of[name] = added / added[-1]
    print(f"{name}: the hardest 33 of 8721 make {approx(parts_of[name][32], '.0%')} of the gradient")
assert 0.04 < parts_of["all, BCE"][32] < 0.08 and 0.3 < parts_of["focal"][32] < 0.4
assert parts_of["OHEM"][32] > 0.999
chart = show_series({name: part[:1000] for name, part in parts_of.items()}, x_label="k", y_label="fraction",
                    title="fraction of the gradient that comes from the hardest k of 8721 negatives")
redrawn(chart, legend="beside")

# %% [markdown]
# **What to notice**
# - BCE: the hardest 33 make 6 % of the gradient, the other 8,688 have 94 %. OHEM: the 33 have all of it. Focal: they
#   have 35 %. It is the same idea without a sharp limit.
# - With OHEM it depends on the other negatives whether one is trained, so this may change from step to step. Focal
#   loss weights each prediction by itself. The five YOLOs use neither by default. They have a separate objectness,
#   with weights of its own (section 2).
#
# ## 12. Without anchors: points and centre-ness
#
# Must there be anchors? YOLOv2 to v5, SSD and RetinaNet are **anchor-based**: an anchor decides which prediction is
# positive, and the box is a change of it. FCOS (2019) is **anchor-free**. Each cell is a **point**. Positive are the points inside an object that
# are less than 1.5 strides away from its centre in $x$ and in $y$ (**centre sampling**). A positive point predicts how
# far the four sides are: $l, t, r, b$ for left, top, right, bottom. Which grid has the object depends on the largest
# of the four: up to 64 pixels stride 8, up to 128 stride 16, and so on.

# %%
from yolo_lite.family.fcos import FcosLoss
from yolo_lite.family.fcos.loss import centreness

def busy(scene, name):
    """Without the grids on which everything is negative."""
    panels = [panel for panel in scene.rows[0] if not panel.caption.startswith("0 positive, 0 ignored")]
    return Scene((tuple(replace(panel, title=f"{name}, {panel.title}") for panel in panels),), scene.legend)

fcos, fcos_maps = FcosLoss([8, 16, 32, 64, 128], 3), [torch.zeros(1, 1, n, n, 8) for n in (52, 26, 13, 7, 4)]
scenes = []
for name, loss, maps in (("RetinaNet", retina, retina_maps), ("FCOS", fcos, fcos_maps)):
    asked = loss.assign(maps, targets)
    by_grid = asked.cells[asked.role[0] > 0, 0].bincount(minlength=5).tolist()
    print(name, "positives by grid:", by_grid)
    scenes.append(busy(show_roles(picture, asked, [8, 16, 32, 64, 128], boxes=corners, window=near), name))
column(*scenes)

# %% [markdown]
# **What to notice**
# - RetinaNet decides by the IoU with anchors of nine shapes, FCOS by place and range alone. FCOS ignores no prediction.
# - The gap at FCOS's stride 32 is not an error. From the points in the middle no side of the horse is farther than 128
#   pixels, which is stride 16's range. From those left and right of it one side is.
# - A point lies on the upper left **corner** of its cell in the version recorded here (torchvision's), so the coloured
#   cells look shifted to the lower right.
#
# In the horse all positive points are near the middle. In a small object, say three strides wide, the same rule allows
# points close to a side. The farther a point is from the middle, the worse is its box as a rule. (Before centre
# sampling was added, every point inside an object was positive.) FCOS therefore predicts one more number, the
# **centre-ness**: 1 in the middle, 0 at a side. It is trained at the positive points. At inference the score of every
# point is $\sqrt{\text{class} \cdot \text{centre-ness}}$, so that of several boxes for one object NMS keeps one from
# the middle.
#
# $$ \sqrt{\frac{\min(l, r)}{\max(l, r)} \cdot \frac{\min(t, b)}{\max(t, b)}} $$

# %%
y, x = torch.meshgrid(torch.arange(104) * 4.0, torch.arange(104) * 4.0, indexing="ij")
sides = encode_distances(corners, torch.stack((x, y), -1).view(-1, 2))  # (n, 4) left, top, right, bottom
inside = (sides > 0).all(1)
height = torch.where(inside, centreness(sides.clamp(min=0.01)), 0).view(104, 104)
a, b = sides[inside][0].tolist(), centreness(sides[inside][:1]).item()
l, t, r, b_ = a
print(f"one point: {math.sqrt(min(l, r) / max(l, r) * min(t, b_) / max(t, b_)):.4f} by hand, {b:.4f} by the library")
show_image(heat(height), title="centre-ness of points in the horse")

# %% [markdown]
# **What to notice**
# - Yellow is close to 1, the dark violet around the horse's box is 0.
# - Centre-ness falls quickly: halfway from the middle to the left or right side it is $\sqrt{1/3} = 0.58$.
# - In YOLOv1, v2 and v5 the objectness has a similar purpose, since its target is an overlap: of several boxes for one
#   object the best one should have the highest score.
#
# ## 13. Numbers that many tutorials get wrong
#
# | one reads | in truth |
# |---|---|
# | YOLO: IoU > 0.7 is positive, < 0.3 negative | that is the rule of Faster R-CNN's first stage, the region proposal network (RPN) |
# | in YOLO a box is positive above some IoU | in none up to v5, if the IoU is that of a predicted or placed box (v4's 0.213 compares shapes alone); RetinaNet (0.5, and negative below 0.4) and SSD (0.5) do so with anchors in their places |
# | YOLOv2 has v1's weights 5 and 0.5 | v1: object 1, no object 0.5, class 1, coordinates 5. v2: 5, 1, 1, 1 |
# | YOLOv1 has softmax classes (or logistic ones) | squared errors of plain numbers |
# | YOLOv3 ignores above 0.5 | the paper says so; the published description says 0.7 |
# | YOLOv4 is v3 with CIoU | it also matches several anchors, stretches the centre and ignores by another rule |
# | YOLOv4 is trained with the gradient of CIoU | by Darknet with another step (section 10) |
# | Darknet prints its loss | it prints the sum of squares of its *gradient* (with CIoU a mixture) |
#
# The library's defaults of these settings are the published values. Print them:

# %%
names = ("object_scale", "noobject_scale", "class_scale", "coord_scale")
for name, settings_of in {"v1": Yolov1Settings(), "v2": Yolov2Settings()}.items():
    print(f"{name}:", ", ".join(f"{field} {getattr(settings_of, field)}" for field in names))
print("v2 ignores above", Yolov2Settings().thresh, " v3 above", Yolov3Settings().ignore_thresh)
print("RetinaNet: positive from", retina.settings.positive_iou, " negative below", retina.settings.negative_iou)
print(f"v3, half-trained: loss {v3(v3_half, targets).total:.1f}, what Darknet prints {v3.cost(v3_half, targets):.1f}")

# %% [markdown]
# ## 14. Published results, and trained networks of one size
#
# | network | published | measured on |
# |---|---|---|
# | YOLOv1 | 63.4 mAP50 | VOC 2007 |
# | YOLOv2, 544 pixels | 78.6 mAP50 | VOC 2007 |
# | SSD300 | 23.2 AP | COCO |
# | RetinaNet, ResNet-101, 800 pixels | 39.1 AP | COCO |
# | YOLOv3, 608 pixels | 33.0 AP | COCO |
# | FCOS, ResNet-101 | 41.5 AP | COCO |
# | YOLOv4, 608 pixels | 43.5 AP | COCO |
# | YOLOv5x, 640 pixels | 50.7 AP | COCO |
#
# Nothing in this table says which *loss* is better. Network, picture size, augmentation, training time and data differ
# in every row, YOLOv5x is measured on other pictures of COCO (val2017) than the rest (test-dev), and VOC's mAP50 (a box
# counts with an IoU of 0.5, 20 classes) is another quantity than COCO's AP (mean of ten IoU limits from 0.5 to 0.95, 80
# classes). 43.5 (YOLOv4) and 50.7 (YOLOv5x) are often put side by side as if they compared two losses.
#
# To compare losses one needs one dataset, one budget and one training loop. `python benchmarks/family.py` trains all of
# these on drawn shapes, with small networks of 1.0 to 1.7 million parameters. With its default settings it printed
# (± is the standard deviation over the seeds; one seed says little about small differences):
#
# | network | positives per object | mAP50 | AP | seeds |
# |---|---|---|---|---|
# | YOLOv1 | 1.0 | ≈ 0.011 | ≈ 0.002 | 1 |
# | YOLOv2 | 1.0 | ≈ 0.383 | ≈ 0.171 | 1 |
# | YOLOv3, as Darknet | 1.0 | ≈ 0.264 | ≈ 0.111 | 1 |
# | YOLOv3, as its paper | 1.0 | ≈ 0.252 | ≈ 0.109 | 1 |
# | YOLOv4, squared errors | 6.2 | ≈ 0.549 ± 0.025 | ≈ 0.243 ± 0.014 | 3 |
# | YOLOv4, CIoU, Darknet's step | 6.2 | ≈ 0.576 ± 0.011 | ≈ 0.278 ± 0.009 | 3 |
# | YOLOv4, CIoU, true gradient | 6.2 | ≈ 0.486 | ≈ 0.178 | 1 |
# | Scaled-YOLOv4, Darknet's step | 6.4 | ≈ 0.482 | ≈ 0.215 | 1 |
# | YOLOv5 | 23.6 | ≈ 0.749 | ≈ 0.428 | 1 |
# | SSD | 1.2 | ≈ 0.177 | ≈ 0.080 | 1 |
# | RetinaNet, L1 | 2.6 | ≈ 0.082 | ≈ 0.020 | 1 |
# | RetinaNet, GIoU | 2.6 | ≈ 0.144 | ≈ 0.061 | 1 |
# | FCOS | 2.9 | ≈ 0.198 | ≈ 0.117 | 1 |
#
# More in [benchmarks/RESULTS.md](../benchmarks/RESULTS.md): settings, computer, times, and what surprised us.
#
# What surprised us:
#
# - YOLOv3, v4 and v5 are the same network here, with 1.54 million parameters, and yet far apart: 0.26, 0.55 to 0.58,
#   0.75. The more predictions are positive for an object, the better is the row. (Not so Scaled-YOLOv4, which is below
#   YOLOv4.) That is not the only difference: YOLOv5's objectness starts near 0 instead of at one half, and its gains
#   were chosen on drawn shapes like these.
# - Most of what YOLOv4 gains over YOLOv3 is there with squared errors already. So it comes from other parts of YOLOv4,
#   mainly matching and ignoring. CIoU with Darknet's step adds 0.03. In mAP50 the seeds
#   overlap; in AP each of its three is above each of those with squared errors.
# - CIoU's true gradient trains a network, but its AP (0.178) is far below that of Darknet's step with any seed (0.268
#   and more). That fits section 10. It is one seed and one learning rate, so it is no proof.
# - YOLOv2, older and with a single grid, is better than YOLOv3. We do not know why.
# - YOLOv1 learns next to nothing from so few pictures. Its last layer is fully connected, so what it learns in one cell
#   does not help in another.
#
# ## 15. Check: two losses by hand
#
# Both by plain loops, on random maps and **all** objects of the picture. From the library come the IoU of two boxes
# (`bbox_iou`) and, for YOLOv3's ignored predictions, the decoding of a map into boxes (`coding.decode`). All else is
# written out. The picture's class numbers go up to 79; to have three classes, we take each modulo 3. The cat of
# section 2 comes last, so that YOLOv1 has an object to drop: it is in the horse's cell. YOLOv1 first:

# %%
objects = batch.targets[batch.targets[:, 0] == 2]  # (8, 6)
# image 0, three classes
objects = torch.cat((torch.zeros(len(objects), 1), objects[:, 1:2] % 3, objects[:, 2:]), 1)
objects = torch.cat((objects, cat))  # (9, 6)
generator = torch.Generator().manual_seed(0)

def v1_by_hand(maps):
    (out,) = maps
    cls, conf = out[0, :147].view(7, 7, 3), out[0, 147:245].view(7, 7, 2)
    boxes, cells = out[0, 245:].view(7, 7, 2, 4), set()
    loss = 0.5 * 0.5 * (conf**2).sum()  # as if there were no objects
    for _, label, x, y, w, h in objects.tolist():
        c, r = int(7 * x), int(7 * y)
        if (c, r) in cells:
            continue  # the second object of a cell is dropped
        cells.add((c, r))
        mine = boxes[r, c]  # (2, 4)
        decoded = torch.cat(((mine[:, :2] + torch.tensor([c, r])) / 7, mine[:, 2:] ** 2), 1).detach()
        iou = yl.bbox_iou(decoded * 416, torch.tensor([[x, y, w, h]]) * 416, "iou")
        b = int(iou.argmax())
        goal = torch.tensor([7 * x - c, 7 * y - r, w**0.5, h**0.5])
        loss = loss + 5 * 0.5 * ((mine[b] - goal) ** 2).sum()
        loss = loss + 0.5 * (conf[r, c, b] - iou[b]) ** 2 - 0.5 * 0.5 * conf[r, c, b] ** 2
        loss = loss + 0.5 * ((cls[r, c] - torch.eye(3)[int(label)]) ** 2).sum()
    return loss

# %% [markdown]
# YOLOv3 needs two more steps: the best of nine anchors for each object, and for each predicted box its largest IoU with
# any object.

# %%
def best_anchors(wh):
    """(m, 2) pixels -> (m,) which of the nine anchors is most like each object in shape."""
    w, h = wh.unbind(1)
    inter = torch.stack([w.clamp(max=a) * h.clamp(max=b) for a, b in torch.cat(v3_anchors).tolist()], 1)  # (m, 9)
    return (inter / ((w * h)[:, None] + torch.cat(v3_anchors).prod(1) - inter)).argmax(1)

def largest_iou(raw, anchors, stride):
    """A map (1, A, H, W, 8) -> (A, H, W), the largest IoU of each box with any object."""
    boxes = yl.coding.decode([raw.detach()], [anchors], [stride], YOLOV3)[0, :, :4]
    each = [yl.bbox_iou(boxes, one[None] * 416, "iou") for one in objects[:, 2:]]
    return torch.stack(each, 1).amax(1).view(raw.shape[1:4])

# %%
def v3_by_hand(maps):
    loss, best = 0.0, best_anchors(objects[:, 4:] * 416).tolist()
    bce = functional.binary_cross_entropy_with_logits
    for level, (raw, stride, anchors) in enumerate(zip(maps, strides, v3_anchors)):
        n, tobj = 416 // stride, torch.zeros(raw.shape[1:4])
        counts = (largest_iou(raw, anchors, stride) <= 0.7).float()  # 0: ignored
        for which, (_, label, x, y, w, h) in zip(best, objects.tolist()):
            if which // 3 == level:
                a, c, r = which % 3, int(x * n), int(y * n)
                t, tobj[a, r, c], counts[a, r, c] = raw[0, a, r, c], 1, 1
                centre = bce(t[:2], torch.tensor([x * n - c, y * n - r]), reduction="sum")
                goal = (torch.tensor([w, h]) * 416 / anchors[a]).log()
                loss = loss + (2 - w * h) * (centre + 0.5 * ((t[2:4] - goal) ** 2).sum())
                loss = loss + bce(t[5:], torch.eye(3)[int(label)], reduction="sum")
        loss = loss + (counts * bce(raw[0, ..., 4], tobj, reduction="none")).sum()
    return loss

# %%
random_out = (out + 0.1 * torch.randn(out.shape, generator=generator)).requires_grad_()
random_maps = [(raw + 0.3 * torch.randn(raw.shape, generator=generator)).requires_grad_() for raw in v3_half]
for name, loss, leaves, by_hand in (("YOLOv1", v1, [random_out], v1_by_hand), ("YOLOv3", v3, random_maps, v3_by_hand)):
    ours, theirs = by_hand(leaves), loss(leaves, objects).total
    print(f"{name}: by hand {approx(ours, '.4f')}, by the library {approx(theirs, '.4f')}")
    pairs = zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves))
    error = max((a - b).norm() / b.norm() for a, b in pairs)
    count = sum(leaf.numel() for leaf in leaves)
    print(f"        the gradients of {count} numbers differ by {approx(error, '.0e')} of their length")
    assert torch.isclose(ours, theirs, rtol=1e-5) and error < 1e-5
print("objects dropped by YOLOv1:", len(objects) - len(v1.assign([out], objects).matches.target))
# YOLOv3 drops none here
assert len(v3.assign(random_maps, objects).matches.target) == len(objects)

# %% [markdown]
# ## Your turn: write `my_shape_iou`
#
# Which anchor is most like an object? YOLOv2 and v3 move both to the same corner and take their IoU, so that only the
# shapes count: the intersection is the smaller width times the smaller height. YOLOv5 asks the ratio of the sides instead.
# Write YOLOv2's question.

# %%
import torch
from walkthrough import check

def my_shape_iou(wh, anchors):
    """IoU of every object with every anchor, both with the same left top corner.

    wh: (n, 2) sizes of the objects. anchors: (A, 2), in the same unit. Returns: (n, A).
    """
    ...

check(my_shape_iou)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_shape_iou(wh, anchors):
#     inside = torch.minimum(wh[:, None], anchors).prod(2)  # (n, A)
#     return inside / (wh.prod(1)[:, None] + anchors.prod(1) - inside)
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>Why does YOLOv1 learn the square root of the width, and YOLOv2 not?</summary>
#
# So that the same error in pixels costs more in a small box (section 2). YOLOv2 learns $\ln(w / p_w)$, in which an
# error is relative by itself, and weights small objects by $2 - wh$.
# </details>
#
# <details><summary>What do 0.5 and 5 do?</summary>
#
# $\lambda_\text{noobj} = 0.5$ halves the gradient of the many boxes without an object, $\lambda_\text{coord} = 5$ makes
# that of the few coordinates five times larger. They belong to YOLOv1. YOLOv2 has 1 and 1, and 5 for the objectness of
# positives.
# </details>
#
# <details><summary>Which predictions are responsible for an object in v1, v2, v3, v4 and v5?</summary>
#
# v1: in the cell of its centre the box with the largest IoU at this moment. v2: in that cell the anchor most like it in
# shape. v3: of all nine anchors, on three grids, the one most like it. v4: that one, and every other whose shape
# overlaps by more than 0.213. v5: every anchor within a factor of 4, in the cell of the centre and two neighbours.
# </details>
#
# <details><summary>A prediction of YOLOv3 is ignored. What gradient does it get, in box, objectness and classes?</summary>
#
# None. It is not responsible, so box and classes are asked nothing. It overlaps an object by more than 0.7, so its
# objectness is not trained towards 0 either.
# </details>
#
# <details><summary>Can training turn a positive of YOLOv2 into a negative? And one of YOLOv1?</summary>
#
# YOLOv2: no, positives follow from the object and the anchors alone. YOLOv1: yes, when the other box of the cell has
# got the larger IoU.
# </details>
#
# <details><summary>Somebody trains YOLOv4 in PyTorch with autograd and 1 - CIoU, and calls it "the same loss". Is it?</summary>
#
# The value, yes. The gradient, no: section 10.
# </details>

# %% [markdown]
# **On to [12_backbones](12_backbones.ipynb)**: the choices that make a backbone, each of them a dial.
