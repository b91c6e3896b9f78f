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
# # 7b. Nine mistakes: a small detector, broken on purpose
#
# A detector whose loss falls is not yet a detector that works. This notebook builds a whole one, small enough to read,
# and then breaks it in nine ways that real tutorials break theirs: most of them run, and learn something. Each is shown,
# measured and repaired. At the end a published tutorial that does not even run is repaired, step by step.
#
# What a gradient is, and where those of the losses come from, is the subject of
# [07_backpropagation](07_backpropagation.ipynb). Its variables are not needed here.
#
# A number behind ≈ may end in other digits on your computer: processors do not all add up in the same order. The
# `assert` below such a number stops the notebook where it is not what the text says.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %% [markdown]
# ## 1. A complete detector, small enough to read
#
# All of it in one piece: a backbone, a head, decoding, targets and loss. **Anchor-free**, to keep it short: each cell
# predicts its box directly. (YOLOv5 is **anchor-based**: each cell stretches and shrinks three box shapes that are given
# in advance.) The data: eight drawn scenes of 96 pixels.

# %%
import math
from dataclasses import replace
from textwrap import fill

import torch
from torch import nn
from torch.nn import functional

import yolo_lite as yl
from walkthrough import approx, row, show_batch, show_grid, show_image, show_series, show_table
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.model.blocks import C3, SPPF, Conv
from yolo_lite.model.yolo import seeded

scenes = next(iter(yl.create_dataloader(Shapes(size=96, count=8), batch_size=8, img_size=96)))
names = Shapes.names
images = scenes.images / 255
print(f"{len(scenes.targets)} objects of {len(names)} classes in {len(images)} scenes")
show_batch(scenes, names, columns=4)

# %% [markdown]
# **Backbone.** Why not feed the pixels straight to the head? One pixel says nothing about a star. Each stage halves the
# map and looks at more of the picture. Three halvings: each cell of the last map stands for 8 x 8 pixels, the
# **stride**. We do not declare it. We measure it, and mistake 1 shows why.

# %%
def make_backbone():
    return nn.Sequential(
        Conv(3, 16, 6, 2, 2),  # (N, 16, 48, 48)
        Conv(16, 32, 3, 2),  # (N, 32, 24, 24)
        C3(32, 32),
        Conv(32, 64, 3, 2),  # (N, 64, 12, 12)
        C3(64, 64),
        SPPF(64, 64),
    )


features = make_backbone().eval()(torch.zeros(1, 3, 96, 96))
print("features:", tuple(features.shape), "so the stride is", 96 // features.shape[-1])

# %% [markdown]
# **Decoding.** The centre as in YOLOv5. The size without an anchor: $w = e^{t} \cdot \text{stride}$, which is always
# positive, and 8 pixels at $t = 0$.

# %%
def to_boxes(raw, cells, stride):
    """Raw numbers (..., 5 + C) of cells (..., 2) = column, row -> x, y, w, h in pixels."""
    centre = (2 * raw[..., :2].sigmoid() - 0.5 + cells) * stride
    size = raw[..., 2:4].exp() * stride
    return torch.cat((centre, size), -1)


def decode(raw, stride):
    """A raw map (N, 1, H, W, 5 + C) -> (N, H * W, 5 + C): boxes, objectness, class scores."""
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in raw.shape[2:4]), indexing="ij")
    boxes = to_boxes(raw, torch.stack((columns, rows), -1), stride)
    return torch.cat((boxes, raw[..., 4:].sigmoid()), -1).flatten(1, 3)

# %% [markdown]
# **Head and network.** One 1x1 convolution makes 4 + 1 + 6 numbers of the 64 features of each cell. A convolution puts
# its channels *before* rows and columns; for one vector per cell they must go to the end. That is what `permute` is
# for. (Box, objectness and class come out of the same features here, a **coupled head**, as in YOLOv5. YOLOX, YOLOv6
# and YOLOv8 give box and class branches of their own: a **decoupled head**.) The extra axis of length 1 stands where YOLOv5 has its three anchors, so that the library's functions fit.

# %%
class Detector(nn.Module):
    def __init__(self, names, stride=8):
        super().__init__()
        self.names, self.num_classes, self.strides = names, len(names), (stride,)
        self.backbone = make_backbone()
        self.head = nn.Conv2d(64, 5 + len(names), 1)

    def forward(self, images):
        out = self.head(self.backbone(images))  # (N, 5 + C, H, W)
        return [out.permute(0, 2, 3, 1)[:, None]]  # (N, 1, H, W, 5 + C)

    def decode(self, maps):
        return decode(maps[0], self.strides[0])


with seeded(0):
    detector = Detector(names)
print("weights:", sum(w.numel() for w in detector.parameters()), "| map:", tuple(detector(images)[0].shape))

# %% [markdown]
# **Targets.** Which cells are responsible for an object? The one that holds its centre, and up to two neighbours that
# are close. The library's steps do just that. Without anchors there is no size test: every object passes.

# %%
from yolo_lite.loss.targets import make_assignment, neighbour_cells, to_grid_units


