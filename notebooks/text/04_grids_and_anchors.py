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
# # 4. Grids and anchors: where 25,200 boxes come from
#
# The network of the last notebook ends in three maps of numbers. Nothing in them is a box yet. This notebook shows how
# each number gets a place (a **grid**), a size to start from (an **anchor**) and a formula that turns it into pixels
# (the **decoding**). It is geometry only: no training, no loss.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %% [markdown]
# ## 1. The words
#
# Papers use several words for nearly the same things. What goes wrong without them? One reads "prior" here and "default
# box" there and looks for a difference that is not there.
#
# - **grid cell**: a square of the picture, 8, 16 or 32 pixels wide. The cell that holds an object's centre is
#   responsible for it. (YOLOv1)
# - **anchor**: a box size given in advance, such as 30 x 61 pixels, that a prediction starts from. (Faster R-CNN)
# - **prior**: the same, in YOLOv2's words: what we believe about box sizes before we look.
# - **default box**: the same, in SSD's words.
# - **anchor-based**: predicts corrections to anchors, as YOLOv2 to v5 and v7 do. **anchor-free**: predicts a box from a point
#   alone, as YOLOv1, FCOS and YOLOv8 do ([13_anchor_free](13_anchor_free.ipynb)).
# - **two-stage**: first a small network proposes places where something may be, then a second one looks at each of them
#   and says what it is and where exactly. The first is the **RPN** (region proposal network) of **Faster R-CNN** (2015),
#   and anchors were invented for it. **one-stage**: boxes and classes of all cells come out of one pass, as in every YOLO,
#   SSD and RetinaNet.
# - **stride**: pixels per cell.
# - **level**: one grid with its anchors, also called scale or detection layer. YOLOv5 has three: stride 8 (P3, for a
#   cell of $2^3$ pixels), stride 16 (P4) and stride 32 (P5).
#
# Here is picture 2 of the tour's batch, the cell of stride 32 that holds the centre of the largest object, and the
# three anchors of that level around it.

# %%
import math
from dataclasses import replace

import torch

import yolo_lite as yl
from walkthrough import AnchorExplorer, approx, row, show_anchor_reach, show_bars, show_decoding, show_grid, show_image
from walkthrough import show_prediction_cube, show_series, show_table

