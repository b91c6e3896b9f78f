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
# # 13. Without anchors: points, task alignment, distributions
#
# YOLOv5 places three anchors in every cell, and decides by their shape which of them is responsible for an object.
# YOLOv8 is **anchor-free**: it has no anchors, and no objectness either. Who decides then which prediction is positive?
# The predictions themselves. And a distance is not one number any more, but sixteen. This notebook takes both ideas
# apart. **The task-aligned metric $m = s^\alpha o^\beta$ says how well a prediction does both tasks at once, class and
# box; the best ten of an object become its positives. Distribution focal loss (DFL) trains each side of a box as a
# probability for each of sixteen distances, by cross-entropy with the two beside the true one.** At the end we write the
# whole loss by hand.
#
# YOLOv6 and YOLOv8 match in this way; YOLOv9 and YOLO11 have YOLOv8's loss and its kind of head (YOLO11's with lighter
# class convolutions). In the library all of it is in
# `yolo_lite.family.yolov8`. Assignments, losses and gradients of the original programs were recorded, and the library's
# are compared with them (`tests/golden/family/modern`).
#
# The last digits of a number behind ≈ may differ on your computer. The `assert` in the same cell checks what the text
# says about it.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
from dataclasses import replace

import torch
from torch.nn import functional

import yolo_lite as yl
from walkthrough import DistributionExplorer, FamilyExplorer, approx, column, row
from walkthrough import show_image, show_roles, show_series, show_table
from walkthrough.scene import Boxes, Chart, Key, Points, Scene, Series
from yolo_lite.coding import decode_distribution, encode_distances, encode_distribution
from yolo_lite.family.yolov8 import Yolov8Loss, decode_yolov8, distribution_focal_loss
from yolo_lite.family.yolov8.assignment import find_candidates, resolve_conflicts
from yolo_lite.family.yolov8.loss import grid_points
from yolo_lite.loss.focal import bce_with_focal, quality_focal_loss, varifocal_loss

# %% [markdown]
# ## 1. A point in every cell
#
# The picture is that of [notebook 11](11_losses_through_time.ipynb): the third one of the tour's batch, at 416 pixels.
# This time all eight objects count. They are of five classes.

# %%
def redrawn(scene, **changes):
    """The same panels with other fields: another window, other axes."""
    return replace(scene, rows=tuple(tuple(replace(panel, **changes) for panel in panels) for panels in scene.rows))

def drawn(boxes, *layers, legend=()):
    """The picture with white boxes (n, 4) and further layers."""
    (panel,) = show_image(picture).rows[0]
    return Scene(((replace(panel, layers=(*panel.layers, Boxes(boxes, width=1.5), *layers)),),), legend)

# %%
batch, size, strides = yl.tour_batch(), 416, (8, 16, 32)
third = batch.images[2:3].float()  # (1, 3, 640, 640)
picture = functional.interpolate(third, size=size, mode="bilinear", antialias=True)[0].round().byte()
objects = batch.targets[batch.targets[:, 0] == 2]  # (8, 6)
names = ("cat", "cup", "spoon", "table", "horse")
order = {int(cls): new for new, cls in enumerate(dict.fromkeys(objects[:, 1].tolist()))}
targets = torch.tensor([[0, order[int(row[1])], *row[2:]] for row in objects.tolist()])  # (8, 6)
truth = targets[:, 2:] * size  # (8, 4) x, y, w, h in pixels
corners, labels = yl.xywh_to_xyxy(truth), [names[int(cls)] for cls in targets[:, 1]]
show_image(picture, corners, labels)

# %% [markdown]
# **What to notice**
# - Eight objects of five classes, of very different sizes. Cups and spoons lie within the boxes of the tables.
#
# YOLOv8 has the same three grids as YOLOv5, with a cell for every 8, 16 and 32 pixels (P3, P4, P5). Instead of three
# anchors a cell has one **point**: its centre.