def assign(targets, stride, size=96):
    """Which cells are responsible for which object, and their box targets (in cells, from the cell's corner)."""
    grid = (size // stride, size // stride)
    boxes = to_grid_units(targets, grid)  # (n, 4)
    everyone = torch.ones(1, len(targets), dtype=torch.bool)
    return make_assignment(targets, boxes, everyone, neighbour_cells(boxes[:, :2], grid), torch.ones(1, 2), grid)


matches = assign(scenes.targets, stride=8)
print(f"{len(scenes.targets)} objects, {len(matches.cls)} matches among {8 * 12 * 12} cells")

# %% [markdown]
# **Loss.** The three questions of YOLOv5: do matched boxes overlap with their objects (CIoU), does each cell know
# whether it has an object (BCE, over *all* cells), do matched cells name the class (BCE)? Nearly all cells are empty,
# so objectness gets a weight of 10 to be heard.

# %%
from yolo_lite.loss.focal import bce_with_focal
from yolo_lite.loss.loss import objectness_targets


def free_loss(raw, targets, stride):
    m = assign(targets, stride)
    matched = raw[m.image, m.anchor, m.row, m.col]  # (m, 5 + C)
    overlap = yl.bbox_iou(to_boxes(matched, 0, 1), m.box)  # (m,) both in cells
    objectness = objectness_targets(raw.shape[:4], m, overlap)  # (N, 1, H, W)
    box = (1 - overlap).mean()
    obj = 10 * bce_with_focal(raw[..., 4], objectness).mean()
    cls = bce_with_focal(matched[:, 5:], functional.one_hot(m.cls, raw.shape[-1] - 5).float()).mean()
    return yl.LossParts(box + obj + cls, box, obj, cls)

# %% [markdown]
# **Training.** Forward, loss, backward, step; 150 times with the same eight scenes. A network that cannot learn eight
# pictures by heart has a bug: this is the first test to make, and it takes seconds.

# %%
def train(detector, steps=150):
    optimiser = torch.optim.AdamW(detector.parameters(), lr=0.01)
    history = []
    for _ in range(steps):
        parts = free_loss(detector(images)[0], scenes.targets, detector.strides[0])
        optimiser.zero_grad()
        parts.total.backward()
        optimiser.step()
        history.append([part.item() for part in parts[1:]])
    return dict(zip(("box", "obj", "cls"), zip(*history)))


history = train(detector)
print("of each loss is left:", ", ".join(f"{name} {approx(h[-1] / h[0], '.0%')}" for name, h in history.items()))
assert all(h[-1] < h[0] / 2 for h in history.values()) and history["obj"][-1] < history["obj"][0] / 10
show_series(history, title="150 steps on eight scenes", x_label="step", y_label="loss")

# %%
map50 = yl.evaluate(detector, [scenes]).map50
print("mean average precision at IoU 0.5, mAP50:", approx(map50))
assert map50 > 0.6
found = yl.predict(detector, list(scenes.images.permute(0, 2, 3, 1).numpy()), img_size=96)
pictures = row(*(show_image(scenes.images[index], found[index]) for index in (1, 3, 4, 5)))
replace(pictures, words="four of the scenes, with what the detector finds")

# %% [markdown]
# **What to notice**
# - Boxes and classes fit. That is a whole detector: five short cells around the library's blocks.
# - It knows these eight scenes by heart, nothing more. Learning what *all* scenes have in common is the subject of
#   [08_training_loop](08_training_loop.ipynb).

# %% [markdown]
# ## 2. Nine mistakes, run and repaired
#
# All of these stand in tutorials that people copy from. Two of the nine stop with an error by themselves (6 and 8). The
# others run. Several even learn a little: the loss goes down, and the boxes are wrong.

# %% [markdown]
# ### Mistake 1: a backbone of stride 8, declared as 32
#
# Three halvings give stride 8. Someone writes 32, because "YOLO has stride 32". The network still makes a map of 12 x
# 12 cells; the rest of the code believes in 3 x 3.

# %%
raw = detector(images)[0].detach()
centres = decode(raw, stride=32)[..., :2]
inside = ((centres > 0) & (centres < 96)).all(-1).float().mean()
matches = assign(scenes.targets, stride=32)
print("decoded centres inside the picture:", approx(inside, ".0%"))
assert inside < 0.2
used = sorted(set(matches.row.tolist() + matches.col.tolist()))
print("rows and columns that targets are written to:", used, "of 12")
of_scene = yl.xywh_to_xyxy(scenes.targets[scenes.targets[:, 0] == 1, 2:]) * 96
show_grid(scenes.images[1], [8, 32], of_scene)

# %% [markdown]
# **What to notice**
# - Left the real cells, 12 x 12; right the 3 x 3 that the code believes in. Their rows and columns, 0 to 2, are written
#   into the *corner* of the real map. Nothing complains: all indices exist.
#
# Worse: two of the three losses fall. That of objectness falls to less than a tenth, just as in the right network, and
# the class loss to less than half, because the network sees enough of the picture from the corner to learn something of
# eight scenes by heart. Only the box loss, which stays high, and mAP50 show that something is wrong.

# %%
with seeded(0):
    declared = Detector(names, stride=32)
history = train(declared)
map50 = yl.evaluate(declared, [scenes]).map50
print("of each loss is left:", ", ".join(f"{name} {approx(h[-1] / h[0], '.0%')}" for name, h in history.items()))
print("mAP50:", approx(map50))
assert history["obj"][-1] < history["obj"][0] / 10 and history["cls"][-1] < history["cls"][0] / 2
assert history["box"][-1] > history["box"][0] / 2 and map50 < 0.5

# %% [markdown]
# **Repair**: never write the stride down, measure it, as the library does when it builds a model.

# %%
measured = 96 // detector(torch.zeros(1, 3, 96, 96))[0].shape[2]
centres = decode(raw, stride=measured)[..., :2]
inside = ((centres > -4) & (centres < 100)).all(-1).float().mean()
print(f"measured stride {measured}, centres inside:", approx(inside, ".0%"))
assert inside > 0.99
print("the library measures too:", yl.create_model("yolov5n").strides)

# %% [markdown]
# (A centre may leave its cell by half a cell, so at the border by 4 pixels.)
#
# ### Mistake 2: random targets outside [0, 1]
#
# To try a loss quickly, people feed it `torch.randn`. But `randn` is negative half of the time. Three of four boxes
# then have a negative side, and such a box does not even overlap with itself: no prediction can ever be right. Binary
# cross-entropy fares worse: with a target of 1.7 it has no lowest value, and falls for ever.

# %%
generator = torch.Generator().manual_seed(0)
boxes = torch.randn(10_000, 4, generator=generator)  # "targets": x, y, w, h
fits = yl.bbox_iou(boxes, boxes, "iou") > 0.99
print("boxes that overlap with themselves:", approx(fits.float().mean(), ".0%"))
assert abs(fits.float().mean() - 1 / 4) < 0.03
z = torch.tensor([0.0, 10, 100, 1000])
bce = bce_with_focal(z, torch.full((4,), 1.7))
print("BCE with target 1.7 at logits 0, 10, 100, 1000:", [round(v, 2) for v in bce.tolist()])
try:
    yl.build_targets(torch.randn(5, 6, generator=generator), [(12, 12)], torch.ones(1, 1, 2), [8])
except ValueError as problem:
    print(fill("the library says: ... " + str(problem).partition("]: ")[2], 84))

# %% [markdown]
# **Repair**: `torch.rand` lies in [0, 1); and a loss that checks its targets, as above, raises an error before you
# have trained on nonsense.

# %%
boxes = torch.rand(10_000, 4, generator=generator) + 0.01
print(f"boxes that overlap with themselves: {(yl.bbox_iou(boxes, boxes, 'iou') > 0.99).float().mean():.0%}")

# %% [markdown]
# ### Mistake 3: `view` where `permute` is needed
#
# The head's output is (N, 11, 12, 12), channels first. The loss needs (N, 12, 12, 11). `view` gives that shape too. But
# `view` never moves a number; it only counts the same row of numbers differently. Fill each channel with its own number
# and look where they land:

# %%
marked = torch.arange(11.0)[None, :, None, None].expand(1, 11, 12, 12).contiguous()
moved, scrambled = marked.permute(0, 2, 3, 1), marked.view(1, 12, 12, 11)
print("shapes, permuted and viewed:", tuple(moved.shape), tuple(scrambled.shape))
print("first cell, permuted:", moved[0, 0, 0].int().tolist())
print("first cell, viewed:  ", scrambled[0, 0, 0].int().tolist())
print("channels in the objectness slot, viewed:", scrambled[..., 4].unique().int().tolist())

# %%
from walkthrough.images import heat

out = detector.eval().head(detector.backbone(images)).detach()  # (8, 11, 12, 12)
permuted, mixed = out.permute(0, 2, 3, 1)[:, None], out.view(8, 1, 12, 12, 11)
# objectness of scene 4, low is blue, high is yellow
maps = [heat(raw[4, 0, :, :, 4]) for raw in (permuted, mixed)]
titles = ["scene 4", "objectness, permuted", "objectness, viewed"]
row(show_image(scenes.images[4]), *map(show_image, maps), titles=titles)

# %% [markdown]
# **What to notice**
# - Permuted, the map lights up where scene 4 has its objects. Viewed, it is a mixture of all eleven channels.
#
# Can one train like that? Yes, and that is the trap. The network learns *something* from any wiring:

# %%
class Viewed(Detector):
    def forward(self, images):
        out = self.head(self.backbone(images))
        return [out.view(len(images), 1, *out.shape[2:], out.shape[1])]


with seeded(0):
    viewed = Viewed(names)
history = train(viewed)
map50 = yl.evaluate(viewed, [scenes]).map50
print("of each loss is left:", ", ".join(f"{name} {approx(h[-1] / h[0], '.0%')}" for name, h in history.items()))
print("mAP50:", approx(map50))
assert history["obj"][-1] < history["obj"][0] / 2 and history["cls"][-1] < history["cls"][0] / 2 and map50 < 0.5

# %% [markdown]
# **Repair**: `permute`; and test with marked channels, as above, whenever axes change places.
#
# ### Mistake 4: the no-object term counted twice
#
# YOLOv1 had two terms: one for cells with an object, one for cells without. YOLOv5 has one BCE over all cells. (Between
# them: v2 had squared errors like v1, v3 and v4 leave **ignored** cells out. After them: v8 has no objectness at all.)
# Whoever adds the new term and keeps the old one too counts every empty cell twice.

# %%
z = permuted[..., 4].clone().requires_grad_()
m = assign(scenes.targets, stride=8)
target = torch.zeros_like(z)
target[m.image, m.anchor, m.row, m.col] = 1.0
empty = target == 0
once = torch.autograd.grad(bce_with_focal(z, target).sum(), z)[0]
twice = torch.autograd.grad(bce_with_focal(z, target).sum() + bce_with_focal(z[empty], target[empty]).sum(), z)[0]
factor = (twice / once).round(decimals=4)
print("gradient at an empty cell, times", factor[empty].unique().tolist())
print("gradient at an object's cell, times", factor[~empty].unique().tolist())

# %% [markdown]
# So the network is pushed to be silent. How far? Think of a network that knows nothing and gives the same $z$
# everywhere. With $P$ cells that have an object and $E$ empty ones it rests where the gradients cancel,
# $P (1 - \sigma) = k E\, \sigma$, that is at $\sigma = P / (P + k E)$ with $k = 1$ or $2$.

# %%
P, E = int((~empty).sum()), int(empty.sum())
for k in (1, 2):
    rest = P / (P + k * E)
    z0 = torch.tensor(math.log(rest / (1 - rest)), requires_grad=True)
    same = z0.expand_as(target)
    loss = bce_with_focal(same, target).sum() + (k - 1) * bce_with_focal(same[empty], target[empty]).sum()
    slope = torch.autograd.grad(loss, z0)[0].abs().item()
    print(f"counted {k} times: it rests at {rest:.3f}, the gradient there is", approx(slope, ".1g"))
    assert slope < 1e-2

# %% [markdown]
# **Repair**: one BCE over all cells, as in `free_loss` above. If empty cells should weigh more or less, give them a
# weight and say so; YOLOv1's is 0.5, not 2.
#
# ### Mistake 5: the wrong enclosing box in CIoU
#
# The enclosing box goes from the *smallest* left to the *largest* right edge. Mixed up, one gets the box of the
# intersection. For boxes apart that is the gap between them. Then $\rho^2 / c^2$, the squared distance of the centres over
# the squared diagonal of the "enclosing" box, becomes smaller when the *gap* becomes larger. Slide a box 300 steps down
# such a loss, and down the right one:

# %%
def descend(overlap, steps=300):
    """IoU with the object after each step that a box takes to raise the given overlap, and where it ends."""
    box, goal = torch.tensor([[0.0, 0, 3, 2]], requires_grad=True), torch.tensor([[6.0, 6, 8, 9]])
    optimiser, seen = torch.optim.Adam([box], lr=0.05), []
    for _ in range(steps):
        optimiser.zero_grad()
        (1 - overlap(box, goal)).sum().backward()
        optimiser.step()
        seen.append(yl.bbox_iou(box, goal, "iou", "xyxy").item())
    return seen, box.detach()


# %%
def wrong_diou(a, b):
    terms = yl.iou_terms(a, b, "xyxy")
    # should be max - min
    gap = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    return terms.iou - terms.centre_distance_squared / gap.square().sum(1)


wrong_path, wrong_end = descend(wrong_diou)
right_path, right_end = descend(lambda a, b: yl.bbox_iou(a, b, "diou", "xyxy"))
start, goal = torch.tensor([[0.0, 0, 3, 2]]), torch.tensor([[6.0, 6, 8, 9]])
losses = [1 - wrong_diou(box, goal).item() for box in (start, wrong_end)]
print("the wrong loss, at the start", approx(losses[0]), "and in the end", approx(losses[1]))
for name, end in {"wrong": wrong_end, "right": right_end}.items():
    width, height = (end[0, 2:] - end[0, :2]).tolist()
    print(f"{name} enclosing box: in the end width", approx(width, ".1f"), "and height", approx(height, ".1f"))
    assert (min(width, height) < 0) == (name == "wrong")
assert losses[1] < losses[0]
show_series({"wrong box": wrong_path, "right box": right_path}, title="IoU with the object", x_label="step")

# %% [markdown]
# **What to notice**
# - The wrong loss falls as it should, and the box turns inside out: its left edge ends right of its right edge.
# - On boxes that overlap well the mistake hardly shows (below). So it passes a quick test.
#
# **Repair**: `yl.iou_terms`; or test with two boxes that are apart, and where the result is known. For (0, 0, 1, 1) and
# (2, 2, 3, 3) the squared distance is 8, the enclosing box (0, 0, 3, 3), its squared diagonal 18: the loss is $1 + 8/18$.

# %%
far, other = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 2, 3, 3]])
near, near_other = torch.tensor([[0.0, 0, 40, 40]]), torch.tensor([[2.0, 0, 42, 40]])
for name, a, b in (("near", near, near_other), ("apart", far, other)):
    wrong, right = wrong_diou(a, b).item(), yl.bbox_iou(a, b, "diou", "xyxy").item()
    print(f"{name}: DIoU loss with the wrong box {1 - wrong:.4f}, with the right one {1 - right:.4f}")

