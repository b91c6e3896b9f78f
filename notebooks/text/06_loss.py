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
# # 6. The loss: what every prediction is trained towards
#
# The network has spoken: 25,200 predictions for a picture, 85 numbers each. The last notebook showed which of them are
# responsible for which object. Now somebody has to say *how wrong* they are, in one number that training can push down:
# the **loss**. YOLOv5 asks three questions:
#
# - **box**: do the boxes of the matched predictions lie where their objects are?
# - **objectness**: does *every* prediction know whether, and how well, it has an object?
# - **class**: do the matched predictions name the right class?
#
# We look at each of them, and at the end write the whole loss by hand. It runs in about half a minute.

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
from walkthrough import IouPlayground, LossExplorer, approx, column, row, show_bars
from walkthrough import show_feature_maps, show_histogram, show_image, show_series, show_table
from walkthrough.scene import Scene
from yolo_lite.boxes import IOU_KINDS, xyxy_to_xywh
from yolo_lite.loss.focal import bce_with_focal, focal_weight, smooth_targets
from yolo_lite.coding import decode_matches
from yolo_lite.loss.loss import BALANCE

# %% [markdown]
# ## 1. What goes in, what comes out
#
# In: the raw maps of the network, one for each grid, and the targets of the batch. Out: four numbers. `criterion` is
# the model's loss; training calls the same function. The weights of this network are still random.

# %%
photos = yl.YoloDataset("photos")
batch = yl.tour_batch()
model = yl.create_model("yolov5n", names=photos.names)
with torch.no_grad():
    maps = model(batch.images.float() / 255)
criterion = model.criterion(yl.Hyperparameters(), img_size=640)
parts = criterion(maps, batch.targets)
print("maps:", [tuple(raw.shape) for raw in maps], " targets:", tuple(batch.targets.shape))
show_bars({"box": parts.box, "obj": parts.obj, "cls": parts.cls}, title="the loss before training", y_label="loss")

# %% [markdown]
# **What to notice**
# - Before any training the losses for box and class are about equally large, and that for objectness is less than half as
#   large. That is no accident: each is multiplied by a weight of its own (section 10).
# - The numbers by themselves say little. What counts is whether they fall.
#
# The grids are dealt with one after the other, and what they contribute is added up. `levels` gives the three
# contributions, and everything that was computed on the way.

# %%
levels = criterion.levels(maps, batch.targets)
matches = [level.matches for level in levels]
for name in ("box", "obj", "cls"):
    added, whole = sum(getattr(level, name) for level in levels), getattr(parts, name)
    print(f"{name}: three grids together {approx(added, '.4f')}, the loss {approx(whole, '.4f')}")
    assert torch.isclose(added, whole)
print("what a level keeps:")
print(" ", ", ".join(levels[0]._fields))

# %% [markdown]
# ## 2. How few are asked
#
# Only matched predictions have a box and a class to be compared with. How many are they? Here is each picture of the
# batch.

# %%
rows = []
for stride, raw, match in zip(model.strides, maps, matches):
    each = [int((match.image == image).sum()) for image in range(4)]
    rows.append([f"stride {stride}", raw[0, ..., 0].numel(), *each, sum(each)])
total, matched = sum(row[1] for row in rows) * 4, sum(row[-1] for row in rows)
print(f"matched, together: {matched} of {total:,}, {matched / total:.2%}")
columns = ["grid", "predictions a picture", *(f"in picture {k}" for k in range(4)), "together"]
show_table(columns, [[grid, f"{count:,}", *each] for grid, count, *each in rows], title="matches")

# %% [markdown]
# Of 19,200 predictions of the fine grid (stride 8, P3), 3 are matched to a box in picture 0, and none in picture 3. The
# other predictions are not *wrong*. Nobody looks at their boxes. The gradient proves it: where it is 0, the loss does
# not care.

# %%
leaves = [raw.clone().requires_grad_() for raw in maps]
gradients = torch.autograd.grad(criterion(leaves, batch.targets).total, leaves)
for stride, gradient in zip(model.strides, gradients):
    felt = [int((gradient[..., part] != 0).any(-1).sum()) for part in (slice(0, 4), slice(4, 5), slice(5, 85))]
    print(f"stride {stride:2}: predictions with a gradient on box {felt[0]},",
          f"objectness {felt[1]:,}, class {felt[2]}")  # fmt: skip

# %% [markdown]
# **What to notice**
# - Box and class loss: the matches (the positives), and no others. Objectness: every prediction there is, the
#   positives and all negatives.
# - So a good box loss does not show that the network is *silent* where nothing is. That is the objectness loss's task.
#
# How are the matched predictions picked out of the maps? By indexing with four lists at once, *image, anchor, row,
# column*. The first match is the first entry of each list, the second the second, and so on. The 85 numbers stay:
#
# $$ (4, 3, 40, 40, 85) \; [\,(m), (m), (m), (m)\,] \to (m, 85) $$

# %%
raw, match = maps[1], matches[1]  # stride 16
picked = raw[match.image, match.anchor, match.row, match.col]  # (m, 85)
k = 10
place = [int(index[k]) for index in (match.image, match.anchor, match.row, match.col)]
print("picked:", tuple(picked.shape), f" match {k} stands at image, anchor, row, column {place}")
print("of the 85 numbers there,", int((picked[k] != raw[tuple(place)]).sum()), "differ from row", k, "of what was picked")

# %% [markdown]
# ## 3. From raw numbers to boxes, in cells
#
# Raw numbers are decoded as in the notebook about grids:
#
# $$ x = 2\sigma(t_x) - 0.5, \quad y = 2\sigma(t_y) - 0.5, \quad
# w = (2\sigma(t_w))^2\, w_a, \quad h = (2\sigma(t_h))^2\, h_a $$
#
# with one difference: nothing is multiplied by the stride, and the cell's place is not added. The box stays in
# **cells**, measured from its own cell's corner, and so does the object's (`matches.box`; YOLOv5: `pbox` and `tbox`).
# Why? The loss compares the two, and an overlap is the same in any unit and from any corner. Leaving both out saves
# work.

# %%
boxes = decode_matches(picked, match.anchor_wh)  # (m, 4)
s = picked[k, :4].sigmoid()
by_hand = torch.cat((2 * s[:2] - 0.5, (2 * s[2:]) ** 2 * match.anchor_wh[k]))
for way, box in {"by hand": by_hand, "by decode_matches": boxes[k]}.items():
    print(f"{way}:", ", ".join(f"{side} {approx(value, '.4f')}" for side, value in zip("xywh", box)))
pixels = yl.bbox_iou(boxes * 16, match.box * 16)
difference = (pixels - levels[1].overlap).abs().max()
print("overlap in pixels and in cells, largest difference:", approx(difference, ".0e"))
assert torch.allclose(by_hand, boxes[k]) and difference < 1e-5

# %% [markdown]
# Let us see some, on the picture: the cat of picture 2, and what each anchor of the coarse grid predicts in the cat's own
# cell. (For the drawing, cell and stride are put back.)