# %%
# one prediction a cell, rows, columns
shapes = [(1, size // stride, size // stride) for stride in strides]
points = grid_points(shapes, strides, truth)  # xy (3549, 2) in pixels, stride (3549, 1)
count, horse = len(points.xy), 4
print(f"{count} points; with three anchors a cell there would be {3 * count} predictions")
# the part with the horse in it
near = {"left": 137, "top": 156, "width": 260, "height": 260}
marks, keys = [], []
for stride, marker, colour in zip(strides, "os^", ("own", "neighbour", "accent")):
    xy = points.xy[points.stride[:, 0] == stride]
    marks.append(Points(xy, colour, marker, 3 + stride / 8))
    keys.append(Key(f"stride {stride}", colour))
redrawn(drawn(corners[horse : horse + 1], *marks, legend=tuple(keys)), **near)

# %% [markdown]
# **What to notice**
# - Points of different strides never coincide: centres of cells of 8, 16 and 32 pixels are at odd multiples of 4, 8 and
#   16 pixels.
# - A point has no size. Whether the horse belongs to stride 8 or to stride 32 is not said by any anchor, and in YOLOv8
#   by no rule either (FCOS has one, see notebook 11, section 12).
#
# ## 2. A box from a point, and no objectness
#
# Of each point the head gives $4 R + C$ numbers: $R = 16$ logits for each of the four sides, and a logit for each of
# the $C$ classes. (The head is **decoupled**: sides and classes come from two branches, each with convolutions of its
# own. YOLOv5's is coupled: one 1x1 convolution gives all 85 numbers of a prediction.) Of a side's 16 logits $z$, softmax makes probabilities, and the **expectation** of the bin number is
# the distance from the point to the side, in cells:
#
# $$ p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}, \qquad d = \sum_{i=0}^{15} i\,p_i $$
#
# The box follows: left side at $x - s\,d_l$, right side at $x + s\,d_r$, with the stride $s$; top and bottom likewise.
# (Section 7 asks why sixteen numbers instead of one.)
#
# An untrained head starts with nearly equal logits for all bins. We build that output by hand, and call it the
# **blank** network: all distances 7.5 cells, all class scores 0.01.

# %%
blank = [torch.zeros(1, *shape, 4 * 16 + 5) for shape in shapes]  # (1, 1, H, W, 69) each
for raw in blank:
    raw[..., 64:] = torch.tensor(0.01).logit()
decoded = decode_yolov8(blank, strides, 5)  # (1, 3549, 10): x, y, w, h, 1, five class scores
k = 1502  # a point of stride 8
d = blank[0].view(-1, 69)[k, :64].view(4, 16).softmax(1) @ torch.arange(16.0)  # (4,) left, top, right, bottom
(x, y), s = points.xy[k].tolist(), 8
by_hand = torch.tensor([x - s * d[0], y - s * d[1], x + s * d[2], y + s * d[3]])
print("distances in cells", d.tolist(), " box by hand", by_hand.tolist())
print("decoded", [round(value, 2) for value in decoded[0, k].tolist()])
assert torch.allclose(yl.xyxy_to_xywh(by_hand), decoded[0, k, :4])

# %% [markdown]
# The fifth number of a decoded prediction is the objectness. Here it is 1 for every point: YOLOv8 has no such number,
# and the column stays so that suppression and evaluation work as for all other detectors. What does that change?
#
# - **YOLOv5**: the score of a box is objectness times class score. Objectness is trained on all predictions, class
#   scores on positives alone. What a negative says about classes is never trained, and the objectness has to keep it
#   down.
# - **YOLOv8**: the score is the class score. It is trained on **all** points, towards 0 on every negative. So it has to
#   say two things at once: which class, and whether there is an object at all with a good box.
#
# ## 3. Who is positive? A metric of both tasks
#
# A detection is right if its class *and* its box are right. Task-aligned assignment (TOOD,
# [arXiv 2108.07755](https://arxiv.org/abs/2108.07755)) measures for each point inside an object how well it does both,
# at this moment:
#
# $$ m = s^{\alpha}\, o^{\beta}, \qquad \alpha = 0.5,\ \beta = 6 $$
#
# $s$ is the point's score for the object's class, and $o$ the overlap (CIoU, negative ones as 0) of its predicted box
# and the object. These are YOLOv8's numbers and its overlap; the paper has $\alpha = 1$ and the IoU.

# %%
x = torch.linspace(0, 1, 51)
powers = {"score s: s^0.5": x**0.5, "overlap o: o^6": x**6}
print(f"s 0.5, o 0.8: m = {0.5**0.5 * 0.8**6:.6f}")
print(f"twice the score: m times {2**0.5:.2f}; an overlap of 0.9 instead of 0.8: m times {(0.9 / 0.8)**6:.2f}")
redrawn(show_series(powers, x, "What score and overlap contribute", "score or overlap", "factor of m"), legend="beside")

# %% [markdown]
# **What to notice**
# - The sixth power makes the overlap decide: from 0.8 to 0.9 it counts more than a doubled score.
# - An overlap of 0.3 has a factor of 0.0007. Early in training nearly all metrics are close to 0.
#
# Then, for each object:
#
# 1. **Candidates** are the points strictly inside it, of all strides. (A side shorter than 16 pixels counts as 16, see
#    section 6.)
# 2. The **10 candidates** with the largest metric are selected. Fewer, if fewer have a metric above 0.
# 3. A point that several objects have selected goes to one of them (section 5). The others keep fewer points.
#
# Let us see it on a network that has learned something. The **half-trained** one says at every point: the nearest
# object's class with a score of 0.4, its right size, and a centre half way between the point and the object's.

# %%
def maps_of(distances, scores):
    """Raw maps of a network that predicts these distances (3549, 4) in cells and scores (3549, 5)."""
    logits = (encode_distribution(distances, 16) + 1e-6).log()  # (3549, 4, 16) of two bins each
    flat = torch.cat((logits.flatten(1), scores.logit()), 1)  # (3549, 69)
    levels = flat.split([rows * cols for _, rows, cols in shapes])
    return [level.view(1, *shape, 69) for level, shape in zip(levels, shapes)]

gap = ((points.xy[:, None] - truth[:, :2]).abs() / truth[:, 2:]).amax(2)  # (3549, 8) in sizes of each object
nearest = gap.argmin(1)  # (3549,)
centre = (points.xy + truth[nearest, :2]) / 2
boxes = yl.xywh_to_xyxy(torch.cat((centre, truth[nearest, 2:]), 1))
distances = encode_distances(boxes, points.xy) / points.stride  # (3549, 4) in cells
scores = torch.full((count, 5), 0.02).scatter(1, targets[nearest, 1:2].long(), 0.4)
half = maps_of(distances, scores)

# %% [markdown]
# `ask` of the loss gives every step: candidates, overlaps, metrics, who was selected, who is assigned, and the target
# scores.

# %%
v8 = Yolov8Loss(strides, num_classes=5)
asked = v8.ask(half, targets)
steps = asked.aligned  # (1, 8, 3549) each: image, object, point; target_scores (1, 3549, 5)
mine = (asked.target[0] == horse).nonzero()[:, 0]  # the points of the horse
rows = [[int(points.stride[k]), "{:g}, {:g}".format(*points.xy[k]), steps.overlaps[0, horse, k],
         steps.metric[0, horse, k], steps.target_scores[0, k].sum()] for k in mine]
rows.sort(key=lambda row: -row[3])
print("horse:", int(steps.candidates[0, horse].sum()), "candidates,", len(mine), "positive points")
show_table(["stride", "point x, y", "overlap o", "metric m", "target score"], rows)

# %%
def show_positives(asked):
    """The picture with the points that are positive: the larger, the larger the target score; marks by stride."""
    scores, marks = asked.aligned.target_scores[0].sum(1), []
    for stride, marker, colour in zip(strides, "os^", ("own", "neighbour", "accent")):
        for k in ((asked.target[0] >= 0) & (points.stride[:, 0] == stride)).nonzero()[:, 0]:
            marks.append(Points(points.xy[k : k + 1], colour, marker, 2 + 9 * float(scores[k])))
    keys = tuple(Key(f"stride {s}", colour) for s, colour in zip(strides, ("own", "neighbour", "accent")))
    return drawn(corners, *marks, legend=keys)

pictures = [show_positives(v8.ask(maps, targets)) for maps in (blank, half)]
row(*pictures, titles=["blank", "half-trained"])

# %% [markdown]
# **What to notice**
# - At most ten points an object, whatever its size; the horse has 757 candidates. They gather where the predicted
#   boxes are good. Here that is near the centre. In a real network it may be the head of the horse.
# - Strides mix. The half-trained network's points are of stride 8 and 16. In the blank one the boxes of stride 8 are
#   120 pixels wide, those of stride 16 240: the horse gets stride 16, a cup stride 8, just because these boxes happen
#   to fit better. **The level follows from what is predicted**, and may change during training.
# - In the blank network the spoons have marks that can hardly be seen: no point predicts a spoon well, and the target
#   scores are close to 0.
#
# ## 4. The target score, and YOLOv5 on the same scene
#
# What is the class score of a positive trained towards? Not 1. The metrics of an object's points are scaled so that the
# best of them gets the object's best overlap:
#
# $$ \hat{t}_k = m_k \cdot \frac{\max_j o_j}{\max_j m_j} $$
#
# (over the points of one object). All other classes of the point, and all classes of negatives, have target 0. So the
# class score learns to say *how good the box is* next to the other points of the object. That is what suppression needs
# later: of ten boxes for one horse, the best one should have the largest score.

# %%
m, o = steps.metric[0, horse, mine], steps.overlaps[0, horse, mine]
target_score = m * o.max() / (m.max() + 1e-9)
gap = (target_score - steps.target_scores[0, mine, 4]).abs().max()
print("target scores by hand and by the library differ by", approx(gap, ".0e"), "at most")
assert gap < 1e-5
for name, maps in {"blank": blank, "half-trained": half}.items():
    # parts.total, the loss, is box + cls + dfl for one picture
    parts, found = v8(maps, targets), v8.ask(maps, targets)
    sum_of_scores, positive = found.aligned.target_scores.sum(), int((found.target >= 0).sum())
    print(f"{name}: {positive} positives, sum S of the target scores {approx(sum_of_scores)}")
    print(f"    box {approx(parts.box)}, cls {approx(parts.cls)}, dfl {approx(parts.dfl)}")
    assert 20 < sum_of_scores < positive

# %% [markdown]
# Box and DFL are summed with the target score as a weight, the class loss without one. All three are divided by $S$, the
# sum of all target scores of the batch (at least 1):
#
# $$ \text{box} = \frac{7.5}{S} \sum_{k\,\text{positive}} \hat t_k\,(1 - \text{CIoU}_k), \qquad
# \text{dfl} = \frac{1.5}{S} \sum_{k\,\text{positive}} \hat t_k\,\text{DFL}_k, \qquad
# \text{cls} = \frac{0.5}{S} \sum_{\text{points, classes}} \text{BCE} $$
#
# A positive with a bad box hardly counts. The total is multiplied by the batch size, as in YOLOv5.
#
# Now the same scene with YOLOv5. It needs anchors, and no predictions at all: shapes decide.

# %%
v5_anchors = yl.create_model("yolov5n").anchors  # (3, 3, 2) pixels
v5 = yl.ComputeLoss(v5_anchors, strides, 5)
v5_maps = [torch.zeros(1, 3, rows, cols, 10) for _, rows, cols in shapes]
roles = {"YOLOv5": v5.assign(v5_maps, targets), "YOLOv8, half-trained": v8.assign(half, targets)}
for name, assigned in roles.items():
    per_object = torch.bincount(assigned.matches.target, minlength=8).tolist()
    print(f"positives of {name}:")
    print("   ", ", ".join(f"{label} {k}" for label, k in zip(labels, per_object)))

def titled(scene, name):
    """The panels, with a name before their titles."""
    panels = tuple(replace(panel, title=f"{name}, {panel.title}") for panel in scene.rows[0])
    return replace(scene, rows=(panels,))

pictures = {name: show_roles(picture, assigned, strides, boxes=corners) for name, assigned in roles.items()}
column(*(titled(scene, name.split(",")[0]) for name, scene in pictures.items()))

# %% [markdown]
# **What to notice** (upper row YOLOv5, lower row YOLOv8)
# - In YOLOv5 an object has positives on several grids, each in the cell of its centre and in up to two neighbours, with
#   one to three anchors. How many there are follows from its shape: here 15. For a spoon it is 11 and not 12, as one of its
#   neighbour cells would lie beyond the left edge.
# - In YOLOv8 every object has ten at most, and the spoons, which few boxes overlap, five and four. They fill a region.
# - YOLOv5's positives are the same in every epoch, as long as the object stays. YOLOv8's move with the predictions.
# - Neither of them ignores predictions: what is not positive is negative.
#
# **FamilyExplorer** puts any two generations side by side, here on the horse alone. Each is a small untrained network
# at 224 pixels. Drag the horse, choose other generations, click rows of the tables.

# %%
one = targets[horse : horse + 1]
family = FamilyExplorer(images=picture[None], targets=one, names=names, left="YOLOv5", right="YOLOv8")
family

# %%
for side in family.result.sides:
    counts = side.counts
    print(f"{side.name}: {counts['positive']} positive of {sum(counts.values())}; terms {', '.join(side.losses)}")

# %% [markdown]
# **What to notice**
# - An untrained YOLOv8 has its ten positives, too. Its boxes are 7.5 cells away to all sides, as in the blank network.
# - YOLOv8 has no objectness term. Its negatives are in the class loss instead.
# - Unfold **losses**: YOLOv8 has box, class and DFL, YOLOv5 box, objectness and class.
# - Unfold **gradients**. Below on the right are those of the chosen point: l, t, r, b are norms, each over the 16 logits
#   of one side, from DFL and from the box loss together; then come the classes. Section 7 takes one side apart, bin by
#   bin.
#
# ## 5. Two objects want one point
#
# A cat in front of the horse: we add a box of the horse's size, 10 pixels further right and lower, of another class.
# The network is the blank one, but it says "cat" with 0.04 and all other classes with 0.01. Every point predicts the
# same kind of box, so both objects select some points in the middle.

# %%
# class 0: cat
cat = (targets[horse] + torch.tensor([0, 0, 10, 10, 0, 0]) / size) * torch.tensor([1, 0, 1, 1, 1, 1])
two, says_cat = torch.stack((targets[horse], cat)), [raw.clone() for raw in blank]  # (2, 6)
for raw in says_cat:
    raw[..., 64] = torch.tensor(0.04).logit()
found = v8.ask(says_cat, two)
steps = found.aligned
contested = (steps.selected[0].sum(0) > 1).nonzero()[:, 0]  # points that both selected
rows = [["{:g}, {:g}".format(*points.xy[k]), *steps.overlaps[0, :, k], *steps.metric[0, :, k],
         ("horse", "cat")[int(found.target[0, k])]] for k in contested]
print("horse and cat: selected", steps.selected[0].sum(1).tolist(), "assigned", steps.assigned[0].sum(1).tolist())
show_table(["point x, y", "overlap horse", "overlap cat", "metric horse", "metric cat", "goes to"], rows)

# %%
both, pair = yl.xywh_to_xyxy(two[:, 2:] * size), (("horse", "own", "o"), ("cat", "neighbour", "s"))
owners = [found.target[0] == which for which in (0, 1)]
marks = [Points(points.xy[own], colour, marker, 6) for own, (_, colour, marker) in zip(owners, pair)]
frames = Boxes(both, ("horse", "cat"), (), ("own", "neighbour"))
around = torch.cat((points.xy[contested] - 6, points.xy[contested] + 6), 1)
keys = (*(Key(f"positive for the {name}", colour) for name, colour, _ in pair), Key("contested", "accent"))
redrawn(drawn(both, frames, *marks, Boxes(around, colours=("accent",), width=2), legend=keys), **near)

# %% [markdown]
# **What to notice**
# - For every contested point the cat has the larger *metric*, because its class has the larger score. Yet two of the
#   five points go to the horse: a contested point goes to the object that its box **overlaps** most.
# - An object that loses a point does not select another one instead. It keeps fewer than ten.
# - The largest overlap is looked for among *all* objects that have the point inside. So a third object may get a point
#   that it did not select itself. The next cell makes such a case.

# %%
selected = torch.tensor([[[True], [True], [False]]])  # (1, 3, 1): two objects selected the point, the third did not
overlaps = torch.tensor([[[0.40], [0.50], [0.60]]])
def assigned(selected):
    return resolve_conflicts(selected, overlaps)[0, :, 0].nonzero()[:, 0].tolist()

print("objects 0 and 1 selected it: assigned to object", assigned(selected))
alone = selected & torch.tensor([True, False, False])[:, None]
print("object 0 alone selected it:  assigned to object", assigned(alone))

# %% [markdown]
# ## 6. Objects smaller than a cell
#
# A point must be strictly inside an object. An object of 3 pixels between the points has none: no positive, no loss,
# never learned. Therefore, for this one question, a side shorter than 16 pixels (the second stride) counts as 16 pixels
# around the same centre. Overlap and targets are those of the true box. The rule
# is a choice of YOLOv8's program, in its later versions; the paper has none.

# %%
small = {"spoon": truth[2], "12 pixels": torch.tensor([208.0, 32, 12, 12]), "6 pixels": torch.tensor([208.0, 32, 6, 6])}
rows = []
for name, xywh in small.items():
    found = v8.ask(half, torch.cat((torch.tensor([0.0, 2]), xywh / size))[None])
    inside = [int(find_candidates(found.objects, points.xy, floor).sum()) for floor in (0, 16)]
    positive, best = int((found.target >= 0).sum()), found.aligned.overlaps.max()
    rows.append([name, f"{xywh[2]:.0f} x {xywh[3]:.0f}", *inside, positive, best])
show_table(["object", "size", "candidates by the true box", "with 16 pixels", "positive", "best overlap"], rows)

# %% [markdown]
# **What to notice**
# - The object of 6 pixels lies between four points of stride 8. Without the floor it has no candidate, with it four.
#   The narrow spoon gets more, too.
# - Being a candidate is not enough. As long as no predicted box overlaps the object, all metrics are 0, and so are the
#   target scores: it costs nothing yet, and learns nothing. The loss counts such objects in `dropped`.
# - A point outside the true box has a *negative* distance to one of its sides. DFL cannot express that; it counts as 0.
#
# ## 7. A distance as a distribution
#
# Where does a horse's tail end? Behind grass or another animal, an edge is not certain. One number cannot say "either 5
# or 9 cells". A distribution over bins can (Generalized Focal Loss,
# [arXiv 2006.04388](https://arxiv.org/abs/2006.04388)). The box loss trains the expectation alone. **Distribution focal
# loss** trains the distribution itself: it is the cross entropy with a target that has two bins, those beside the true
# distance $t$. With $l = \lfloor t \rfloor$:
#
# $$ \text{DFL} = -(l + 1 - t) \ln p_l - (t - l) \ln p_{l+1}, \qquad
# \frac{\partial\,\text{DFL}}{\partial z_i} = p_i - \hat p_i $$
#
# The expectation of the target $\hat p$ is exactly $t$.

# %%
logits = (0.1 * torch.arange(16)).requires_grad_()
t, p = torch.tensor(3.3), (0.1 * torch.arange(16)).softmax(0)
wanted = encode_distribution(t, 16)
print("target:", {bin: round(value, 2) for bin, value in enumerate(wanted.tolist()) if value})
by_hand, loss = -0.7 * p[3].log() - 0.3 * p[4].log(), distribution_focal_loss(logits, t)
print(f"loss by hand {by_hand:.5f}, by the library {loss:.5f}; expectation {decode_distribution(logits):.5f}")
(gradient,) = torch.autograd.grad(loss, logits)
assert torch.allclose(gradient, p - wanted, atol=1e-6)
print(f"all bins equal: loss {distribution_focal_loss(torch.zeros(16), t):.5f} = ln 16")

# %% [markdown]
# **DistributionExplorer** shows one side of one box. Drag the upper end of a yellow bar (a logit), or the right end of
# the white bar (the target). The button makes a step of gradient descent.

# %%
explorer = DistributionExplorer()
explorer

# %% [markdown]
# **What to notice**
# - Unfold **gradient and loss**. The gradient is negative in the two bins of the target and positive where there is
#   probability that should go away. Any other bin that already has no probability
#   gets no gradient.
# - The loss cannot reach 0 unless the target is a whole number: with 0.7 and 0.3 its least value is 0.61. It is the
#   entropy of the target.
# - Drag the target: between two bins the loss is a straight line. Within one bin nothing about the logits changes, only
#   the weights of the two logarithms.
#
# What does DFL add to the box loss? Two distributions with the same expectation:

# %%
sharp, unsure = torch.full((16,), -6.0), torch.full((16,), -6.0)
sharp[5], unsure[1], unsure[9] = 4.0, 3.3, 3.3
for name, logits in {"sure: 5": sharp, "unsure: 1 or 9": unsure}.items():
    loss = distribution_focal_loss(logits, torch.tensor(5.0))
    print(f"{name:15} expectation {decode_distribution(logits):.2f}, DFL for a target of 5: {loss:.2f}")

# %% [markdown]
# The box, and so its CIoU, is the same. Only DFL tells them apart. In the end the detector uses the expectation alone;
# how wide a distribution is, YOLOv8 does not look at.
#
# **The largest box.** 15 is the last bin. At stride 8 a side is at most $15 \cdot 8 = 120$ pixels away, so a box is at
# most 240 pixels wide. At stride 32 it is 960. A target above 14.99 counts as 14.99.
#
# The same explorer takes any detector with such a head, for example `DistributionExplorer(model="yolov8n.pt",
# images=...)`. Our half-trained network can be one, too. All that is needed is a class with these attributes and
# functions:

# %%
class HalfTrained:
    strides, num_classes, names = strides, 5, names

    def __call__(self, images):
        return half

    def decode(self, maps):
        return decode_yolov8(maps, self.strides, self.num_classes)

    def criterion(self, hyp, img_size=416):
        return v8

DistributionExplorer(model=HalfTrained(), images=picture[None], targets=targets, prediction=6, side="bottom")

# %% [markdown]
# **What to notice**
# - The dots are the positives of the whole picture; click one. They are listed by target score.
# - Unfold **the four sides**. Each row of the coloured table is a side: two bins share the probability, since our network says one distance
#   precisely. Before training all cells would have the same colour.
#
# ## 8. Focal, quality focal, varifocal
#
# Nearly all points are negatives, and most of them are easy. Three losses weight the cross entropy of a class score
# $p$. $y$ is the target:
#
# - **Focal loss** ([1708.02002](https://arxiv.org/abs/1708.02002)), for $y = 0$ or $1$:
#   $\alpha_t (1 - p_t)^\gamma\,\text{BCE}$, with $p_t$ the probability of what is right.
# - **Quality focal loss** ([2006.04388](https://arxiv.org/abs/2006.04388)), for soft targets:
#   $|y - p|^\beta\,\text{BCE}$.
# - **Varifocal loss** ([2008.13367](https://arxiv.org/abs/2008.13367)), for soft targets: $y\,\text{BCE}$ for
#   positives, $\alpha p^\gamma\,\text{BCE}$ for negatives. Only negatives are weighted down by how easy they are.

# %%
p = torch.linspace(0.005, 0.995, 199)
z, zero, quality = p.logit(), torch.zeros(199), torch.full((199,), 0.7)
def losses(y, hard):
    return {"BCE": bce_with_focal(z, y), "focal, target 0 or 1": bce_with_focal(z, hard, gamma=2.0),
            "quality focal": quality_focal_loss(z, y), "varifocal": varifocal_loss(z, y)}

negative, positive = losses(zero, zero), losses(quality, torch.ones(199))
charts = [redrawn(show_series(values, p, "", "class score p", "loss"), y_range=(0, 2))
          for values in (negative, positive)]
row(*charts, titles=["a negative: target 0", "a positive with a box of quality 0.7"])

# %%
for name, values in positive.items():
    print(f"{name:21} least at p = {p[values.argmin()]:.2f};",
          f"a negative: {negative[name][19]:.5f} at p = 0.1, {negative[name][179]:.3f} at 0.9")

# %% [markdown]
# **What to notice**
# - With plain BCE and a soft target the least loss is at $p = 0.7$, and it is not 0. Quality focal loss is 0 there.
# - Focal loss knows only 0 and 1: it asks for $p = 1$ even where the box is poor.
# - For an easy negative ($p = 0.1$) all three are about a hundredth of BCE. For a false alarm ($p = 0.9$) they are more
#   than half of it.
# - For negatives, focal loss with $\alpha = 0.25$ and varifocal loss with $\alpha = 0.75$ are the same curve:
#   $0.75\,p^2\,\text{BCE}$. They differ in what they ask of positives. Varifocal loss weights a positive by the quality
#   of its box and not by how easy it is.
#
# And which network uses which?
#
# | network | positives | class score | objectness | box |
# |---|---|---|---|---|
# | RetinaNet, FCOS | by geometry | focal loss, targets 0 and 1 | none (FCOS: centre-ness) | L1, GIoU |
# | YOLOv5 | by shape of anchors | BCE, positives alone | BCE with CIoU as target | CIoU |
# | YOLOv6 ([2209.02976](https://arxiv.org/abs/2209.02976)) | task-aligned, points | **varifocal loss** | none | SIoU or GIoU, by size; DFL in the large ones |
# | YOLOv7 ([2207.02696](https://arxiv.org/abs/2207.02696)) | anchors near the centre, then by their loss (**SimOTA**) | **BCE**, positives alone | **BCE** with the overlap as target | CIoU |
# | YOLOv8, v9, 11 | task-aligned, points | **BCE** with soft targets, all points | none | CIoU and DFL |
#
# So "YOLOv8 uses focal loss" is wrong, although it is often written, and although the F of DFL stands for focal. (In
# $\text{DFL}$ nothing is focused: there is no power of $1 - p$.) And YOLOv7 still has objectness and anchors.
#
# ## 9. Published results
#
# As their authors published them, not measured here. AP on COCO val2017, 640 pixels:
#
# | network | parameters in million | AP |
# |---|---|---|
# | YOLOv8n | 3.2 | 37.3 |
# | YOLOv8s | 11.2 | 44.9 |
# | **YOLOv8m** | 25.9 | **50.2** |
# | YOLOv8l | 43.7 | 52.9 |
# | YOLOv8x | 68.2 | 53.9 |
# | YOLOv9t | 2.0 | 38.3 |
# | YOLOv9s | 7.1 | 46.8 |
# | YOLOv9m | 20.0 | 51.4 |
# | YOLOv9c | 25.3 | 53.0 |
# | **YOLOv9e** | 57.3 | **55.6** |
#
# "YOLOv8 has 50.2 and YOLOv9 has 55.6" is a sentence that one meets. It compares a medium network with the largest one.
# To compare, take two of one size:

# %%
published = {
    "YOLOv8": {3.2: 37.3, 11.2: 44.9, 25.9: 50.2, 43.7: 52.9, 68.2: 53.9},
    "YOLOv9": {2.0: 38.3, 7.1: 46.8, 20.0: 51.4, 25.3: 53.0, 57.3: 55.6},
}
print(f"the sentence: {55.6 - 50.2:.1f} AP between 25.9 and 57.3 million parameters")
print(f"of one size:  {53.0 - 50.2:.1f} AP (v9c, 25.3 million, and v8m, 25.9 million)")
lines = tuple(Series(name, tuple(ap), tuple(ap.values())) for name, ap in published.items())
Scene(((Chart(lines, "Published: size and AP", "", "parameters in million", "AP", legend="beside"),),))

# %% [markdown]
# **What to notice**
# - At every size the line of YOLOv9 lies above that of YOLOv8. With about 25 million parameters the difference is 2.8,
#   half of what the sentence says.
#
# Even then training time, augmentation and pre-training differ, so nothing here says which loss is better. One dataset
# and one budget for all networks: `benchmarks/family.py`, see [benchmarks/RESULTS.md](../benchmarks/RESULTS.md).
#
# ## 10. Check: assignment and loss by hand
#
# By plain loops, on random maps and all objects of the picture. From the library come the CIoU of two boxes
# (`bbox_iou`) and the places of the points. All else is written out.

# %%
def assigned_by_hand(scores, boxes):
    """scores (3549, 5), boxes (3549, 4) xyxy pixels -> object of each point (-1: none), target scores (3549,)."""
    overlap, metric, selected = torch.zeros(8, count), torch.zeros(8, count), torch.zeros(8, count, dtype=torch.bool)
    for j, (cls, (x, y, w, h)) in enumerate(zip(targets[:, 1].int().tolist(), truth.tolist())):
        w, h = max(w, 16), max(h, 16)
        inside = ((points.xy - torch.tensor([x, y])).abs() < torch.tensor([w, h]) / 2).all(1)
        ciou = yl.bbox_iou(boxes, corners[j : j + 1].expand(count, 4), "ciou", "xyxy").clamp(min=0)
        overlap[j], metric[j] = inside * ciou, inside * scores[:, cls] ** 0.5 * ciou**6
        selected[j, metric[j].topk(10).indices] = True
        selected[j] &= metric[j] > 0
    owner, target_score = torch.full((count,), -1), torch.zeros(count)
    for k in selected.any(0).nonzero()[:, 0].tolist():
        own = selected[:, k].nonzero()[:, 0].tolist()
        owner[k] = own[0] if len(own) == 1 else int(overlap[:, k].argmax())
    for j in range(8):
        mine = owner == j
        if mine.any():
            target_score[mine] = metric[j, mine] * overlap[j, mine].max() / (metric[j, mine].max() + 1e-9)
    return owner, target_score

# %%
def v8_by_hand(maps):
    flat = torch.cat([raw.view(-1, 69) for raw in maps])  # (3549, 69)
    z, logits, s = flat[:, :64].view(-1, 4, 16), flat[:, 64:], points.stride  # (3549, 4, 16), (3549, 5), (3549, 1)
    d = z.softmax(2) @ torch.arange(16.0)  # (3549, 4) cells
    boxes = torch.cat((points.xy / s - d[:, :2], points.xy / s + d[:, 2:]), 1)  # in cells
    owner, target_score = assigned_by_hand(logits.sigmoid().detach(), (boxes * s).detach())
    goal, mine, total = torch.zeros(count, 5), (owner >= 0).nonzero()[:, 0].tolist(), max(target_score.sum(), 1)
    box = dfl = 0
    for k in mine:
        goal[k, int(targets[owner[k], 1])] = target_score[k]
        edges = corners[owner[k]] / s[k]  # (4,) in cells
        box = box + target_score[k] * (1 - yl.bbox_iou(boxes[k : k + 1], edges[None], "ciou", "xyxy")[0])
        t = torch.cat((points.xy[k] / s[k] - edges[:2], edges[2:] - points.xy[k] / s[k])).clamp(0, 14.99)  # (4,)
        low, log_p = t.floor().long(), z[k].log_softmax(1)  # (4,), (4, 16)
        sides = [-(l + 1 - t[i]) * log_p[i, l] - (t[i] - l) * log_p[i, l + 1] for i, l in enumerate(low.tolist())]
        dfl = dfl + target_score[k] * sum(sides) / 4
    # notebook 06, section 5
    bce = (logits.clamp(min=0) - logits * goal + (-logits.abs()).exp().log1p()).sum()
    return owner, (7.5 * box + 0.5 * bce + 1.5 * dfl) / total

# %%
generator = torch.Generator().manual_seed(0)
random_maps = [(raw + 0.5 * torch.randn(raw.shape, generator=generator)).requires_grad_() for raw in half]
(owner, ours), theirs = v8_by_hand(random_maps), v8(random_maps, targets).total
pairs = zip(torch.autograd.grad(ours, random_maps), torch.autograd.grad(theirs, random_maps))
error = max((a - b).norm() / b.norm() for a, b in pairs)
other = int((owner != v8.ask(random_maps, targets).target[0]).sum())
print(f"points whose object differs: {other} of {count}")
assert other == 0
print(f"loss by hand {approx(ours, '.4f')}, by the library {approx(theirs, '.4f')}")
print(f"the gradients of {count * 69} numbers differ by {approx(error, '.0e')} of their length")
assert torch.isclose(ours, theirs, rtol=1e-5) and error < 1e-5

# %% [markdown]
# ## Your turn: write `my_distribution_to_box`
#
# From the numbers of YOLOv8's head to a box: each of the four sides has a distribution over bins, its distance is the
# expected bin, in cells. Left and top lie on one side of the point, right and bottom on the other.

# %%
import torch
from walkthrough import check

def my_distribution_to_box(logits, points, stride):
    """Logits of the bins to corners.

    logits: (n, 4, R) of left, top, right, bottom; R bins, 0 to R - 1 cells.
    points: (n, 2) x, y in pixels. stride: pixels per cell.
    Returns: (n, 4) left, top, right, bottom in pixels.
    """
    ...

check(my_distribution_to_box)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_distribution_to_box(logits, points, stride):
#     bins = torch.arange(logits.shape[-1])
#     distances = (logits.softmax(-1) * bins).sum(-1) * stride  # (n, 4)
#     return torch.cat((points - distances[:, :2], points + distances[:, 2:]), 1)
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>A network has no objectness. How does it say that there is nothing at a point?</summary>
#
# With low scores for all classes. They are trained on every point; on negatives all targets are 0 (section 2).
# </details>
#
# <details><summary>Which grid is responsible for a large object in YOLOv8?</summary>
#
# The one that predicts it best at this moment. No rule says it. At stride 8 a box can be 240 pixels wide at most, so for
# larger objects the coarser grids win by themselves.
# </details>
#
# <details><summary>What is the class score of a positive trained towards, and why not 1?</summary>
#
# Its metric, scaled so that the object's best point gets the object's best overlap. So the best box of an object learns
# the largest score, and suppression keeps it (section 4).
# </details>
#
# <details><summary>Can a point be positive for an object that did not select it?</summary>
#
# Yes, if two others have selected it, and it overlaps this third one more (section 5).
# </details>
#
# <details><summary>The expectation of a distribution equals the target. Is DFL at its minimum?</summary>
#
# Not in general. Bins 1 and 9 with one half each have the expectation 5, and a large DFL for a target of 5 (section 7).
# </details>
#
# <details><summary>Does YOLOv8 use focal loss?</summary>
#
# No. Its class loss is plain BCE with soft targets. YOLOv6 uses varifocal loss, YOLOv7 BCE with objectness (section 8).
# </details>

# %% [markdown]
# **On to [14_gradients_and_words](14_gradients_and_words.ipynb)**: what an auxiliary branch changes, and classes that are words.