batch = yl.tour_batch()
names = yl.YoloDataset("photos").names
model = yl.create_model("yolov5n", names=names)
mine = batch.targets[batch.targets[:, 0] == 2]
largest = mine[mine[:, 4:6].prod(1).argmax(), 2:6] * 640  # x, y, w, h in pixels
col, line = (largest[:2] // 32).int().tolist()
print(f"the largest object: centre at x, y {largest[:2].round().int().tolist()}: row {line}, column {col} of stride 32")

# %%
def around(centre, sizes):
    """Boxes (n, 4) xyxy of the given widths and heights around one centre."""
    return yl.xywh_to_xyxy(torch.cat((centre.expand(len(sizes), 2), sizes), 1))


cell = torch.tensor([[col, line, col + 1, line + 1]]) * 32.0
centre = torch.tensor([[col + 0.5, line + 0.5]]) * 32
boxes = torch.cat((cell, around(centre, model.anchors[2])))
labels = ["cell", *(f"{w:.0f} x {h:.0f}" for w, h in model.anchors[2].tolist())]
scene = show_image(batch.images[2], boxes, labels)
replace(scene, words=f"a mosaic of photographs; on the horse a small cell, and three larger boxes: {', '.join(labels[1:])}")

# %% [markdown]
# **What to notice**
# - The cell is small, the anchors are large. A cell does not *contain* its objects, it only holds their centres.
# - These anchors lie inside the picture. Those of a cell at its border hang over, and may.
# - A cell is named as (row, column), here (14, 11), as in a tensor's axes; a point of the picture as (x, y). So the two are
#   the other way round: rows count along y.

# %% [markdown]
# ## 2. Why anchors at all?
#
# The network could simply predict four pixel numbers: a **free box**. Why is that not done? Let us try both, without any
# network: three objects, of 8, 64 and 512 pixels, and for each a box to be fitted by gradient descent on the CIoU loss.
# Each object is 20 % wider and 10 % lower than its first box, and a little off its centre.
#
# - **free**: the raw numbers *are* x, y, w, h in pixels;
# - **offsets**: the raw numbers $t$ go through YOLOv5's formula, relative to a cell and an anchor.
#
# Both start with the same box: in the middle of its cell, as large as its anchor. First the gradients there.

# %%
from yolo_lite.coding import decode_matches, encode_matches

sides, strides = torch.tensor([8.0, 64, 512]), torch.tensor([8.0, 16, 32])
anchors = sides[:, None].repeat(1, 2)  # (3, 2) pixels
start = torch.stack((strides / 2, strides / 2, sides, sides), 1)  # x, y from the corner, w, h
objects = torch.cat((start[:, :2] + 0.02 * anchors, 1.2 * sides[:, None], 0.9 * sides[:, None]), 1)


def free(raw):
    return raw


def offsets(raw):
    in_cells = decode_matches(raw, anchors / strides[:, None])  # (3, 4)
    return in_cells * strides[:, None]


starts = {free: start, offsets: torch.zeros(3, 4)}
for to_boxes, raw in starts.items():
    print(f"first boxes, {to_boxes.__name__}:", *to_boxes(raw).tolist(), sep="\n  ")

# %%
def gradient(to_boxes, raw):
    raw = raw.clone().requires_grad_()
    loss = (1 - yl.bbox_iou(to_boxes(raw), objects)).sum()
    return torch.autograd.grad(loss, raw)[0]


rows = []
for to_boxes, raw in starts.items():
    slope = gradient(to_boxes, raw)
    rows += [[to_boxes.__name__, f"{side:.0f} px", *g] for side, g in zip(sides, slope)]
    print(f"{to_boxes.__name__}: gradient of w, smallest over largest object: {(slope[0, 2] / slope[2, 2]).item():.0f}")
show_table(["raw numbers", "object", "d / d x", "d / d y", "d / d w", "d / d h"], rows)

# %% [markdown]
# **What to notice**
# - Free boxes: the larger the object, the smaller the gradient, in proportion. And a large box has further to go: 20 %
#   of 512 pixels is 102, of 8 pixels 1.6. Small gradient, long way.
# - Offsets: the gradient in width and height is the same for all three. The anchor has removed the size from the
#   problem.
#
# One learning rate serves all weights of a network. Is there one that suits all three objects? Here are 100 steps of
# gradient descent with each of 15 learning rates, from 0.001 to 10,000. Each falls to 0 on the way, as it does in
# training.

# %%
def fitted(to_boxes, learning_rate, steps=100):
    """(3,) the IoU that each box has with its object in the end."""
    raw = starts[to_boxes].clone()
    for step in range(steps):
        raw -= learning_rate * (1 - step / steps) * gradient(to_boxes, raw)
    return yl.bbox_iou(to_boxes(raw), objects, "iou")


powers = torch.linspace(-3, 4, 15)
charts, reached = [], {}
for to_boxes in (free, offsets):
    ious = torch.stack([fitted(to_boxes, 10**power) for power in powers.tolist()])  # (15, 3)
    reached[to_boxes] = ious.amin(1).max()  # the worst box, the best rate
    found = approx(reached[to_boxes])
    print(f"{to_boxes.__name__}: with the best learning rate for all three, the worst ends at IoU {found}")
    series = {f"{side:.0f} px": ious[:, k] for k, side in enumerate(sides)}
    charts.append(show_series(series, powers, to_boxes.__name__, "learning rate, power of ten", "IoU after 100 steps"))
assert reached[free] < 0.9 < reached[offsets]
row(*charts)

# %% [markdown]
# **What to notice**
# - Free boxes: each size has its own best learning rates, and they lie a factor of thousands apart. One that suits the
#   large object throws the small one away.
# - Offsets: the three curves lie nearly on top of each other. One learning rate suits all.
#
# Anchors are not there to know the answer. They are there so that all answers are *about the same size of number*.

# %% [markdown]
# ## 3. How many boxes?
#
# Every generation of YOLO looks at the picture once, and so has to predict all its boxes at once. How many?

# %%
v1 = 7 * 7 * 2
v2, v2_paper = 13 * 13 * 5, 13 * 13 * 9
v3 = 3 * (13**2 + 26**2 + 52**2)
v5, v8 = 3 * (20**2 + 40**2 + 80**2), 20**2 + 40**2 + 80**2
rows = [
    ["YOLOv1", "448", "7 x 7", "2 per cell, no anchors", v1],
    ["YOLOv2", "416", "13 x 13", "5 anchors (k-means)", v2],
    ["YOLOv2, with 9 anchors", "416", "13 x 13", "9 anchors", v2_paper],
    ["YOLOv3", "416", "13, 26, 52", "3 anchors a level", v3],
    ["YOLOv5", "640", "20, 40, 80", "3 anchors a level", v5],
    ["YOLOv8", "640", "20, 40, 80", "1, no anchors", v8],
]
rows = [[*words, f"{count:,}"] for *words, count in rows]
show_table(["generation", "picture", "cells", "boxes per cell", "boxes in all"], rows)

# %% [markdown]
# (The YOLOv2 paper speaks of "more than a thousand" boxes: with nine anchors there are 1,521; it settled for five.)
#
# The grids follow from the strides alone, so YOLOv5 on a picture of 416 pixels has as many boxes as YOLOv3.

# %%
with torch.no_grad():
    for size in (320, 416, 640):
        boxes = model.eval().decode(model(torch.zeros(1, 3, size, size)))
        print(f"{size} pixels: {boxes.shape[1]:6,} boxes of {boxes.shape[2]} numbers")

# %% [markdown]
# **What to notice**
# - Two boxes a cell, 98 in all, must do for a flock of birds in YOLOv1; two birds in one cell are one too many.
# - More boxes find more objects, but also say "here!" more often when they should not. Section 10 comes back to that.

# %% [markdown]
# ## 4. Three grids over one picture
#
# Why three? A cell has one prediction for each of its anchors, so it can tell only a few objects apart. On a coarse grid,
# small objects would share cells. On a fine grid alone, each cell would have to judge objects many cells wide. So: small
# objects on the fine grid, large ones on the coarse one.

# %%
of_picture = yl.xywh_to_xyxy(mine[:, 2:6]) * 640
show_grid(batch.images[2], model.strides, of_picture)

# %%
for stride in (*model.strides, 64, 128):
    cells = (mine[:, [3, 2]] * 640 // stride).long()  # (8, 2) row and column of each centre
    apart = len(cells.unique(dim=0))
    print(f"stride {stride:2}: {640 // stride:2} x {640 // stride:2} cells, {len(cells)} centres in {apart} cells")

# %% [markdown]
# A grid of 128-pixel cells would put several of these objects into one cell.
#
# And on each grid three anchors, width x height in pixels. (Section 7 draws them on the photograph, at true scale.)

# %%
rows = [[stride, *(f"{w:.0f} x {h:.0f}" for w, h in sizes.tolist())] for stride, sizes in zip(model.strides, model.anchors)]
print(f"largest side over smallest: {model.anchors.max() / model.anchors.min():.1f}")
show_table(["stride", "anchor 0", "anchor 1", "anchor 2"], rows, title="model.anchors")

# %% [markdown]
# **What to notice**
# - Each level has wide and tall anchors.
# - From the smallest to the largest side it is a factor of 37 (373 : 10). One grid could not serve that range.

# %% [markdown]
# ## 5. The 85 numbers of a cell
#
# For every picture, anchor and cell the network gives $4 + 1 + 80 = 85$ raw numbers. So what it says about one picture on
# the grid of stride 8 is three cubes, one for each anchor, of 80 x 80 x 85 numbers. Here they are, real ones of the
# untrained network, and one is cut open at a cell on the horse.

# %%
with torch.no_grad():
    maps = model(batch.images / 255)
print("stride 8, all pictures:", tuple(maps[0].shape), "| one picture:", tuple(maps[0][2].shape))
show_prediction_cube(maps[0], cell=(56, 47), anchor=1, image_index=2)

# %% [markdown]
# **What to notice**
# - Rows and columns of the cube are places of the picture (the horse is seen). The depth is what is said about each.
# - The four numbers of the box lie in front (blue), then comes one of objectness (orange), then 80 of the classes (green).
# - White is one prediction: the 85 numbers of row 56, column 47, anchor 1, from the front to the back. Below they stand as
#   bars: those of the box near 0, all others far below, since an untrained network says no to everything.
#
# Now one of them as numbers: stride 16, the first anchor.

# %%
raw = maps[1][2, 0, 20, 20]  # stride 16 (P4): picture 2, anchor 0, row 20, column 20
print("map of stride 16:", tuple(maps[1].shape), "| one cell and anchor:", tuple(raw.shape))
meaning = ["x", "y", "w", "h", "is there an object?", *(f"is it a {name}?" for name in names[:3])]
rows = [[k, meaning[k], approx(raw[k], ".4f"), approx(raw[k].sigmoid(), ".4f")] for k in range(8)]
assert raw[:4].abs().max() < 0.5 and 0.003 < raw[4].sigmoid() < 0.008
show_table(["number", "about", "raw", "after the sigmoid"], rows)

# %% [markdown]
# **What to notice**
# - The box numbers are near 0. After the sigmoid that is 0.5: "in the middle of my cell, as large as my anchor".
# - Objectness says about 0.005 although nothing has been learnt. That is on purpose: the head starts with the belief
#   that a picture has about 8 objects. On this level that is 8 of 1,600 cells:

# %%
bias = model.detect.m[1].bias.view(3, 85)[:, 4].mean()
print(f"8 of 1,600 cells: {8 / 1600}; the raw number for that: {math.log(8 / 1600):.3f}; the bias: {bias:.1f}")

# %% [markdown]
# ## 6. Decoding, then and now
#
# A raw number can be anything from minus to plus infinity. A centre must stay near its cell, a width must be positive.
# Each generation squeezed them in its own way. With $\sigma$ the sigmoid, per cell and per anchor:
#
# | | centre, from the cell's corner | size, in anchors |
# |---|---|---|
# | YOLOv2, v3 | $\sigma(t)$ | $e^{t}$ |
# | YOLOv4 | $s\,\sigma(t) - (s - 1)/2$ with $s$ = 1.05, 1.1 or 1.2 by level | $e^{t}$ |
# | Scaled-YOLOv4, YOLOv5 | $2\,\sigma(t) - 0.5$ | $(2\,\sigma(t))^2$ |
#
# Papers write $t_x, t_y, t_w, t_h$ for the raw numbers, $c_x, c_y$ for the cell's corner (in cells, so column and row),
# $p_w, p_h$ for the prior's size and $b_x, b_y, b_w, b_h$ for the box. YOLOv5 in these letters, with stride $s$:
#
# $$ b_x = s\,(c_x + 2\,\sigma(t_x) - 0.5) \qquad b_w = p_w\,(2\,\sigma(t_w))^2 $$
#
# Which raw numbers would give the box of the horse, from its own cell and the anchor 156 x 198? `encode_matches` solves
# the formula for $t$. Drawn at true scale:

# %%
prior = model.anchors[2, 1]  # (2,) p_w, p_h
corner = torch.tensor([col, line])  # c_x, c_y
wanted = torch.cat((largest[:2] / 32 - corner, largest[2:] / 32))  # in cells
t_box = encode_matches(wanted[None], prior[None] / 32)[0]
for letter, value in zip("xywh", t_box):
    print(f"t_{letter} {approx(value, '.3f')}, its sigmoid {approx(value.sigmoid(), '.3f')}")
assert (decode_matches(t_box[None], prior[None] / 32)[0] - wanted).abs().max() < 1e-4
show_decoding(t_box, (line, col), prior.tolist(), 32, batch.images[2])

# %% [markdown]
# **What to notice**
# - The centre is measured from the cell's corner, in cells; the size in anchors. So no $t$ is larger than 1 here, although
#   the box is 326 pixels wide.
# - Whatever the network says, the centre of this cell's boxes stays in the dotted square, half a cell around the cell.
#
# The three generations at one $t$, in numbers:

# %%
def centre_v3(t):
    return t.sigmoid()


def centre_v4(t, s):
    return s * t.sigmoid() - (s - 1) / 2


def centre_v5(t):
    return 2 * t.sigmoid() - 0.5


def size_v5(t):
    return (2 * t.sigmoid()) ** 2


half = torch.tensor(0.5)
print(f"centre at t = 0.5: v3 {centre_v3(half):.4f}, v4 {centre_v4(half, 1.05):.4f}, v5 {centre_v5(half):.4f}")
print(f"size at t = 0.5:   exp {half.exp():.4f}, v5 {size_v5(half):.4f}")
library = decode_matches(half.expand(1, 4), torch.ones(1, 2))
print("the library's, at the same t:", [round(v, 4) for v in library[0].tolist()])

# %%
t = torch.linspace(-6, 6, 121)
centres = {"v2, v3": centre_v3(t), "v4, s = 1.2": centre_v4(t, 1.2), "v5": centre_v5(t)}
small = t[t <= 2]
sizes = {"exp (v2 to v4)": small.exp(), "v5": size_v5(small)}
row(
    show_series(centres, t, "centre", "t", "cells from the cell's corner"),
    show_series(sizes, small, "size, up to t = 2", "t", "anchors"),
)

# %% [markdown]
# **What to notice**
# - v2 and v3 reach from 0 to 1, but never quite. An object *on* a grid line needs $t = \pm\infty$. This is the **grid
#   sensitivity** that YOLOv4 set out to remove (Darknet: `scale_x_y`): later forms stretch the range. v5 reaches half a
#   cell over each side, which its neighbour cells need as well.
# - The exponential has no end. v5 ends at four anchors. Around $t = 0$ the two are alike: both give one anchor there,
#   with a slope of 1.
#
# How far can each reach, and what does it cost to get there?

# %%
far = torch.tensor([-30.0, 30.0])
rows = []
for name, form in {"v2, v3": centre_v3, "v4, s = 1.2": lambda t: centre_v4(t, 1.2), "v5": centre_v5}.items():
    low, high = form(far).tolist()
    needed = t[(form(t) - 0.0).abs().argmin()].item() if low < 0 else None
    rows.append([name, f"{low:.2f} to {high:.2f}", "cannot" if needed is None else f"{needed:.1f}"])
show_table(["centre", "reach, in cells", "t to sit on the grid line"], rows)

# %%
def outlier(form):
    """What t = 10 does for an object as wide as the anchor: size, slope, two gradients."""
    t10 = torch.tensor(10.0, requires_grad=True)
    width = form(t10)
    box = torch.stack((width * 0, width * 0, width, torch.tensor(1.0)))  # only its width is wrong
    losses = (width - 1) ** 2, 1 - yl.bbox_iou(box[None], torch.tensor([[0.0, 0, 1, 1]]))[0]
    slopes = [torch.autograd.grad(value, t10, retain_graph=True)[0].item() for value in (width, *losses)]
    return [f"{width.item():,.1f}", *slopes]

found = {name: outlier(form) for name, form in {"exp": torch.exp, "v5": size_v5}.items()}
assert found["exp"][2] > 1e8 and all(abs(slopes[3]) < 1e-3 for slopes in found.values())
show_table(["size at t = 10", "anchors", "slope of the size", "gradient of squared error", "gradient of CIoU loss"],
           [[name, size, *(approx(value, ".1e") for value in values)] for name, (size, *values) in found.items()])  # fmt: skip

# %% [markdown]
# **What to notice**
# - A **slope** says how fast the size changes with $t$; a **gradient** is that of the *loss*. They are not the same thing.
# - One outlier, $t = 10$, and the exponential makes a box of 22,026 anchors, with a slope as large. A loss on the size
#   itself, as squared error, then has a gradient of about a thousand million: one step with it ruins the weights.
# - An overlap loss hardly notices. To it, one far too large box is like another, so its gradient is tiny, and nothing
#   brings the box back.
# - In the v5 form the size ends at four anchors, so nothing blows up. It is flat out there, too: at $t = 10$ its gradient
#   is as good as 0 for either loss. What it rules out are the huge boxes.
# - The price: an object more than four times its anchor can never be fitted. So such an object must not be given to
#   that anchor in the first place. That is the next section.

# %% [markdown]
# ## 7. anchor_t: an area around each anchor
#
# YOLOv5 matches an object to every anchor that it differs from by less than a **factor** of `anchor_t` (4) in width and
# in height. On paper with *logarithmic* sides, where each doubling takes the same room, "less than a factor of 4" is a
# square around the anchor: two doublings to each side. All nine squares are equally large. The dots are the objects of
# the batch.
#
# First on the photograph, at true scale: between a quarter and four times of each anchor, around the horse.

# %%
horse = yl.xywh_to_xyxy(largest[None])[0]
show_anchor_reach(batch.images[2], model.anchors, horse, anchor_t=4)

# %% [markdown]
# **What to notice**
# - An object is matched to an anchor if it fits between the two dashed boxes, in width *and* in height. The horse, 326 x
#   267 pixels, does so for the three anchors of stride 32 alone.
# - With 59 x 119 the height is right, and the width is not: 326 pixels, where 236 is the most. One bad side is enough.
# - Neighbouring anchors reach over each other. So most objects are matched to several.
#
# Now all nine on logarithmic paper.

# %%
from walkthrough.scene import Boxes, Key, Panel, Picture, Points, Scene, Text

UNIT = 60  # pixels of the drawing for each doubling


def at(wh):
    """Widths and heights (n, 2) in pixels -> places on the drawing; 4 pixels are at its edge."""
    return (torch.as_tensor(wh, dtype=torch.float32) / 4).log2() * UNIT


def drawing(wh, anchors, anchor_t, title=""):
    squares = torch.cat((at(anchors / anchor_t), at(anchors * anchor_t)), 1)
    lines = [Text(2, at(side).item() + 4, f"{side} px", "grid", "left", 9) for side in (8, 32, 128, 512)]
    lines += [Text(at(side).item(), 430, f"{side}", "grid", "center", 9) for side in (8, 32, 128, 512)]
    ground = Picture(torch.full((2, 2, 3), 50, dtype=torch.uint8).numpy(), (0, 0, 440, 440))
    marks = (Points(at(anchors), "anchor", "s", 7), Points(at(wh), "own", "o", 8))
    layers = (ground, Boxes(squares, colours=("anchor",), dash="dashed", width=1), *marks, *lines)
    return Panel(layers, 440, 440, title, "width to the right, height downwards")

# %%
wh = batch.targets[:, 4:6] * 640  # (23, 2) pixels
nine = model.anchors.flatten(0, 1)  # (9, 2)
reach = Key("sizes that an anchor is matched to", "anchor", dash="dashed")
legend = (Key("object (dot)", "own"), Key("anchor (small square)", "anchor"), reach)
for anchor_t in (4, 2):
    left_out = yl.anchor_fit(wh, nine, anchor_t).best_ratio <= 1 / anchor_t
    print(f"anchor_t = {anchor_t}: objects left out: {left_out.sum()}")
panels = tuple(drawing(wh, nine, anchor_t, f"anchor_t = {anchor_t}") for anchor_t in (4, 2))
Scene((panels,), legend, "nine squares of one size on logarithmic paper, along the diagonal, and 23 objects as dots")

# %% [markdown]
# **What to notice**
# - With 4, the squares overlap heavily: most objects lie in several, and get several anchors to learn from.
# - With 2, they shrink to a string of patches. One object lies beside it and is matched to none.
# - The upper right and the lower left corner are empty: very wide and very tall objects. Anchors go along the diagonal.
#
# First guess. Which of the nine anchors are matched to the object? Choose those that you think are, in the list or by
# their outlines, then press *reveal*: each row then gives the ratio that decides. Another object, another guess.

# %%
AnchorExplorer(images=batch, names=names, model=model, guess=True)

# %% [markdown]
# **What to notice**
# - The size is all that counts. Outlines much too wide for the object may still pass by their height, and fail by their
#   width: the worse side decides.
#
# Now turn the dial: `anchor_t` is the slider below the picture, beside it you choose an object. See which anchors it is
# matched to, and which cells are responsible for it. The buttons above tell short stories, such as *why was it rejected?*

# %%
AnchorExplorer(images=batch, names=names, model=model)

# %% [markdown]
# **What to notice**
# - Unfold *every anchor*: each verdict names the *worse* of the two sides. One bad side is enough to be rejected.
# - Unfold *fit to a dataset* for the two curves of the next section.
# - Drag a box smaller: it leaves the coarse grid (stride 32, P5) for a finer one; for a while it is matched on both.

# %% [markdown]
# ## 8. Best possible recall
#
# An object that no anchor is matched to teaches the box loss nothing, and will hardly be found. The fraction of the
# objects that *some* anchor is matched to is the **best possible recall** (BPR). With these anchors training will hardly
# do better. It is no strict bound: a prediction may come to fit an object that its anchor was never matched to.

# %%
fit = yl.anchor_fit(wh, model.anchors)
print(fit)
print(f"every object has an anchor from anchor_t = {1 / fit.best_ratio.min().item():.2f} on")
factors = [1.2, 1.5, 2, 2.5, 3, 4, 5, 6]
fits = [yl.anchor_fit(wh, model.anchors, factor) for factor in factors]
recall = show_series({"recall": [f.best_possible_recall for f in fits]}, factors, "best possible recall", "anchor_t", "recall")
matched = show_series({"anchors": [f.matches_per_object for f in fits]}, factors, "anchors per object", "anchor_t", "anchors")
row(recall, matched)

# %% [markdown]
# **What to notice**
# - At 4 every object of the batch has an anchor, nearly four of them on average.
# - With an `anchor_t` below the printed factor, objects begin to drop out. Above 4 the recall has nothing left to gain
#   here, and an anchor would be given objects more than four times its size, which its decoding cannot reach (section 6).
#
# By hand, for one object: the factor of each side is the larger of $r$ and $1/r$, the worse side counts, and the best
# anchor wins.

# %%
ratio = wh[:, None] / nine  # (23, 9, 2)
worst = torch.maximum(ratio, 1 / ratio).amax(2)  # (23, 9)
by_hand = (worst.amin(1) < 4).float().mean().item()
print("by hand:", by_hand, "and by yl.anchor_fit:", fit.best_possible_recall)

# %% [markdown]
# ## 9. Anchors for another dataset
#
# YOLOv5's nine anchors come from COCO. Do they fit other data? Training checks it before it starts (YOLOv5: `autoanchor`):
# at a best possible recall above **0.98** the anchors stay. Otherwise nine others are looked for, and they replace those
# in use if their recall is higher. Look at the drawn scenes of the dataset "shapes" first.

# %%
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.loss.anchors import KEEP_ABOVE, kmeans_anchors

print("anchors are looked for at a best possible recall of", KEEP_ABOVE, "or less")
shapes = Shapes(size=320, count=300)
suggestion = yl.suggest_anchors(shapes, model.anchors, img_size=320)
print(*str(suggestion).split("; "), sep="\n")

# %% [markdown]
# They fit; nothing has to be done. Now lines of print, as a scanner sees them: wide and low. (Made up here with a
# seed.)

# %%
generator = torch.Generator().manual_seed(0)
lines = torch.rand(500, 2, generator=generator) * torch.tensor([400.0, 10]) + torch.tensor([150.0, 8])
before = yl.anchor_fit(lines, model.anchors)
found = yl.suggest_anchors(lines, model.anchors, generations=200)
print("in use:", before)
print("0.98 is not reached:", "replace them" if found.replace else "keep them")
print(f"after: best possible recall {approx(found.after.best_possible_recall, '.3f')},",
      f"{approx(found.after.matches_per_object)} anchors per object,")
print(f"       mean best ratio {approx(found.after.mean_best_ratio)}")
assert found.after.best_possible_recall > 0.95 and found.after.mean_best_ratio > 0.7

# %% [markdown]
# How are new anchors found? By **k-means**: put nine points among the sizes; give each object to its nearest point;
# move each point to the middle of its objects; again, until nothing moves. The result is then refined by small random
# changes that are kept when they fit better (`yl.suggest_anchors` does both). **Fitness**: the ratio (1 = same size)
# of each object to its best anchor, on average, with 0 where no anchor is matched to it.

# %%
start = kmeans_anchors(lines, 9)
scores = {
    "COCO's": before.fitness,
    "k-means": yl.anchor_fit(lines, start).fitness,
    "refined": yl.anchor_fit(lines, found.anchors).fitness,
}
print("fitness:", ", ".join(f"{name} {approx(score, '.3f')}" for name, score in scores.items()))
assert 5 * scores["COCO's"] < scores["k-means"] <= scores["refined"]
show_bars(scores, title="fitness of the nine anchors")

# %%
panels = (
    drawing(lines[:150], nine, 4, "COCO's anchors"),
    drawing(lines[:150], found.anchors.flatten(0, 1), 4, "anchors for lines of print"),
)
Scene((panels,), legend, "wide, low objects as dots: COCO's squares beside most of them, the new squares around them")

# %% [markdown]
# **What to notice**
# - On the left most dots lie outside all squares. Those lines of print would hardly be learnt.
# - On the right the nine anchors sit among them. They are all alike: the three levels now look for the same sizes,
#   although their grids differ.
# - `suggest_anchors` replaces anchors only where the recall really rises. For "shapes" it said: keep.

# %% [markdown]
# ## 10. Several predictions for one object
#
# An object is matched to several anchors, and each of them in up to three cells: its own and two neighbours. How many
# predictions is that?

# %%
matches = yl.build_targets(batch.targets, [raw.shape[2:4] for raw in maps], model.anchors, model.strides)
per_object = torch.cat([m.target for m in matches]).bincount(minlength=len(wh))
print("matches per object:", *per_object.tolist())
print("on average", round(per_object.float().mean().item(), 1), "and at most 3 cells x 9 anchors =", 3 * 9)

# %% [markdown]
# That is good for learning: many chances, many gradients. But when the network is trained, all of them say "here!".
# Look at a trained one, on a scene it has never seen, before and after **non-maximum suppression** (NMS), which keeps
# the best of several boxes that overlap.

# %%
trained = yl.load("shapes-n").eval()
picture = Shapes("test", size=256, count=3).read(2)
with torch.no_grad():
    boxes = trained.decode(trained(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255))  # (1, 4032, 11)
every = yl.non_max_suppression(boxes, conf_thres=0.5, iou_thres=1.0)[0]  # 1: all stay
best = yl.non_max_suppression(boxes, conf_thres=0.5)[0]
best = best[best[:, 0].argsort()]  # from left to right
print(f"{boxes.shape[1]:,} boxes; {approx(len(every), 'd')} above the threshold; {len(best)} after NMS")
print(f"the least sure of these has a confidence of {approx(best[:, 4].min())}")
assert len(every) > 2 * len(best) and best[:, 4].min() > 0.6
left = replace(show_image(picture, every[:, :4]), words="every box above the threshold")
row(left, show_image(picture, best, names=trained.names), titles=["all that say 'here'", "after NMS"])

# %% [markdown]
# **What to notice**
# - The bundles on the left are the matches above: the same object, predicted by several cells and anchors.
# - Nothing in the loss asks the network to choose *one*. NMS does that afterwards. Notebook 09 takes it apart.

# %% [markdown]
# ## 11. Check: decode all three maps by hand
#
# Cell, stride, anchor, formula: everything of this notebook in one function. It must give what the library gives, for
# all 25,200 boxes of all four pictures.

# %%
def decode_by_hand(raw, anchors, stride):
    """raw (N, A, H, W, 85), anchors (A, 2) -> (N, A * H * W, 85)."""
    rows, columns = raw.shape[2:4]
    column = torch.arange(columns).view(1, 1, 1, columns)
    line = torch.arange(rows).view(1, 1, rows, 1)
    s = 1 / (1 + torch.exp(-raw))  # the sigmoid
    x = (2 * s[..., 0] - 0.5 + column) * stride
    y = (2 * s[..., 1] - 0.5 + line) * stride
    w = (2 * s[..., 2]) ** 2 * anchors[:, 0].view(1, -1, 1, 1)
    h = (2 * s[..., 3]) ** 2 * anchors[:, 1].view(1, -1, 1, 1)
    return torch.cat((torch.stack((x, y, w, h), -1), s[..., 4:]), -1).flatten(1, 3)


levels = [decode_by_hand(*level) for level in zip(maps, model.anchors, model.strides)]
by_hand, library = torch.cat(levels, 1), model.decode(maps)
difference = (by_hand - library).abs().max()
print(tuple(by_hand.shape), "by hand and by model.decode; largest difference:", approx(difference, ".0e"))
assert difference < 1e-2

# %% [markdown]
# ## Your turn: write `my_encode`
#
# The way back: which four raw numbers would the network have to say, so that the decoding gives a certain box? Whoever
# writes a test for a decoding needs this, and it shows what a cell can *not* say. Solve the formulas of this notebook for
# `t`. The inverse of the sigmoid is $t = \ln(s / (1 - s))$.
#
# A box at the very end of what a cell reaches has an infinite `t`, and one beyond has none at all (`nan`). No special case
# is needed: the logarithm gives both by itself.

# %%
import torch
from walkthrough import check

def my_encode(box, anchor):
    """Boxes to raw numbers: the inverse of decoding.

    box: (m, 4) x, y from the cell's corner, w, h, in cells. anchor: (m, 2) in cells.
    Returns: (m, 4) raw numbers t.
    """
    ...

check(my_encode)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_encode(box, anchor):
#     centre = (box[:, :2] + 0.5) / 2
#     size = (box[:, 2:] / anchor).sqrt() / 2
#     s = torch.cat((centre, size), 1)
#     return (s / (1 - s)).log()
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>How many boxes does YOLOv5 predict for a picture of 320 pixels?</summary>
#
# 3 x (10² + 20² + 40²) = 6,300: a quarter of 25,200. `sum(raw[0, ..., 0].numel() for raw in model(torch.zeros(1, 3, 320, 320)))` counts them.
# </details>
#
# <details><summary>All raw numbers of a cell are 0. Which box is that?</summary>
#
# The centre is in the middle of the cell (2 x 0.5 - 0.5 = 0.5), the size is that of the anchor ((2 x 0.5)² = 1).
# </details>
#
# <details><summary>An object is exactly four times as wide as an anchor. Is it matched to the anchor?</summary>
#
# No: the factor must be *less* than 4. And it could not fit it: $(2\sigma)^2$ comes near 4 but never reaches it.
# </details>
#
# <details><summary>The best possible recall of your data is 0.95 with COCO's anchors. What does training do? And at 0.99?</summary>
#
# 0.95 is not above 0.98: it looks for nine other anchors, by k-means and small random changes, and takes them if their
# best possible recall is higher than 0.95. At 0.99 it keeps those in use and does not search.
# </details>
#
# <details><summary>Why not simply use 100 anchors per cell?</summary>
#
# The head would have to give 8,500 numbers per cell, nearly all of them "nothing here", and NMS would have to clear away
# thousands of boxes. Three a cell, nine on the three grids together, reach a best possible recall of 1 on all we have seen
# here, when they fit the data.
# </details>

# %% [markdown]
# **On to [05_build_targets](05_build_targets.ipynb)**: how objects are assigned to cells and anchors, line by line.