# %%
match, truth = matches[2], batch.targets[11, 2:6]
boxes = decode_matches(maps[2][match.image, match.anchor, match.row, match.col], match.anchor_wh)
mine = (match.target == 11) & (match.offset == 0)
boxes[:, :2] += torch.stack((match.col, match.row), 1)  # from the picture's corner
xyxy = yl.xywh_to_xyxy(torch.cat((truth[None] * 640, boxes[mine] * 32)))
words = ["object", *(f"anchor {anchor}" for anchor in match.anchor[mine].tolist())]
show_image(batch.images[2], xyxy, words)

# %% [markdown]
# **What to notice**
# - The network has learnt nothing yet, and still the boxes are not absurd. Each lies around its cell, and its size is
#   that of its anchor times a factor between 0 and 4: raw numbers of 0 would give the anchor itself.
# - Each of them is compared with the object *by itself*. There is no vote, and no "best one".

# %% [markdown]
# ## 4. The box loss: CIoU, term by term
#
# How well do two boxes agree? Let a prediction be (50, 80, 150, 140) and an object (90, 70, 160, 160): left, top,
# right, bottom. The obvious measure is **intersection over union** (IoU): what both cover, divided by what either
# covers.

# %%
pred = torch.tensor([[50, 80, 150, 140]], dtype=torch.float64)
truth = torch.tensor([[90, 70, 160, 160]], dtype=torch.float64)
intersection = (150 - 90) * (140 - 80)
union = 100 * 60 + 70 * 90 - intersection
iou = intersection / union
print(f"intersection {intersection}, union {union}, IoU {iou:.6f}, loss 1 - IoU {1 - iou:.6f}")
paper = torch.full((180, 200, 3), 114, dtype=torch.uint8)
show_image(paper, torch.cat((pred, truth)), ["prediction", "object"])

# %% [markdown]
# IoU has blind spots. Three descendants add what it does not see, one term after the other:
#
# $$ \text{GIoU} = \text{IoU} - \frac{C - U}{C} \qquad
# \text{DIoU} = \text{IoU} - \frac{\rho^2}{c^2} \qquad
# \text{CIoU} = \text{DIoU} - \alpha v $$
#
# - $C$ is the area of the **enclosing box**, the smallest one around both, $U$ the union. GIoU takes off the fraction of
#   $C$ that neither covers.
# - $\rho$ is the distance of the two centres, $c$ the diagonal of the enclosing box. Their quotient is at most 1,
#   whatever the boxes' size.
# - $v = \frac{4}{\pi^2} \left(\arctan\frac{w_o}{h_o} - \arctan\frac{w}{h}\right)^2$ compares the shapes, width over
#   height, and $\alpha = \frac{v}{1 - \text{IoU} + v}$ decides how much that counts.

# %%
enclosing = (160 - 50) * (160 - 70)
rho2 = (125 - 100) ** 2 + (115 - 110) ** 2  # of the centres (125, 115) and (100, 110)
c2 = (160 - 50) ** 2 + (160 - 70) ** 2
v = 4 / math.pi**2 * (math.atan(70 / 90) - math.atan(100 / 60)) ** 2
alpha = v / (1 - iou + v)
giou, diou = iou - (enclosing - union) / enclosing, iou - rho2 / c2
by_hand = {"iou": iou, "giou": giou, "diou": diou, "ciou": diou - alpha * v}
print(f"enclosing area {enclosing}, centre distance squared {rho2}, enclosing diagonal squared {c2}")
print(f"v {v:.6f}, alpha {alpha:.6f}")

# %%
terms = yl.iou_terms(pred, truth, "xyxy")
for kind in IOU_KINDS:
    library = terms.value(kind).item()
    print(f"1 - {kind:4}: by hand {1 - by_hand[kind]:.6f}, by the library {1 - library:.6f}")
print(f"1 - ciou with one digit more: {1 - terms.value('ciou').item():.7f}")

# %% [markdown]
# Do we need all these terms? Here are three pairs of predictions for one object. In each pair the second one is
# plainly better. Which measures see it?

# %%
goal = torch.tensor([[20.0, 20, 100, 100]])
pairs = {
    "far or near": ((200.0, 20, 280, 100), (110.0, 20, 190, 100)),
    "aside or central": ((25.0, 25, 65, 65), (40.0, 40, 80, 80)),
    "flat or square": ((20.0, 50, 100, 70), (40.0, 40, 80, 80)),
}
pairs = {name: torch.tensor(two) for name, two in pairs.items()}  # (2, 4): worse, better
loss = {name: {kind: 1 - yl.bbox_iou(two, goal, kind, "xyxy") for kind in IOU_KINDS} for name, two in pairs.items()}
for name, by_kind in loss.items():
    print(f"{name:17} distinguished by:", [kind for kind, (worse, better) in by_kind.items() if worse - better > 1e-4])
paper = torch.full((120, 300, 3), 114, dtype=torch.uint8)
three = [torch.cat((goal, two)) for two in pairs.values()]
pictures = [show_image(paper[:, : int(b.max()) + 20], b, ["object", "worse", "better"]) for b in three]
row(*pictures, titles=list(pairs))

# %%
rows = []
for name, by_kind in loss.items():
    both = (losses.tolist() for losses in by_kind.values())
    rows.append([name, *(f"{worse:.3f} -> {better:.3f}" for worse, better in both)])
show_table(["pair", *IOU_KINDS], rows, title="losses, 1 - overlap, of the worse and of the better one")

# %% [markdown]
# **What to notice**
# - Boxes that do not touch: IoU is 0 for both. The others see that one is nearer.
# - One box inside the other: IoU *and* GIoU do not see where inside. The distance of the centres does.
# - Same centre, same IoU: only $v$ sees that the shape is wrong.
#
# CIoU sees all three, so YOLOv5 uses it. Try it: drag the prediction away, put it inside, make it flat. The arrows
# show where gradient descent on the chosen loss moves it.

# %%
playground = IouPlayground(boxes=[(50, 80, 150, 140), (90, 70, 160, 160)], rate=300)
playground

# %% [markdown]
# **What to notice**
# - The table of terms holds the numbers from above; unfold **formulas and gradients** for the four overlaps.
# - $\alpha$ is small while the boxes hardly overlap: shape is a matter for boxes that have found their object. For the
#   gradient it counts as a constant.
# - Press the story "apart": under plain IoU the arrows vanish. Then choose another `box_loss`.
# - Unfold **the way down**: each loss walks down from here. From this start GIoU gets farthest. Then why does YOLOv5 use
#   CIoU? One start proves little.
#
# ### From one start to three hundred
#
# Three hundred pairs of boxes, drawn at random on the playground's plane; in nearly half of them the boxes do not touch.
# From each, the four losses walk down by the playground's own rule: a learning rate that falls to 0, and no side shorter
# than 1 pixel.

# %%
generator = torch.Generator().manual_seed(0)

def random_boxes(n):
    """(n, 4) x, y, w, h: sides of 20 to 120 px, inside the playground's 240 x 170."""
    wh = 20 + 100 * torch.rand(n, 2, generator=generator)
    return torch.cat((wh / 2 + (torch.tensor([240.0, 170.0]) - wh) * torch.rand(n, 2, generator=generator), wh), 1)