# %% [markdown]
# ### Mistake 6: an SPPF whose channels do not add up
#
# SPPF halves the channels, pools three times in a row, and joins *four* maps: the unpooled one and the three pooled
# ones. Counting the pools only gives three.

# %%
class WrongSPPF(SPPF):
    def __init__(self, channels, out):
        super().__init__(channels, out)
        self.cv2 = Conv(3 * (channels // 2), out)  # three pools, so three?


try:
    WrongSPPF(64, 64)(torch.zeros(1, 64, 12, 12))
except RuntimeError as problem:
    print(fill(f"error: {problem}", 84))
repaired = SPPF(64, 64)
print("repaired:", tuple(repaired(torch.zeros(2, 64, 12, 12)).shape), "joins", repaired.cv2.conv.in_channels)

# %% [markdown]
# This mistake is the friendly kind: it stops. **Repair**: 4 x 32 = 128 channels go into the last convolution.
#
# ### Mistake 7: strides mislabelled by one level (P3 as P4)
#
# Three maps, three strides. One slip, such as a list that starts one level too late, and 8, 16, 32 become 16, 32, 64.
# Here is a trained network that comes with the library, decoded with both.

# %%
from yolo_lite.coding import decode as decode_maps

trained = yl.load("shapes-n").eval()
picture = Shapes("test", size=256, count=3).read(2)  # (256, 256, 3)
with torch.no_grad():
    maps = trained(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
pictures = []
for strides in (trained.strides, [2 * stride for stride in trained.strides]):
    (found,) = yl.non_max_suppression(decode_maps(maps, trained.anchors, strides), 0.5)
    found = found[found[:, 0].argsort()]  # from left to right
    pictures.append(show_image(picture, found, names=trained.names, title=f"strides {list(strides)}"))
row(*pictures)

# %% [markdown]
# **What to notice**
# - Sizes are right, since they come from the anchors. Centres are twice as far from the corner as they should be: the
#   nearer an object is to the top left corner, the less its box is off. Most boxes lie outside the picture.
# - So a test with a single object in that very corner would pass. Two objects at different places do not.
#
# **Repair**: measure the strides, one per map, with one dummy image.

# %%
with torch.no_grad():
    print("measured:", [256 // raw.shape[2] for raw in trained(torch.zeros(1, 3, 256, 256))])

# %% [markdown]
# ### Mistake 8: writing into a tensor that autograd needs
#
# It is tempting to decode in place: `y[..., :2] = 2 * y[..., :2] - 0.5`. But the slope of the sigmoid is
# $\sigma (1 - \sigma)$, so autograd kept $y$ itself. Overwritten, it would give a wrong slope. PyTorch
# notices, at `backward`:

# %%
t = torch.zeros(1, 4, requires_grad=True)
y = t.sigmoid()
y[..., :2] = 2 * y[..., :2] - 0.5
try:
    y.sum().backward()
except RuntimeError as problem:
    print(fill("error: " + str(problem).split(";")[0], 84))

# %% [markdown]
# It does not always break. Here the same line overwrites something that no slope needs: the slope of $3 t$ is 3,
# whatever $t$ is. That is why the advice "in-place is fine, I always do it" is so widespread.

# %%
y = 3 * t
y[..., :2] = 2 * y[..., :2] - 0.5
y.sum().backward()
print("gradient:", t.grad.tolist())

# %% [markdown]
# **Repair**: make a new tensor. `torch.cat` or a plain expression costs a little memory and is always right.

# %%
t.grad = None
y = t.sigmoid()
y = torch.cat((2 * y[..., :2] - 0.5, y[..., 2:]), -1)
y.sum().backward()
print("gradient:", t.grad.tolist())

# %% [markdown]
# ### Mistake 9: the logarithm of a zero probability
#
# The formula of BCE has $\ln(1 - \sigma)$ in it. With a logit of 20 the sigmoid is $1 - 2 \cdot 10^{-9}$, and a 32-bit
# float does not distinguish that from 1. So $\ln 0 = -\infty$, and on the way back $\infty \cdot 0$, which is *not a
# number*. One such cell, and one step later every weight before it is `nan`.

# %%
z = torch.tensor(20.0, requires_grad=True)
naive = -torch.log(1 - z.sigmoid())
naive.backward()
print("by the formula:  loss", naive.item(), "gradient", z.grad.item())
z.grad = None
stable = bce_with_focal(z, torch.tensor(0.0))
stable.backward()
print("from the logit:  loss", stable.item(), "gradient", z.grad.item())

# %% [markdown]
# **Repair**: compute from the logit, $\max(z, 0) - z\,t + \ln(1 + e^{-|z|})$; the same function, and nothing in it can
# overflow. That is what `binary_cross_entropy_with_logits` does. Clamping the probability avoids the `inf`, but then
# the gradient is 0 just where the network is most wrong:

# %%
z.grad = None
clamped = -torch.log((1 - z.sigmoid()).clamp(min=1e-7))
clamped.backward()
print("clamped:         loss", round(clamped.item(), 2), "gradient", z.grad.item())
by_hand = max(20.0, 0) - 0 * 20 + math.log1p(math.exp(-20))
print("the stable formula: by hand", approx(by_hand), "and by PyTorch", approx(stable))
assert math.isclose(by_hand, stable.item(), rel_tol=1e-6)

# %% [markdown]
# ## 3. A tutorial that does not run
#
# A published "simple YOLO" script has mistake 1, a wrong enclosing box (another one than in mistake 5), and one more. It is written anew here, and shorter, with
# its mistakes kept: three halvings, a stride declared as 32, an enclosing box of its own, and a branch with anchors. Each
# cell of the map has x, y inside the cell, w, h in cells, an objectness and the classes.

# %%
class SimpleYolo(nn.Module):
    stride = 32  # as the script declares it

    def __init__(self, num_classes):
        super().__init__()
        self.backbone = nn.Sequential(Conv(3, 16, 3, 2), Conv(16, 32, 3, 2), Conv(32, 64, 3, 2))
        self.head = nn.Conv2d(64, 5 + num_classes, 1)
        self.anchors = torch.tensor([[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]])

    def forward(self, images, use_anchors=False):
        out = self.head(self.backbone(images)).permute(0, 2, 3, 1)  # (N, H, W, 5 + C)
        wh = out[..., 2:4].exp()
        if use_anchors:
            wh = wh * self.anchors
        return torch.cat((out[..., :2].sigmoid(), wh, out[..., 4:]), -1)


# %%
def grid_targets(targets, size, stride):
    """Each object in the cell of its centre, (N, G, G, 6): x, y in the cell, w, h in cells, 1, class."""
    cells = size // stride
    grid = torch.zeros(int(targets[:, 0].max()) + 1, cells, cells, 6)
    for image, cls, *box in targets.tolist():
        x, y, w, h = (cells * number for number in box)
        grid[int(image), int(y), int(x)] = torch.tensor([x % 1, y % 1, w, h, 1.0, cls])
    return grid


def simple_loss(out, grid, overlap):
    has = grid[..., 4] == 1  # (N, G, G)
    box = (1 - overlap(out[has][:, :4], grid[has][:, :4])).mean()
    obj = functional.binary_cross_entropy_with_logits(out[..., 4], grid[..., 4])
    return box + obj + functional.cross_entropy(out[has][:, 5:], grid[has][:, 5].long())


# %% [markdown]
# ### It stops at the first batch
#
# Two scenes of 640 pixels, the network, the targets, the loss:

# %%
large = next(iter(yl.create_dataloader(Shapes(size=640, count=2), batch_size=2, img_size=640)))
with seeded(0):
    script = SimpleYolo(len(names))
out = script(large.images / 255)
grid = grid_targets(large.targets, 640, script.stride)
print("map", tuple(out.shape), "targets", tuple(grid.shape))
try:
    simple_loss(out, grid, yl.bbox_iou)
except IndexError as problem:
    print(fill(f"IndexError: {problem}", 84))

# %% [markdown]
# **What to notice**
# - Three halvings make a map of 80 x 80 cells. The targets believe in stride 32, so they have 20 x 20. PyTorch is asked to
#   pick cells of the one by a mask of the other's size.
# - It is mistake 1 again. There all ran, because targets were written into the map by row and column. Here the sizes meet,
#   and the mistake is found at once. An error is the best that can happen to a mistake.
#
# **Repair 1**: measure.

# %%
script.stride = 640 // out.shape[1]
grid = grid_targets(large.targets, 640, script.stride)
loss = simple_loss(out, grid, yl.bbox_iou)
print("stride", script.stride, "targets", tuple(grid.shape), "loss", approx(loss, ".1f"))
assert out.shape[:3] == grid.shape[:3] and loss.isfinite()

# %% [markdown]
# ### Its enclosing box does not enclose
#
# The loss above came from the library. The script has a CIoU of its own. It takes the larger of the two widths and the
# larger of the two heights for the sides of the enclosing box: $c^2 = \max(w_1, w_2)^2 + \max(h_1, h_2)^2$. Where the boxes
# *are* does not occur in it. Take two boxes of 1 x 1, one shifted by $s$ in x and in y. They do not overlap, so IoU is 0;
# the shapes agree, so $v = 0$; and the squared distance of the centres is $2 s^2$:
#
# $$ L_\text{script} = 1 + \frac{2 s^2}{1^2 + 1^2} = 1 + s^2 \qquad
#    L = 1 + \frac{2 s^2}{2\,(s + 1)^2} = 1 + \left(\frac{s}{s + 1}\right)^2 $$

# %%
def script_ciou(pred, truth):
    """x, y, w, h; only the enclosing box is the script's."""
    terms = yl.iou_terms(pred, truth)
    # should reach around both
    c2 = torch.maximum(pred[:, 2:], truth[:, 2:]).square().sum(1)
    return terms.iou - terms.centre_distance_squared / c2 - terms.alpha * terms.v


unit, rows = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), []
for s in (2, 10, 100):
    moved = (unit + torch.tensor([s, s, 0, 0])).requires_grad_()
    wrong, right = 1 - script_ciou(moved, unit), 1 - yl.bbox_iou(moved, unit)
    slopes = [torch.autograd.grad(loss.sum(), moved)[0][0] for loss in (wrong, right)]
    losses = f"{wrong.item():,.0f}", f"{right.item():.4f}"
    rows.append([s, 1 + s**2, losses[0], *slopes[0][[0, 2]], losses[1], *slopes[1][[0, 2]]])
columns = ["shift s", "1 + s²", "script's loss", "its d x", "its d w", "CIoU loss", "d x", "d w"]
show_table(columns, rows)

# %% [markdown]
# **What to notice**
# - The losses are 5, 101 and 10,001. The right one never reaches 2, however far the box is.
# - Far away both losses would rather make the box larger than move it (d w outweighs d x). But the right one is nearly flat
#   there, while the gradients of the script's grow without limit, that in w with the *square* of the distance. One such box
#   outweighs all the others in the batch.
#
# **Repair 2**: from the smallest left to the largest right edge, the same for top and bottom.

# %%
def repaired_ciou(pred, truth):
    terms = yl.iou_terms(pred, truth)
    # left and top
    low = torch.minimum(pred[:, :2] - pred[:, 2:] / 2, truth[:, :2] - truth[:, 2:] / 2)
    # right and bottom
    high = torch.maximum(pred[:, :2] + pred[:, 2:] / 2, truth[:, :2] + truth[:, 2:] / 2)
    return terms.iou - terms.centre_distance_squared / (high - low).square().sum(1) - terms.alpha * terms.v


shifts = (2, 10, 100)
losses = [1 - repaired_ciou(unit + torch.tensor([s, s, 0, 0]), unit).item() for s in shifts]
print("repaired:", [round(loss, 4) for loss in losses])
print("by hand: ", [round(1 + (s / (s + 1)) ** 2, 4) for s in shifts])

# %% [markdown]
# ### Its branch with anchors cannot run
#
# The script also offers anchors. That branch cannot run either, so nobody can have used it. In our version:

# %%
try:
    script(large.images / 255, use_anchors=True)
except RuntimeError as problem:
    print(fill(f"RuntimeError: {problem}", 84))

# %% [markdown]
# Three anchors, and one box per cell: the sizes (N, 80, 80, 2) and (3, 2) do not fit together. (With a map of 3 x 3 cells
# they *would* fit, and each column of the map would get an anchor of its own. A test on a tiny picture passes.)
#
# **Repair 3**: three boxes per cell, so three times the channels of the head, an axis for the anchors, and anchors in the
# units of the sizes. Targets now have to say which *anchor* is responsible, too. The library's `build_targets` and loss do
# that for any number of anchors.

# %%
class RepairedYolo(nn.Module):
    def __init__(self, names, anchors, size=96):
        super().__init__()
        self.names, self.num_classes = names, len(names)
        self.anchors = anchors  # (1, 3, 2) pixels: one level, three anchors
        self.backbone = make_backbone()
        self.head = nn.Conv2d(64, 3 * (5 + len(names)), 1)
        # measured
        self.strides = (size // self(torch.zeros(2, 3, size, size))[0].shape[2],)

    def forward(self, images):
        out = self.head(self.backbone(images)).unflatten(1, (3, -1))  # (N, 3, 5 + C, H, W)
        return [out.permute(0, 1, 3, 4, 2)]  # (N, 3, H, W, 5 + C)

    def decode(self, maps):
        return decode_maps(maps, self.anchors, self.strides)


# %%
with seeded(0):
    repaired = RepairedYolo(names, torch.tensor([[[12.0, 12.0], [24.0, 24.0], [48.0, 48.0]]]))
hyp = yl.Hyperparameters(box=0.5, obj=5.0, cls=1.0)
criterion = yl.ComputeLoss(repaired.anchors, repaired.strides, repaired.num_classes, hyp)
optimiser, totals = torch.optim.AdamW(repaired.parameters(), lr=0.01), []
for _ in range(150):
    parts = criterion(repaired(images), scenes.targets)
    optimiser.zero_grad()
    parts.total.backward()
    optimiser.step()
    totals.append(parts.total.item())
map50 = yl.evaluate(repaired, [scenes]).map50
print("stride", repaired.strides, "loss", approx(totals[0], ".0f"), "to", approx(totals[-1], ".1f"))
print("mAP50", approx(map50))
assert totals[-1] < totals[0] / 3 and map50 > 0.6

# %%
arrays, counts = list(scenes.images.permute(0, 2, 3, 1).numpy()), []
for iou_thres in (0.45, 0.1):
    found = yl.predict(repaired, arrays, conf_thres=0.4, iou_thres=iou_thres, img_size=96)
    counts.append(sum(map(len, found)))
    print(f"NMS with IoU {iou_thres}:", approx(counts[-1], "d"), "boxes for", len(scenes.targets), "objects")
assert counts[1] <= counts[0]
pictures = row(*(show_image(scenes.images[index], found[index]) for index in (1, 3, 4, 5)))
replace(pictures, words="the same four scenes, with what the repaired script finds")

# %% [markdown]
# **What to notice**
# - The boxes and the classes of most objects fit again.
# - Where there are more boxes than objects, an object was found more than once. Its three anchors and its neighbour cells
#   are all trained to find it. NMS removes a second box of the same class only where the two overlap by more than its
#   threshold, and a small box within a large one overlaps little. The pictures show what the lower threshold, 0.1, leaves.
#   (With objects that stand close together it would remove right boxes as well.)

# %% [markdown]
# ## 4. Check: the repaired script against the library
#
# Two parts of it were written here: the overlap and the decoding. On a thousand random pairs of boxes, and on the maps of
# the network that has just been trained, they must equal the library's.

# %%
pairs = torch.rand(2, 1000, 4, generator=torch.Generator().manual_seed(0)) * 50 + 1
gap = (repaired_ciou(*pairs) - yl.bbox_iou(*pairs)).abs().max()
wrong = (script_ciou(*pairs) - yl.bbox_iou(*pairs)).abs()
print("CIoU: largest difference", approx(gap, ".1g"), "and with the script's enclosing box", approx(wrong.max(), ".1f"))
assert gap < 1e-5 < 0.5 < wrong.max()

# %%
def decode_by_hand(raw, anchors, stride):
    """A map (1, 3, H, W, 5 + C) -> (3 * H * W, 4) boxes in pixels, one after the other."""
    _, _, rows, columns, _ = raw.shape
    boxes = []
    for anchor in range(3):
        for r in range(rows):
            for c in range(columns):
                sx, sy, sw, sh = raw[0, anchor, r, c, :4].sigmoid().tolist()
                w, h = anchors[0, anchor].tolist()
                x, y = (2 * sx - 0.5 + c) * stride, (2 * sy - 0.5 + r) * stride
                boxes.append([x, y, (2 * sw) ** 2 * w, (2 * sh) ** 2 * h])
    return torch.tensor(boxes)


with torch.no_grad():
    maps = repaired.eval()(images[:1])
    expected = repaired.decode(maps)[0, :, :4]
gap = (decode_by_hand(maps[0], repaired.anchors, repaired.strides[0]) - expected).abs().max()
print(f"{len(expected)} boxes decoded one by one; largest difference in pixels", approx(gap, ".1g"))
assert gap < 1e-3

# %% [markdown]
# ## Your turn: write `my_enclosing_diagonal_squared`
#
# Mistake 5 was the wrong enclosing box, and the script of section 3 has another wrong one: max(w)² + max(h)², which does
# not grow when the boxes move apart. Write the right one: from the smallest left to the largest right side, from the
# smallest top to the largest bottom side, and the square of its diagonal.

# %%
import torch
from walkthrough import check

def my_enclosing_diagonal_squared(a, b):
    """Squared diagonal c² of the smallest box that encloses a[k] and b[k].

    a, b: (n, 4) left, top, right, bottom. Returns: (n,).
    """
    ...

check(my_enclosing_diagonal_squared)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_enclosing_diagonal_squared(a, b):
#     size = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
#     return (size**2).sum(1)
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>All boxes of your detector lie in the upper left quarter of the picture: each centre is half as far from that corner as it should be. Which mistake do
# you suspect?</summary>
#
# Strides that are too small by a factor of two, mistake 7 in the other direction. Measure them with a dummy image.
# </details>
#
# <details><summary>Loss is nan from one step to the next. Where do you look?</summary>
#
# For a logarithm or a division that can meet a zero (mistake 9), and at the learning rate
# ([07](07_backpropagation.ipynb), section 1). In the library, `yolo_lite.running.diagnose.first_non_finite` names the
# layer in which it began.
# </details>
#
# <details><summary>Objectness and class loss fall, the box loss hardly does, and mAP50 stays low. Which mistakes of this
# notebook look like that?</summary>
#
# 1 and 3: targets and predictions do not speak of the same place. Look at one object: which cell is trained for it, and
# where does that cell's box lie?
# </details>
#
# <details><summary>A unit box is 3 too far to the right and 3 too far down. What does the script's loss say, and what does
# the right one?</summary>
#
# $1 + 3^2 = 10$, and $1 + (3/4)^2 = 1.5625$.
# </details>
#
# <details><summary>Which test would have found each of mistakes 1, 3, 5 and 7 within a second?</summary>
#
# 1 and 7: one dummy image, and the sides of the maps. 3: a map whose channels hold their own number. 5: two boxes that are
# apart, with the result worked out on paper.
# </details>

# %% [markdown]
# **On to [08_training_loop](08_training_loop.ipynb)**, where the single step is repeated, with warm-up, schedule and an
# average of the weights that follows.