def ious_on_the_way(box, goal, kind, rate, steps):
    """Gradient descent of n boxes at once -> (steps + 1, n) IoU."""
    way = []
    for step in range(steps + 1):
        box = torch.cat((box[:, :2], box[:, 2:].clamp(min=1)), 1)
        way.append(yl.bbox_iou(box, goal, "iou"))
        box = box + rate * (1 - step / steps) * yl.iou_gradient(box, goal, kind)
    return torch.stack(way)

# %%
starts, goals = random_boxes(300), random_boxes(300)
touching = yl.bbox_iou(starts, goals, "iou") > 0
budgets = {(rate, steps): {kind: ious_on_the_way(starts, goals, kind, rate, steps) for kind in IOU_KINDS}
           for rate, steps in ((800, 20), (800, 200), (2000, 60), (2000, 200))}
one, other = (xyxy_to_xywh(torch.tensor([box[:4]])) for box in playground.boxes)
again = ious_on_the_way(one, other, "giou", playground.rate, playground.steps)[:, 0]
gap = (again - playground.result.descent.ious[IOU_KINDS.index("giou")]).abs().max()
print(f"boxes that touch at the start: {int(touching.sum())} of 300")
print("this descent and the playground's, largest difference:", approx(gap, ".0e"))
assert gap < 1e-4

# %%
means, wins = [], []
for (rate, steps), ways in budgets.items():
    end = torch.stack([way[-1] for way in ways.values()])  # (4, 300)
    first, second = end.topk(2, dim=0).values
    best = [((one == first) & (first - second > 0.001)).float().mean() for one in end]
    means.append([f"{rate} px², {steps} steps", *(approx(one.mean()) for one in end)])
    wins.append([f"{rate} px², {steps} steps", *(approx(part, ".0%") for part in best)])
reached = {budget: {kind: way[-1].mean() for kind, way in ways.items()} for budget, ways in budgets.items()}
assert reached[800, 20]["giou"] > reached[800, 20]["ciou"] + 0.03
assert abs(reached[800, 200]["giou"] - reached[800, 200]["ciou"]) < 0.02
assert min(reached[2000, 60]["diou"], reached[2000, 60]["ciou"]) > reached[2000, 60]["giou"] + 0.005
columns = ["learning rate", *IOU_KINDS]
column(show_table(columns, means, title="mean IoU at the end"),
       show_table(columns, wins, title="from how many starts it ends best, by more than 0.001"))  # fmt: skip

# %%
assert all(ways["iou"][-1, ~touching].max() == 0 for ways in budgets.values())
lost = (budgets[2000, 200]["iou"][-1, touching] == 0).float().mean()
print("boxes that touched and were lost by plain IoU at 2000 px²:", approx(lost, ".0%"))
assert lost > 0.1

def progress(budget, legend):
    means = {kind: way.mean(1) for kind, way in budgets[budget].items()}
    (chart,) = show_series(means, x_label="step", y_label="mean IoU of 300 boxes").rows[0]
    return Scene(((replace(chart, y_range=(0, 1), legend=legend),),))

row(progress((800, 20), "none"), progress((800, 200), "beside"), titles=["20 steps, 800 px²", "200 steps, 800 px²"])

# %% [markdown]
# Two more numbers explain the picture: how long the gradient is at the start, and how far a box still jumps near the end.

# %%
length, jump, rows = {}, {}, []
for kind in IOU_KINDS:
    length[kind] = yl.iou_gradient(starts, goals, kind).norm(dim=1).mean()
    jump[kind] = budgets[800, 200][kind][150:].diff(dim=0).abs().mean()
    rows.append([kind, approx(1000 * length[kind], ".1f"), approx(jump[kind], ".3f")])
assert length["giou"] > 1.2 * length["ciou"] and jump["giou"] > 1.2 * max(jump["diou"], jump["ciou"])
near_the_end = "change of the IoU in a step, the last 50 of 200"
show_table(["loss", "gradient at the start, thousandths a pixel", near_the_end], rows)

# %% [markdown]
# **What to notice**
# - **Few steps: GIoU is ahead** (left). Its gradient is the longest, so with the same learning rate it moves farthest.
#   That is the race that single charts show, the playground's among them.
# - **Enough steps: DIoU and CIoU overtake it** (right). Near the goal the longer gradient makes a box jump over it and
#   back. At the end all three are close to 1, and DIoU and CIoU end best from more starts. With a larger learning rate
#   (the last two rows of the tables) they are better on the mean, too.
# - DIoU and CIoU are nearly equal here: for most pairs the term of shape is small.
# - Plain IoU never finds a box that it does not touch: from these starts it ends at 0, with any budget. And a larger
#   learning rate makes it *lose* boxes that it touched.
# - So GIoU wins short races, and CIoU long ones, which training is. A caution: these are single boxes that descend by
#   themselves. A network moves its weights, and with them all boxes at once.
#
# The box loss of a grid is the mean of $1 - \text{CIoU}$ over its matches, and the three means are added, times a gain
# of 0.05 that section 10 explains.

# %%
box = 0.05 * sum((1 - level.overlap).mean() for level in levels)
print(f"box loss by hand {approx(box, '.4f')}, by the library {approx(parts.box, '.4f')}")
overlaps = torch.cat([level.overlap for level in levels])  # (264,)
assert torch.isclose(box, parts.box) and overlaps.min() < 0 < 0.5 < overlaps.max() < 0.9
show_histogram(overlaps, title="CIoU of the matched predictions", x_label="CIoU")

# %% [markdown]
# **What to notice**
# - Nothing has been learnt yet, and still nearly all of them overlap their object: a prediction starts near its anchor, and
#   matched anchors resemble their objects. None is close to 1; training has to bring them there.
# - A few are below 0: little or no overlap, and the terms for distance and shape are taken off.

# %% [markdown]
# ## 5. Yes or no: binary cross-entropy
#
# The other two losses are about questions with yes or no. The network gives a raw number $z$, a **logit**;
# $p = \sigma(z) = 1 / (1 + e^{-z})$ is its probability for "yes". If the target is $t$, the **binary
# cross-entropy** (BCE) is
#
# $$ \text{BCE} = -t \ln p - (1 - t) \ln (1 - p) $$
#
# It is $-\ln$ of the probability that was given to the right answer: 0 for a sure and right one, without limit for a
# sure and wrong one. And not knowing ($z = 0$, $p = 0.5$) always costs $\ln 2 = 0.693$. Remember that number.

# %%
z = torch.tensor([-3.0, 0.0, 3.0])
for t in (1.0, 0.0):
    p = z.sigmoid()
    by_hand = -t * p.log() - (1 - t) * (1 - p).log()
    library = bce_with_focal(z, torch.full_like(z, t))
    print(f"t = {t:.0f}:", *(f"{x:.4f}" for x in by_hand), " by the library:", *(f"{x:.4f}" for x in library))

# %% [markdown]
# Written like this it breaks. A computer's $\sigma(200)$ is exactly 1, so $\ln(1 - p)$ is $-\infty$ and the loss
# infinite. And $\sigma(-200)$ is exactly 0, so a target of 0 asks for $0 \cdot \ln 0 = 0 \cdot (-\infty)$: that is not a
# number, and prints as `nan`, although the right answer is 0. Put together on paper first, logarithm and sigmoid give a
# formula that holds for any $z$. This is why losses take *logits*, not probabilities:
#
# $$ \text{BCE} = \max(z, 0) - z\,t + \ln\left(1 + e^{-|z|}\right) $$
#
# The exponent is never positive, so nothing overflows. (First and last term together are $\ln(1 + e^z)$, called
# **softplus**.)

# %%
def bce(z, t):
    return z.clamp(min=0) - z * t + (-z.abs()).exp().log1p()

z, t = torch.tensor([200.0, -200.0, 0.5]), torch.tensor([0.0, 0.0, 1.0])
p = z.sigmoid()
print("from probabilities:", [round(x, 4) for x in (-t * p.log() - (1 - t) * (1 - p).log()).tolist()])
print("from logits:       ", [round(x, 4) for x in bce(z, t).tolist()])
print("by the library:    ", [round(x, 4) for x in bce_with_focal(z, t).tolist()])

# %% [markdown]
# ## 6. Objectness: how good is my box?
#
# What should the target of a matched prediction be for "is there an object?" The first idea is 1: there is one. YOLOv5's
# **objectness target** (`tobj`) is something else: **the overlap of its own box with the object**, the CIoU from above.
# A prediction whose box is poor should have a low objectness.
#
# Can BCE teach a number like 0.6? Yes. Its slope is $\sigma(z) - t$, so it is lowest exactly where the probability is
# $t$:

# %%
p = torch.linspace(0.01, 0.99, 99)
curves = {f"target {t}": bce_with_focal(p.logit(), torch.full_like(p, t)) for t in (0.0, 0.3, 0.6, 1.0)}
for name, curve in curves.items():
    print(f"{name}: lowest at p = {p[curve.argmin()]:.2f}")
print(f"with target 0.6 the loss cannot fall below {curves['target 0.6'].min():.3f}")
show_series(curves, p, "BCE", "probability that the network gives", "loss")

# %% [markdown]
# **What to notice**
# - Each curve is lowest at its own target (0.01 and 0.99 are only the ends of what is drawn).
# - With a soft target the loss is never 0, not even for the perfect prediction. Do not wait for the objectness loss to
#   vanish.
#
# What does it buy? In the end the confidence decides which of many boxes for one object survives: the surest one. Let
# us freeze the boxes of our 264 matched predictions and let only their objectness learn, once towards the overlap and
# once towards a constant 1.

# %%
overlap = torch.cat([level.overlap for level in levels]).clamp(min=0)  # (264,)
matched_to = torch.cat([match.target for match in matches])  # (264,) which object
start = torch.cat([raw[m.image, m.anchor, m.row, m.col, 4] for raw, m in zip(maps, matches)])

def learnt(target, learning_rate=4.0, steps=300):
    z = start.clone()
    for _ in range(steps):
        z -= learning_rate * (z.sigmoid() - target)  # the gradient of BCE
    return z.sigmoid()

# %%
confidence = {"target: the overlap": learnt(overlap), "target: 1": learnt(torch.ones_like(overlap))}
mine, spread, best = [matched_to == target for target in range(len(batch.targets))], [], []
for name, p in confidence.items():
    spread.append(p.max() - p.min())
    best.append(sum(int(overlap[m][p[m].argmax()] == overlap[m].max()) for m in mine))
    print(f"{name}: confidences differ by up to {approx(spread[-1])}")
    print(f"  the surest has the best box for {approx(best[-1], 'd')} of {len(mine)} objects")
assert spread[0] > 0.3 and spread[1] < 0.01 and best[0] > 20 and best[1] < 12
order = overlap.argsort()
show_series({name: p[order] for name, p in confidence.items()}, overlap[order], "what confidence means",
            "overlap of the prediction's box", "confidence learnt")

# %% [markdown]
# **What to notice**
# - Towards 1: every prediction is sure. The confidence says nothing about the box, and choosing the surest is rolling
#   dice.
# - Towards the overlap: the confidence *is* the overlap. The best box wins.
#
# You may meet the number `gr` in YOLOv5's loss. It mixes the two: the target is $(1 - gr) + gr \cdot \text{overlap}$, so
# 0 means "always 1" and 1 means "the overlap". YOLOv5 sets it to 1 and nothing changes it. Here there is no such setting.
#
# Two details. The overlap is **clamped at 0**: CIoU can be negative, a probability cannot. And BCE with a negative
# target has no bottom:

# %%
all_overlaps = torch.cat([level.overlap for level in levels])  # (264,)
negative = int((all_overlaps < 0).sum())
print(f"matched predictions with a negative CIoU: {approx(negative, 'd')}, the lowest is {approx(all_overlaps.min())}")
assert all_overlaps.min() < -0.03
for z in (-10.0, -100.0, -1000.0):
    print(f"target -0.1, logit {z:6.0f}: loss {bce(torch.tensor(z), torch.tensor(-0.1)):.1f}")

# %% [markdown]
# And it is **detached**: for the gradient it counts as a given number, not as something the box can change. Why? The
# slope of BCE in its *target* is $-z$. An untrained network says "no" nearly everywhere: its logits are negative, so raising the
# target raises the loss. It could make the objectness loss smaller by making its boxes *worse*:

# %%
target = overlap.clone().requires_grad_()
slope = torch.autograd.grad(functional.binary_cross_entropy_with_logits(start, target, reduction="sum"), target)[0]
print("the slope in the target and -z, largest difference:", approx((slope + start).abs().max(), ".0e"))
costly = (slope > 0).float().mean()
print("matched predictions for which a better box would cost objectness loss:", approx(costly, ".0%"))
assert torch.allclose(slope, -start, atol=1e-5) and costly > 0.95
obj = sum(level.obj for level in criterion.levels(leaves, batch.targets))
of_boxes = [gradient[..., :4] for gradient in torch.autograd.grad(obj, leaves)]
moved, numbers = sum(int((g != 0).sum()) for g in of_boxes), sum(g.numel() for g in of_boxes)
print(f"of {numbers:,} raw numbers of boxes, {moved} have a gradient from the objectness loss")
assert moved == 0

# %% [markdown]
# ## 7. All the others: silence
#
# Every prediction without a match gets the target 0. Here are the targets of picture 2 on the coarse grid, one map for
# each anchor (the picture calls them channels): bright where a match asks for a high confidence, dark where the target is 0.

# %%
positive = sum(int((level.objectness > 0).sum()) for level in levels)
everything = sum(level.objectness.numel() for level in levels)
without = everything - matched
print(f"{matched} matches, {without:,} predictions without one: {without / everything:.2%}")
print(f"positive targets: {approx(positive, 'd')} (negative overlaps are clamped to 0)")
highest = levels[2].objectness[2].amax((1, 2))  # (3,) of each anchor's map
print("picture 2, highest target of anchors 0, 1, 2:", *(approx(value) for value in highest))
assert 0.9 * matched < positive < matched and 0.5 < highest.min() < highest.max() < 0.85
show_feature_maps({"objectness targets of picture 2, stride 32": levels[2].objectness}, image_index=2)

# %% [markdown]
# **What to notice**
# - Nearly every cell is dark. The bright ones are the own cells of objects and up to two neighbours of each; where objects
#   are close, their cells lie side by side.
# - Each map is stretched by itself: yellow is *its own* highest target, printed above. So compare brightness within a map,
#   not between two.
#
# The objectness loss of a grid is the mean of BCE over *all* its cells and anchors, then times a weight for the grid
# (section 9).

# %%
for stride, raw, level in zip(model.strides, maps, levels):
    mean, count = bce(raw[..., 4], level.objectness).mean(), raw[..., 4].numel()
    print(f"stride {stride:2}, {count:6,} predictions: mean {approx(mean, '.5f')} by hand,",
          approx(level.obj_mean, ".5f"), "by the library")  # fmt: skip
    assert torch.isclose(mean, level.obj_mean)

# %% [markdown]
# What about a picture without any object? Then all targets are 0, and box and class loss are 0, because there
# are no matches. Such pictures are good for something: they teach silence.

# %%
zeros = [torch.zeros(1, 3, size, size, 85) for size in (80, 40, 20)]  # all logits 0
empty = criterion(zeros, torch.zeros(0, 6))
print(f"box {empty.box:.1f}, cls {empty.cls:.1f}, obj {empty.obj:.2f}")

# %% [markdown]
# ### Two objects, one prediction
#
# Two objects may be matched to the same prediction. For box and class both are listed, and both are averaged in. But a
# prediction has only one objectness, so somebody must decide: it is **the last match in the list**. That is an
# accident of writing to the same place twice, and the library keeps it, because equal numbers are the point. With
# `collisions="best"` the better overlap counts, which is what one would expect. (YOLOv5 has a switch for that,
# `sort_obj_iou`, off by default: it sorts the matches by overlap first, so that the best one is written last.) Two
# objects at nearly the same place:

# %%
twins = torch.tensor([[0, 0, 0.51, 0.51, 0.20, 0.22], [0, 1, 0.515, 0.515, 0.24, 0.20]])
last = criterion.levels(zeros, twins)[2]
best = model.criterion(yl.Hyperparameters(), collisions="best").levels(zeros, twins)[2]
m = last.matches
own = (m.offset == 0).nonzero().flatten().tolist()
rows = []
for k in own:
    here = (0, m.anchor[k], m.row[k], m.col[k])
    values = (last.overlap[k], last.objectness[here], best.objectness[here])
    rows.append([int(m.anchor[k]), int(m.target[k]), *(f"{x:.4f}" for x in values)])
    print("anchor {}, object {}: overlap {}; target with last {}, with best {}".format(*rows[-1]))

# %% [markdown]
# **What to notice**
# - Anchor 0: the first object fits better (0.5461), but the second one comes last, so the target is 0.5290. With
#   "best" it is 0.5461.
# - Anchors 1 and 2: the second object fits better anyway, and both rules agree.

# %% [markdown]
# ## 8. The class: 80 separate questions
#
# A matched prediction has 80 class logits. Two ways to read them suggest themselves. **Softmax** makes them parts of
# a whole:
#
# $$ p_i = \frac{e^{z_i}}{\sum_j e^{z_j}} $$
#
# The **sigmoid** treats each alone, $p_i = \sigma(z_i)$: is it a person? Is it an athlete? Is it a cup? Consider a
# runner, for whom both "person" and "athlete" are right, and a patch of sky, for which nothing is.

# %%
classes = ["person", "athlete", "cup"]
for name, logits in {"runner": [3.0, 3.0, -4.0], "sky": [-4.0, -4.0, -4.0]}.items():
    z = torch.tensor(logits)
    for kind, p in {"sigmoid": z.sigmoid(), "softmax": z.softmax(0)}.items():
        print(f"{name:6} {kind}:", dict(zip(classes, [round(x, 3) for x in p.tolist()])), f"sum {p.sum():.3f}")

# %% [markdown]
# **What to notice**
# - Softmax must give out exactly 1. The runner's classes compete and cannot both pass one half; the sky
#   *must* be something, a third of each.
# - Sigmoids are free: yes and yes; no, no and no.
#
# What would training do with the two? With targets (1, 1, 0), let 500 steps of gradient descent improve the logits.
# (They start at 0. There two terms of our `bce` have a kink, and autograd would make $1 - t$ of the gradient, 0 or
# 1, instead of $\sigma(0) - t$. So this cell takes PyTorch's function, which knows its gradient by formula.)

# %%
def trained(loss):
    z = torch.zeros(3, requires_grad=True)
    for _ in range(500):
        (gradient,) = torch.autograd.grad(loss(z), z)
        z = (z - gradient).detach().requires_grad_()
    return loss(z).item(), z

target = torch.tensor([1.0, 1.0, 0.0])
free, z_free = trained(lambda z: functional.binary_cross_entropy_with_logits(z, target, reduction="sum"))
summed, z_summed = trained(lambda z: -(target * z.log_softmax(0)).sum())
for name, p, cost in (("sigmoid", z_free.sigmoid(), free), ("softmax", z_summed.softmax(0), summed)):
    learned = ", ".join(f"{label} {approx(x)}" for label, x in zip(classes, p))
    print(f"{name}: {learned}; the loss is then {approx(cost, '.4f')}")
print(f"2 ln 2 = {2 * math.log(2):.4f}, which no softmax can go below")
assert free < 0.05 and 2 * math.log(2) < summed < 1.4

# %% [markdown]
# The label files of this tour name only one class for each object. Still the sigmoid is the safer choice: datasets with
# overlapping classes work without a change, and the score of a class does not depend on which others are in the list.
#
# The class loss of a grid is the mean of BCE over matches *and* classes, that is over $m \times 80$ numbers. The
# targets are 1 for the object's class and 0 for the 79 others.

# %%
total = 0.0
for raw, m in zip(maps, matches):
    logits = raw[m.image, m.anchor, m.row, m.col, 5:]  # (m, 80)
    target = functional.one_hot(m.cls, 80).float()  # (m, 80)
    total += bce(logits, target).mean()
print(f"class loss by hand {approx(0.5 * total, '.4f')}, by the library {approx(parts.cls, '.4f')}")
assert torch.isclose(0.5 * total, parts.cls)

# %% [markdown]
# With a single class there is nothing to choose: objectness says it all. Then the class loss is left out, and its
# logit is never trained.

# %%
for num_classes in (1, 2, 80):
    alone = yl.ComputeLoss(model.anchors, model.strides, num_classes)
    maps_of_it = [torch.zeros(1, 3, size, size, 5 + num_classes) for size in (80, 40, 20)]
    parts_of_it = alone(maps_of_it, torch.tensor([[0, 0, 0.5, 0.5, 0.1, 0.12]]))
    print(f"number of classes {num_classes:2}, all logits 0: class loss {parts_of_it.cls:.4f}")

# %% [markdown]
# ## 9. Balance: three grids, one voice each
#
# The objectness of a grid is a *mean* over its predictions, 19,200 on the fine grid of one picture and 1,200 on the
# coarse one. So a single prediction of the coarse grid has 16 times the weight of one on the fine grid. Small objects,
# which live on the fine grid, would hardly be heard. **Balance** multiplies the three means by 4, 1 and 0.4:

# %%
rows, weights = [], []
for stride, raw, balance in zip(model.strides, zeros, criterion.balance.tolist()):
    count = raw[..., 0].numel()
    weights.append((1 / count, balance / count))
    alone, balanced = 1e4 / count, 1e4 * balance / count
    rows.append([stride, f"{count:,}", f"{balance:.1f}", f"{alone:.2f}", f"{balanced:.2f}"])
for k, name in enumerate(("without", "with")):
    times = " : ".join(f"{w[k] / weights[0][k]:.1f}" for w in weights)
    print(f"{name:7} balance, a prediction weighs fine : middle : coarse = {times}")
print("balance of models with four or five grids:", BALANCE)
show_table(["stride", "predictions a picture", "balance", "weight of one, x 10,000", "the same with balance"], rows)

# %% [markdown]
# **What to notice**
# - With balance, a prediction of the fine grid weighs exactly as much as one of the middle grid, and the coarse one
#   1.6 times as much instead of 16.
# - Models with four or five grids have 4, 1, 0.25, 0.06 and 0.02.
#
# The reference can also adapt the balance while it trains. **Autobalance** gives each grid a weight that follows one
# over its mean BCE, slowly, and always so that the grid of stride 16 has 1:
#
# $$ b \leftarrow 0.9999\, b + \frac{0.0001}{\text{mean BCE}}, \qquad b \leftarrow b / b_{\text{stride 16}} $$

# %%
adapting = model.criterion(yl.Hyperparameters(), autobalance=True)
adapting(zeros, twins)
b = [0.9999 * b + 0.0001 / math.log(2) for b in (4.0, 1.0, 0.4)]  # all logits 0: every mean is ln 2
print("after one step, by hand:       ", [round(b[0] / b[1], 4), 1.0, round(b[2] / b[1], 4)])
print("after one step, by the library:", [round(x, 4) for x in adapting.balance.tolist()])

# %% [markdown]
# ## 10. Gains: three losses in one sum
#
# Orange and apples: the box loss counts overlaps, objectness counts yes-or-no over thousands, class the same over a
# few. Added as they are, the largest would drown the others. So each has a **gain**, found by trying: box 0.05,
# objectness 1, class 0.5.

# %%
hyp = yl.Hyperparameters()
without = {"box": parts.box / hyp.box, "obj": parts.obj / hyp.obj, "cls": parts.cls / hyp.cls}
gained = {name: getattr(parts, name) for name in without}
fraction = [float(p["box"] / sum(p.values())) for p in (without, gained)]
for name, part in zip(("without", "with"), fraction):
    print(f"{name} gains the box loss is {approx(part, '.0%')} of the sum")
assert fraction[0] > 0.75 and fraction[1] < 0.5
row(show_bars(without, title="without gains"), show_bars(gained, title="with gains"))

# %% [markdown]
# The gains were found with 3 grids, 80 classes and 640 pixels. For another model `criterion` scales them, so that the
# same three numbers keep their meaning:
#
# | gain | times | because |
# |---|---|---|
# | all | $3 / n_l$ | the loss *adds* grids: more of them, more summands |
# | class | $n_c / 80$ | a mean over classes: with fewer classes each one weighs more |
# | objectness | $(\text{size} / 640)^2$ | a mean over cells: in a smaller picture each one weighs more |

# %%
rows = []
for n_levels, n_classes, size in [(3, 80, 640), (3, 80, 320), (3, 20, 640), (3, 1, 640), (4, 80, 1280)]:
    scaled = hyp.scaled(n_levels, n_classes, size)
    predictions = 3 * sum((size // stride) ** 2 for stride in (8, 16, 32, 64)[:n_levels])
    rows.append([n_levels, n_classes, size, scaled.box, scaled.obj, scaled.cls, predictions])
    gains = f"box {scaled.box:.4f}, obj {scaled.obj:.4f}, cls {scaled.cls:.5f}"
    print(f"grids {n_levels}, classes {n_classes:2}, pixels {size:4}: {gains}")
table = [[*settings, f"{predictions:,}"] for *settings, predictions in rows]
show_table(["grids", "classes", "pixels", "box", "obj", "cls", "predictions a picture"], table)

# %% [markdown]
# Does that keep the meaning? What a single prediction, and a single class, weighs must come out the same:

# %%
(_, _, _, _, obj_640, cls_80, at_640), (_, _, _, _, obj_320, _, at_320), (*_, cls_20, _) = rows[:3]
print(f"objectness, weight of one prediction: {obj_320 / at_320:.3e} at 320 pixels,",
      f"{obj_640 / at_640:.3e} at 640")  # fmt: skip
print(f"class, weight of one class: {cls_20 / 20:.3e} of 20, {cls_80 / 80:.3e} of 80")

# %% [markdown]
# One factor is left. Box, objectness and class are means over the batch. Their sum is multiplied by the **batch
# size**, and that is the total:
#
# $$ L = N \cdot (L_\text{box} + L_\text{obj} + L_\text{cls}) $$
#
# So the gradient of a batch of four is about as long as those of four batches of one together. This matters because
# gradients are accumulated until about 64 pictures have been seen (notebook 08): the sum is then about the same,
# however large the batches are. The same picture once and twice:

# %%
one = torch.tensor([[0, 0, 0.5, 0.5, 0.1, 0.12]])
two = torch.cat((one, one + torch.tensor([[1, 0, 0, 0, 0, 0]])))  # the same object in picture 1
single, double = criterion(zeros, one), criterion([raw.repeat(2, 1, 1, 1, 1) for raw in zeros], two)
for name, once, twice in zip(("box", "obj", "cls"), single[1:], double[1:]):
    print(f"{name}: once {once:.3f}, twice {twice:.3f}")
print(f"the total grows by a factor of {double.total / single.total:.1f}")

# %% [markdown]
# What does a gain do to training? Not the loss itself, its *gradient* moves the weights. The explorer shows both, for
# our batch and our network: the three losses, and how long the gradient of each is in the raw maps, beside the default
# settings.

# %%
explorer = LossExplorer(images=batch, model=model)
explorer

# %% [markdown]
# **What to notice**
# - Box and class loss are about equally large, but the box loss clearly has the longest gradient. The height of a loss
#   and its slope are two things.
# - Objectness has the shortest gradient, although it is about 100,800 predictions. Nearly all of them are silent
#   already; the head starts out that way, with negative objectness. (The cell below checks both.)
# - Raise `balance_0` and watch the bar "obj 8". Raise `label_smoothing` and watch the class loss (section 12 explains
#   it).
# - Those are among the **more settings**, folded below the picture; the bars are in **gradient by level**. `obj_pw` and
#   `cls_pw` are there too. They multiply the "yes" part of BCE, $-t \ln p$, and are 1 unless objects are very rare.
#
# Moving a slider is the same as setting the value in Python:

# %%
lengths = dict(zip(explorer.result.now.terms, explorer.result.now.norms.norm(dim=1).tolist()))
print("length of the gradient:", ", ".join(f"{name} {approx(length, '.4f')}" for name, length in lengths.items()))
silent = (torch.cat([raw[..., 4].flatten() for raw in maps]).sigmoid() < 0.05).float().mean()
print("confidence below 0.05 before any training:", approx(silent, ".1%"), "of the predictions")
assert lengths["box"] > 2 * lengths["cls"] > 3 * lengths["obj"] and silent > 0.95
assert 1 / 1.3 < explorer.result.now.parts.box / explorer.result.now.parts.cls < 1.3
explorer.box = 0.2
now, usual = explorer.result.now.parts, explorer.result.default.parts
print(f"box gain 0.05 -> 0.2: the box loss times {now.box / usual.box:.1f}")
print(explorer.as_code())
explorer.reset()

# %%
z, yes = torch.tensor([-1.0]), torch.ones(1)
for weight in (1.0, 2.0):
    cost = bce_with_focal(z, yes, pos_weight=weight).item()
    print(f"obj_pw or cls_pw {weight:.0f}: a yes at logit -1 costs {cost:.3f}")

# %% [markdown]
# ## 11. The whole loss with pencil and paper
#
# A case where everything can be worked out: all logits are 0, one picture, one object (0.5, 0.5, 0.1, 0.12). Every
# probability is one half, so *every* BCE is $\ln 2$, whatever its target. Therefore
#
# $$ L_\text{obj} = (4 + 1 + 0.4) \ln 2 = 5.4 \ln 2 \qquad L_\text{cls} = 0.5 \cdot 3 \ln 2 = 1.5 \ln 2 $$

# %%
check = criterion([raw.double() for raw in zeros], one.double())
print(f"obj {check.obj:.6f}, by hand {5.4 * math.log(2):.6f}")
print(f"cls {check.cls:.6f}, by hand {1.5 * math.log(2):.6f}")
print(f"box {check.box:.6f}, total {check.total:.6f}")

# %% [markdown]
# The box loss needs the matches. At logit 0 a prediction is its anchor, in the middle of its cell, so its overlap with
# the object is plain geometry. The centre, (40, 40), (20, 20) and (10, 10) cells, lies exactly on grid lines. Then the
# "right" and the "lower" cell are the object's own again (notebook 05), and some matches are listed up to three times:

# %%
box = 0.0
for stride, level in zip(model.strides, criterion.levels([raw.double() for raw in zeros], one.double())):
    m = level.matches
    distinct = len({*zip(m.anchor.tolist(), m.row.tolist(), m.col.tolist())})
    at_anchor = torch.cat((torch.full_like(m.anchor_wh, 0.5), m.anchor_wh), 1)  # at logit 0
    mean = (1 - yl.bbox_iou(at_anchor, m.box)).mean()
    box += 0.05 * mean
    print(f"stride {stride:2}: {len(m.cls):2} matches, {distinct} distinct; mean of 1 - CIoU {mean:.6f}")
print(f"box loss by hand {box:.6f}")

# %% [markdown]
# ## 12. Label smoothing
#
# With the target 1, BCE is never content. A logit of 5 could be 6, 7, 8 ...: the network is paid for being *surer*,
# even where a label is wrong. **Label smoothing** $\varepsilon$ asks for a little less: $1 - \varepsilon/2$ for the
# right class, $\varepsilon/2$ for the others.

# %%
positive, negative = smooth_targets(0.1)
print(f"label_smoothing 0.1: right class {positive}, others {negative}; the default is {hyp.label_smoothing}")
z = torch.linspace(-2, 8, 1001).double()
curves = {f"target {t}": bce_with_focal(z, torch.full_like(z, t)) for t in (1.0, positive)}
lowest = {name: z[curve.argmin()] for name, curve in curves.items()}
print(f"target 1: lowest at {lowest['target 1.0']:.2f}, the largest logit there is")
print(f"target 0.95: lowest at {lowest['target 0.95']:.2f}, by hand ln(0.95 / 0.05) = {math.log(19):.2f}")
show_series(curves, z, "class loss of the right class", "logit", "BCE")

# %% [markdown]
# **What to notice**
# - With 0.95 there is a best logit, and being surer than that costs.
# - The default is 0: no smoothing. It applies to the classes only; objectness has soft targets anyway.

# %% [markdown]
# ## 13. Focal loss
#
# A hundred thousand silent predictions, each a little wrong: is their sum not larger than that of the few that matter?
# **Focal loss** multiplies BCE by a weight that fades where the prediction is already right:
#
# $$ \text{FL} = \alpha_t\, (1 - p_t)^\gamma \cdot \text{BCE}, \qquad
# p_t = t\,p + (1 - t)(1 - p), \quad \alpha_t = t\,\alpha + (1 - t)(1 - \alpha) $$
#
# $p_t$ is the probability given to the right answer, yes or no, $\gamma$ says how fast the weight fades, and
# $\alpha = 0.25$ weighs positives against negatives. (This $\alpha$ has nothing to do with CIoU's. For a positive
# $\alpha_t$ is 0.25, for a negative 0.75.) Here is the loss against $p_t$, without $\alpha_t$:

# %%
p = torch.linspace(0.01, 0.99, 99)
yes = torch.ones_like(p)  # with the target 1, p_t is p itself
gammas = (0, 1, 2, 5)
focal = {f"gamma {g}": bce_with_focal(p.logit(), yes, gamma=g, alpha=0.5) / (0.5 if g else 1) for g in gammas}
weights = {f"gamma {g}": focal_weight(p.logit(), yes, g, alpha=0.5) / 0.5 for g in gammas}
right, wrong = weights["gamma 2"][[89, 9]].tolist()
print(f"gamma 2: right with p_t = 0.9, weight {right:.2f}; wrong with p_t = 0.1, weight {wrong:.2f}")
(chart,) = show_series(weights, p, "its weight", "p_t, the probability of the right answer", "(1 - p_t)^gamma").rows[0]
row(show_series(focal, p, "focal loss", "p_t, the probability of the right answer", "loss"),
    Scene(((replace(chart, legend="none"),),)))  # lines as on the left

# %% [markdown]
# **What to notice**
# - $\gamma = 0$ is plain BCE. With $\gamma = 2$ a prediction that is right with $p_t = 0.9$ counts a hundredth.
# - All curves meet at the left: a sure and wrong prediction keeps its weight. What fades is the right end, where the
#   100,000 are.
#
# And with a soft target, such as objectness has?

# %%
soft = torch.full_like(p, 0.6)
kinds = {kind: focal_weight(p.logit(), soft, 2, alpha=0.5, kind=kind) / 0.5 for kind in ("focal", "quality")}
print("target 0.6 and p = 0.6: weights", {kind: round(w[59].item(), 3) for kind, w in kinds.items()})
show_series(kinds, p, "weight, target 0.6, gamma 2", "probability", "weight")

# %% [markdown]
# **What to notice**
# - Focal loss was made for targets 0 and 1. With a soft target it does not fade at the target. **Quality focal loss**
#   takes $|t - p|^\gamma$ as its weight and does (`criterion(hyp, focal="quality")`).
#
# Four values to compare with, $\alpha = 0.25$ and $\gamma = 2$, as in RetinaNet:

# %%
for z, t in [(2.0, 1.0), (-2.0, 0.0), (0.0, 1.0), (0.0, 0.0)]:
    p = 1 / (1 + math.exp(-z))
    p_t, alpha_t = (p, 0.25) if t else (1 - p, 0.75)
    by_hand = -alpha_t * (1 - p_t) ** 2 * math.log(p_t)
    library = bce_with_focal(torch.tensor(z).double(), torch.tensor(t).double(), gamma=2.0).item()
    print(f"FL({z:.0f}, {t:.0f}) = {library:.5e}, by hand {by_hand:.5e}")

# %% [markdown]
# Now the sum that started it: 100,000 silent predictions that say $p = 0.01$, and 100 objects, for which the network says
# only $p = 0.1$ so far.

# %%
easy, hard = torch.full((100_000,), 0.01).double().logit(), torch.full((100,), 0.1).double().logit()
for gamma in (0.0, 2.0):
    background = bce_with_focal(easy, torch.zeros_like(easy), gamma=gamma).sum()
    objects = bce_with_focal(hard, torch.ones_like(hard), gamma=gamma).sum()
    fraction = background / (background + objects)
    print(f"gamma {gamma:.0f}: background {background:8.3f}, objects {objects:7.3f}; background's part {fraction:.1%}")
print("default fl_gamma:", hyp.fl_gamma)

# %% [markdown]
# **What to notice**
# - Plain BCE: four fifths of the loss come from predictions that are nearly right. Focal: almost nothing.
# - YOLOv5 leaves it off (`fl_gamma` 0). Its head starts out silent: `create_model` sets the objectness so low that the
#   background is quiet from the first step. RetinaNet, where focal loss comes from, starts its classes low as well and
#   needs both. Turn it on in the explorer above and look at the gradients.

# %% [markdown]
# ## 14. Check: the whole loss by hand
#
# Plain loops over the matches, nothing from the library but the matches themselves. First the overlap of two boxes:

# %%
def ciou(a, b):
    (x, y, w, h), (xo, yo, wo, ho) = a, b
    left, right = torch.stack((x - w / 2, xo - wo / 2)), torch.stack((x + w / 2, xo + wo / 2))
    top, bottom = torch.stack((y - h / 2, yo - ho / 2)), torch.stack((y + h / 2, yo + ho / 2))
    intersection = (right.min() - left.max()).clamp(min=0) * (bottom.min() - top.max()).clamp(min=0)
    iou = intersection / (w * h + wo * ho - intersection)
    c2 = (right.max() - left.min()) ** 2 + (bottom.max() - top.min()) ** 2
    v = 4 / math.pi**2 * (torch.atan(wo / ho) - torch.atan(w / h)) ** 2
    alpha = (v / (1 - iou + v)).detach()
    return iou - ((x - xo) ** 2 + (y - yo) ** 2) / c2 - alpha * v

# %%
def level_by_hand(raw, match, balance):
    picked = raw[match.image, match.anchor, match.row, match.col]  # (m, 85)
    tobj = torch.zeros(raw.shape[:4])  # objectness targets
    box = cls = 0.0
    for k, numbers in enumerate(picked.unbind()):
        s = numbers[:4].sigmoid()
        w, h = (2 * s[2:]) ** 2 * match.anchor_wh[k]
        overlap = ciou((2 * s[0] - 0.5, 2 * s[1] - 0.5, w, h), match.box[k])
        tobj[match.image[k], match.anchor[k], match.row[k], match.col[k]] = overlap.detach().clamp(min=0)
        right = torch.zeros(80)
        right[match.cls[k]] = 1
        box, cls = box + (1 - overlap), cls + bce(numbers[5:], right).mean()
    m = len(picked)
    return 0.05 * box / m, balance * bce(raw[..., 4], tobj).mean(), 0.5 * cls / m

# %%
mine = [raw.clone().requires_grad_() for raw in maps]
by_level = [level_by_hand(raw, match, b) for raw, match, b in zip(mine, matches, (4.0, 1.0, 0.4))]
box, obj, cls = (sum(terms) for terms in zip(*by_level))
total = 4 * (box + obj + cls)  # four pictures
for name, value in {"box": box, "obj": obj, "cls": cls, "total": total}.items():
    print(f"{name:5} by hand {approx(value, '.4f')}, by the library {approx(getattr(parts, name), '.4f')}")
    assert abs(value - getattr(parts, name)) < 1e-5

# %% [markdown]
# The same value could be luck. The same *gradient*, in all 8.6 million numbers of the maps, is not: it is what
# training follows.

# %%
by_hand = torch.autograd.grad(total, mine)
print(f"numbers in the maps: {sum(raw.numel() for raw in maps):,}")
for stride, ours, theirs in zip(model.strides, by_hand, gradients):
    error = (ours - theirs).norm() / theirs.norm()
    print(f"stride {stride:2}: the gradients differ by {approx(error, '.0e')} of their length")
    assert error < 1e-5

# %% [markdown]
# ## Your turn: write `my_objectness_targets`
#
# What should the objectness of each prediction become? 0 everywhere, except at matches: there it is how well the predicted
# box fits, its CIoU. Three details matter. A CIoU may be negative, a target may not. The target is
# a number to be reached, so no gradient flows through it. And where several matches have the same prediction, the last one
# in the list decides.

# %%
import torch
from walkthrough import check

def my_objectness_targets(shape, matches, overlap):
    """YOLOv5's tobj, of one grid.

    shape: (N, A, H, W) of the grid's predictions. matches: has image, anchor, row and col, (m,) each.
    overlap: (m,) CIoU of each match, with a gradient. Returns: (N, A, H, W) without one.
    """
    ...

check(my_objectness_targets)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_objectness_targets(shape, matches, overlap):
#     targets = torch.zeros(shape)
#     overlap = overlap.detach().clamp(min=0)
#     for k in range(len(overlap)):
#         targets[matches.image[k], matches.anchor[k], matches.row[k], matches.col[k]] = overlap[k]
#     return targets
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>A prediction on a patch of sky has an absurd box, 600 pixels wide. What does the loss say about that?</summary>
#
# Nothing. It has no match, so it is in neither box nor class loss: section 2 showed that its gradient is 0 there. It
# is only trained to be silent.
# </details>
#
# <details><summary>Your objectness loss stays at a small number and will not go to 0. Is something wrong?</summary>
#
# No. Its targets are overlaps such as 0.6, and BCE against 0.6 cannot fall below 0.673 (section 6), not even for the
# perfect prediction.
# </details>
#
# <details><summary>You have a dataset of one class, faces. Which of the three losses is missing?</summary>
#
# The class loss. Objectness already says "face here".
# </details>
#
# <details><summary>You train at 1280 instead of 640 pixels with three grids. What is the objectness gain, and why?</summary>
#
# $(1280/640)^2 = 4$. There are four times as many cells, each one weighs a quarter in the mean, and 4 makes up for
# it. Ask `yl.Hyperparameters().scaled(3, 80, 1280).obj`.
# </details>
#
# <details><summary>In the pencil-and-paper case, what would change if the object were twice as large?</summary>
#
# Objectness would not: every prediction costs $\ln 2$, whatever its target. But 128 x 154 pixels are too much for the
# anchors of the fine grid (154 / 23 = 6.7 is more than 4). It has no match, so only two grids have a class term: $0.5
# \cdot 2 \ln 2 = 0.693$. The box loss changes with the overlaps. Set `one` to (0, 0, 0.5, 0.5, 0.2, 0.24) and see.
# </details>

# %% [markdown]
# **On to [07_backpropagation](07_backpropagation.ipynb)**: how the loss reaches every weight.
