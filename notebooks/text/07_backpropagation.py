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
# # 7. Backpropagation: from one number to every weight
#
# A loss is one number. A network has millions. Backpropagation computes for each of the millions which way to move so
# that the one number falls. This notebook starts with a single weight and pencil arithmetic, breaks the box loss down
# until its gradient is nothing but areas and edges, builds a whole small detector, and then breaks it on purpose in
# nine ways that real tutorials break theirs.
#
# Every gradient is computed twice: by hand, and by PyTorch's **autograd**. They must agree.
#
# A number behind ≈ may end in other digits on your computer: processors do not all add up in the same order. The
# `assert` below such a number stops the notebook where it is not what the text says.

# %% [markdown]
# ## 1. One weight, one step
#
# Why a gradient at all? We could try random changes and keep the good ones. With one weight that works. With 1.87
# million it never ends. The gradient says for each weight, at once, in which direction the loss falls.
#
# The smallest example: one weight $w = 1.0$ and the loss $(w - 1.25)^2$. Its slope is $2\,(w - 1.25) = -0.5$: making
# $w$ larger makes the loss smaller. With a **learning rate** of 0.1 the step is
#
# $$ w \leftarrow w - \text{learning rate} \cdot \text{gradient} = 1.0 - 0.1 \cdot (-0.5) = 1.05 $$

# %%
import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

import yolo_lite as yl
from walkthrough import GradientExplorer, IouPlayground, approx, row, show_bars, show_batch
from walkthrough import show_grid, show_image, show_series, show_table

weight = torch.tensor(1.0, requires_grad=True)
loss = (weight - 1.25) ** 2
loss.backward()
print("gradient, by hand and by autograd:", 2 * (1.0 - 1.25), weight.grad.item())
torch.optim.SGD([weight], lr=0.1).step()
print(f"after the step, by hand and by the optimiser: {1.0 - 0.1 * (-0.5)} and {weight.item():.2f}")
print(f"loss before and after: {loss.item()} and {(weight.item() - 1.25) ** 2:.2f}")

# %% [markdown]
# The sign matters: the gradient points *uphill*, so we step against it. The learning rate matters as much. Here is the
# same weight after 15 steps with three learning rates.

# %%
def walk(learning_rate, steps=15):
    """The weight after each step of plain gradient descent."""
    weight = torch.tensor(1.0, requires_grad=True)
    seen = [1.0]
    for _ in range(steps):
        (gradient,) = torch.autograd.grad((weight - 1.25) ** 2, weight)
        with torch.no_grad():
            weight -= learning_rate * gradient
        seen.append(weight.item())
    return seen


paths = {f"learning rate {lr}": walk(lr) for lr in (0.1, 0.9, 1.05)}
factors = [round((path[2] - 1.25) / (path[1] - 1.25), 2) for path in paths.values()]
print("each step multiplies the distance from 1.25 by", factors)
show_series(paths, title="one weight, three learning rates", x_label="step", y_label="weight (best: 1.25)")

# %% [markdown]
# **What to notice**
# - Each step multiplies the distance from the best value by $1 - 2 \cdot \text{learning rate}$. Between -1 and 1 that
#   shrinks.
# - With 0.1 it walks straight in. With 0.9 it jumps over the goal each time, and still arrives.
# - With 1.05 it jumps further each time. A loss that *grows* during training mostly means just that.

# %% [markdown]
# ## 2. The chain rule: slopes are multiplied
#
# A network is a long chain of simple functions. Why not differentiate the whole formula at once? Nobody can write it
# down. But each link alone has an easy slope, and the slope of a chain is the **product** of its links' slopes:
#
# $$ z = w x + b, \quad p = \sigma(z), \quad L = (p - t)^2 \qquad
# \frac{dL}{dw} = \frac{dL}{dp} \cdot \frac{dp}{dz} \cdot \frac{dz}{dw} $$
#
# with the input $x = 2$, the weight $w = 1$, the bias $b = -1$ and the target $t = 0$. The **sigmoid**
# $\sigma(z) = 1 / (1 + e^{-z})$ squeezes any number into 0 to 1; its slope is $\sigma (1 - \sigma)$.

# %%
x, w, b, t = 2.0, torch.tensor(1.0, requires_grad=True), torch.tensor(-1.0, requires_grad=True), 0.0
z = w * x + b
p = z.sigmoid()
loss = (p - t) ** 2
slopes = {"dL/dp = 2 (p - t)": 2 * (p - t), "dp/dz = p (1 - p)": p * (1 - p), "dz/dw = x": torch.tensor(x)}
product = torch.stack(list(slopes.values())).cumprod(0)
show_table(["link", "its slope", "product so far"], [[k, v, q] for (k, v), q in zip(slopes.items(), product)])

# %%
loss.backward()
print("the slope by hand minus that of autograd:", approx(product[-1] - w.grad, ".1g"))
assert torch.isclose(product[-1], w.grad)
link, names = loss.grad_fn, []
while link is not None and len(names) < 5:
    names.append(type(link).__name__)
    link = link.next_functions[0][0] if link.next_functions else None
print("what autograd remembered, from the loss backwards:", ", ".join(names))

# %% [markdown]
# **What to notice**
# - Autograd writes down each operation while the network runs forward. `backward` walks that list from its end.
# - It needs the values from the way forward ($p$, $x$) to compute the slopes. That is why training needs so much more
#   memory than predicting, and why overwriting a value can break it (mistake 8).
#
# If you ever doubt a gradient, ask it directly: nudge the weight a little both ways and look at the loss.

# %%
nudge = 1e-3
up, down = ((torch.sigmoid((w.detach() + step) * x + b.detach()) - t) ** 2 for step in (nudge, -nudge))
slope = (up - down).item() / (2 * nudge)
print("slope by nudging", approx(slope, ".3f"), "and by autograd", approx(w.grad, ".3f"))
assert math.isclose(slope, w.grad.item(), rel_tol=1e-3)

# %% [markdown]
# ## 3. The loss decides how large the gradient is
#
# Is there a thing here, yes or no? The network gives a raw number $z$, a **logit**; $\sigma(z)$ is its confidence. Two
# losses suggest themselves for a target $t$:
#
# $$ \text{squared error} = (\sigma(z) - t)^2 \qquad
# \text{BCE} = -t \ln \sigma(z) - (1 - t) \ln (1 - \sigma(z)) $$
#
# BCE is **binary cross-entropy**. Both are 0 where $\sigma(z) = t$. They differ in their gradients. By the chain rule:
#
# $$ \frac{d\,\text{squared}}{dz} = 2\,(\sigma - t)\, \sigma (1 - \sigma) \qquad \frac{d\,\text{BCE}}{dz} = \sigma - t
# $$

# %%
z = torch.linspace(-8, 8, 161, requires_grad=True)
target = torch.ones_like(z)
squared = torch.autograd.grad(((z.sigmoid() - target) ** 2).sum(), z)[0]
bce = torch.autograd.grad(functional.binary_cross_entropy_with_logits(z, target, reduction="sum"), z)[0]
s = z.detach().sigmoid()
gaps = {"squared error": squared - 2 * (s - 1) * s * (1 - s), "BCE": bce - (s - 1)}
for name, gap in gaps.items():
    print(f"{name}: largest difference between autograd and by hand", approx(gap.abs().max(), ".1g"))
    assert gap.abs().max() < 1e-6
print(f"gradient at z = -6, where the network is sure and wrong: squared {squared[20]:.4f}, BCE {bce[20]:.4f}")
show_series(
    {"squared error": squared, "BCE": bce}, z, "gradient in the logit, target 1", "logit z", "gradient"
)

# %% [markdown]
# **What to notice**
# - Far on the left the network is sure and wrong. The gradient of BCE has nearly its full size there, 1; that of
#   the squared error is nearly 0, because the slope of the sigmoid is a factor of it.
# - In BCE the logarithm cancels that slope. What is left is the simplest gradient there is: *predicted minus target*.
#
# With several classes of which exactly one is right, the same thing happens with **softmax** and **cross-entropy**.
# Let the network predict (0.1, 0.7, 0.2), and let the second class be the right one. The loss is $-\ln 0.7$.

# %%
predicted = torch.tensor([[0.1, 0.7, 0.2]])
logits = predicted.log().requires_grad_()  # softmax of these gives back the three numbers
loss = functional.cross_entropy(logits, torch.tensor([1]))
loss.backward()
print(f"loss by hand {-math.log(0.7):.4f}, by PyTorch {loss.item():.4f}")
print("gradient", [round(g, 4) for g in logits.grad[0].tolist()], "= predicted minus (0, 1, 0)")

# %% [markdown]
# ## 4. A gradient made of areas: IoU
#
# For boxes we need a loss that measures overlap: **intersection over union**. The predicted box is (10, 10, 50, 50), the
# object (20, 20, 60, 60), given as left, top, right, bottom.
#
# $$ \text{intersection} = 30 \cdot 30 = 900 \qquad \text{union} = 1600 + 1600 - 900 = 2300 \qquad
# \text{IoU} = \frac{900}{2300} = 0.3913 $$

# %%
pred, truth = torch.tensor([[10.0, 10, 50, 50]]), torch.tensor([[20.0, 20, 60, 60]])
terms = yl.iou_terms(pred, truth, "xyxy")
paper = torch.full((70, 70, 3), 114, dtype=torch.uint8)
areas = [["intersection", terms.intersection], ["union", terms.union], ["IoU", terms.iou]]
row(show_image(paper, torch.cat((pred, truth)), ["prediction", "object"]), show_table(["yl.iou_terms", "value"], areas))

# %% [markdown]
# Which way should each edge move? Think of it as moving one edge by one pixel:
#
# - the **right** edge lies inside the object. One pixel further, and the intersection $I$ grows by its height, 30. The
#   box grows by its height, 40, so the union $U$ grows by $40 - 30 = 10$;
# - the **left** edge lies outside the object. One pixel to the right costs no intersection, and the union loses 40.
#
# The slope of a fraction $I / U$ is $(I' U - I\, U') / U^2$. Top and bottom are the same here.

# %%
right = (30 * 2300 - 900 * 10) / 2300**2
left = (0 * 2300 - 900 * (-40)) / 2300**2
box = pred.clone().requires_grad_()
yl.bbox_iou(box, truth, "iou", "xyxy").sum().backward()
formula = yl.iou_gradient(pred, truth, "iou", "xyxy")
rows = [["by hand", left, left, right, right], ["autograd", *box.grad[0]], ["yl.iou_gradient", *formula[0]]]
show_table(["d IoU / d edge", "left", "top", "right", "bottom"], rows)

# %% [markdown]
# **What to notice**
# - All four are positive: a larger IoU needs every edge further right or down, where the object is.
# - The gradient is larger at the inner edges (right, bottom) than at the outer ones: they win intersection, the others
#   only make the union smaller.
# - The gradient is per *pixel*. For a small box one pixel is a lot; section 8 comes back to that.

# %% [markdown]
# ## 5. Where IoU is silent
#
# What if the boxes do not touch at all, (0, 0, 1, 1) and (2, 2, 3, 3)? The intersection is 0, and it stays 0
# whichever edge moves a little. So the gradient is 0 too: the loss is as bad as it gets, and gives no direction.
# Three repairs add a term that still depends on the distance:
#
# $$ \text{GIoU} = \text{IoU} - \frac{\text{enclosing} - \text{union}}{\text{enclosing}} \qquad
# \text{DIoU} = \text{IoU} - \frac{d^2}{c^2} \qquad \text{CIoU} = \text{DIoU} - \alpha v $$
#
# The **enclosing box** is the smallest one around both, $c$ its diagonal, $d$ the distance of the centres. Here its
# area is 9, the union 2, $d^2 = 8$ and $c^2 = 18$: the GIoU loss is $1 + 7/9$ and the DIoU loss $1 + 8/18$.

# %%
far, other = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 2, 3, 3]])
print(f"by hand: GIoU {1 + 7 / 9:.6f}, DIoU {1 + 8 / 18:.6f}")
rows = []
for kind in ("iou", "giou", "diou", "ciou"):
    loss = 1 - yl.bbox_iou(far, other, kind, "xyxy").item()
    rows.append([kind, f"{loss:.6f}", *(-yl.iou_gradient(far, other, kind, "xyxy")[0] + 0.0)])
show_table(["loss", "value", "d left", "d top", "d right", "d bottom"], rows)

# %% [markdown]
# **What to notice**
# - IoU: four zeros. Nothing would ever move.
# - GIoU and DIoU have a negative gradient at the right and the bottom edge: the loss falls when those move towards the
#   object.
#
# A gradient is only a direction. Does the box arrive? Slide it 300 small steps down each loss, and watch the overlap.

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


kinds = ("iou", "giou", "diou", "ciou")
slides = {kind: descend(lambda a, b, kind=kind: yl.bbox_iou(a, b, kind, "xyxy")) for kind in kinds}
ends = {kind: seen[-1] for kind, (seen, _) in slides.items()}
_, top, _, bottom = slides["giou"][1][0].tolist()
print("overlap in the end:", ", ".join(f"{kind} {approx(end)}" for kind, end in ends.items()))
print("the GIoU box ends", approx((bottom - top) / (9 - 6), ".1f"), "times as high as the object")
assert ends["iou"] == 0 and ends["giou"] < 0.5 and min(ends["diou"], ends["ciou"]) > 0.9 and bottom - top > 3 * (9 - 6)
show_series(
    {kind: seen for kind, (seen, _) in slides.items()},
    title="from (0, 0, 3, 2) to (6, 6, 8, 9)",
    x_label="step",
    y_label="IoU with the object",
)

# %% [markdown]
# **What to notice**
# - IoU never leaves 0. That is the silent case.
# - GIoU *stretches* the box until it fills the enclosing box, because that lowers its loss too. After 300 steps it is
#   still far too high.
# - DIoU and CIoU begin alike: in the table above all three pull at the same two edges. But their penalty is about the
#   centres, so the box comes along and arrives. YOLOv5 uses CIoU.

# %% [markdown]
# ## 6. CIoU by hand, with its gradient
#
# CIoU adds one more wish: the same **aspect ratio**, width over height.
#
# $$ v = \frac{4}{\pi^2} \left( \arctan \frac{w_o}{h_o} - \arctan \frac{w}{h} \right)^2
# \qquad \alpha = \frac{v}{v - \text{IoU} + 1} $$
#
# ($w_o, h_o$ belong to the object.) The angle is used because a plain ratio explodes for thin boxes. Let us do one
# example with nothing but arithmetic: the prediction (50, 80, 150, 140) and the object (90, 70, 160, 160).

# %%
area, area_o = 100 * 60, 70 * 90
intersection = (150 - 90) * (140 - 80)
iou = intersection / (area + area_o - intersection)
rho2 = (125 - 100) ** 2 + (115 - 110) ** 2  # of the centres
c2 = (160 - 50) ** 2 + (160 - 70) ** 2  # diagonal of the enclosing box
v = 4 / math.pi**2 * (math.atan(70 / 90) - math.atan(100 / 60)) ** 2
alpha = v / (v - iou + 1)
pred, truth = torch.tensor([[50.0, 80, 150, 140]]), torch.tensor([[90.0, 70, 160, 160]])
by_hand = [iou, rho2, c2, v, alpha, 1 - (iou - rho2 / c2 - alpha * v)]
terms = yl.iou_terms(pred, truth, "xyxy")
library = [terms.iou, terms.centre_distance_squared, terms.enclosing_diagonal_squared, terms.v, terms.alpha]
library.append(1 - terms.value("ciou"))
names = ["IoU", "centre distance squared", "enclosing diagonal squared", "v", "alpha", "1 - CIoU"]
rows = [[name, f"{mine:.5g}", f"{theirs.item():.5g}"] for name, mine, theirs in zip(names, by_hand, library)]
show_table(["term", "by hand", "yl.iou_terms"], rows)

# %% [markdown]
# Now the gradient of $v$. It is the only term that looks at width and height as such:
#
# $$ \frac{\partial v}{\partial w} = \frac{8}{\pi^2} \left( \arctan \frac{w_o}{h_o} - \arctan \frac{w}{h} \right) \cdot
# \frac{-h}{w^2 + h^2} \qquad
# \frac{\partial v}{\partial h} = \frac{8}{\pi^2} \left( \arctan \frac{w_o}{h_o} - \arctan \frac{w}{h} \right) \cdot
# \frac{+w}{w^2 + h^2} $$

# %%
difference = math.atan(70 / 90) - math.atan(100 / 60)
dv_dw = 8 / math.pi**2 * difference * -60 / (100**2 + 60**2)
dv_dh = 8 / math.pi**2 * difference * 100 / (100**2 + 60**2)
centred = yl.xyxy_to_xywh(pred).requires_grad_()
_, _, auto_w, auto_h = torch.autograd.grad(yl.iou_terms(centred, yl.xyxy_to_xywh(truth)).v.sum(), centred)[0][0]
print(f"d v / d w by hand {dv_dw:.6f}, by autograd {auto_w:.6f}")
print(f"d v / d h by hand {dv_dh:.6f}, by autograd {auto_h:.6f}")
print("growing both sides alike changes v by", approx(100 * dv_dw + 60 * dv_dh, ".1g"))
assert abs(100 * dv_dw + 60 * dv_dh) < 1e-12

# %% [markdown]
# **What to notice**
# - The box is too wide for its height, so $v$ falls when the width falls or the height grows.
# - $w \cdot \partial v / \partial w + h \cdot \partial v / \partial h = 0$: $v$ cares about the shape, never the size.
# - $\alpha$ is held constant. It only decides how much the shape counts: more, the better the boxes already overlap.
#
# All terms together give the gradient of the box loss. In the library it is written out as a formula, `yl.iou_gradient`
# (the gradient of CIoU; that of the loss $1 - \text{CIoU}$ has the other sign). Autograd knows nothing of it:

# %%
box = pred.clone().requires_grad_()
(1 - yl.bbox_iou(box, truth, "ciou", "xyxy")).sum().backward()
formula = -yl.iou_gradient(pred, truth, "ciou", "xyxy")
print("largest difference:", approx((formula - box.grad).abs().max(), ".1g"))
assert torch.allclose(formula, box.grad, rtol=1e-4, atol=1e-8)
rows = [["yl.iou_gradient", *formula[0]], ["autograd", *box.grad[0]]]
show_table(["d (1 - CIoU) / d edge", "left", "top", "right", "bottom"], rows)

# %% [markdown]
# Drag the boxes. The arrows show where gradient descent on the chosen loss moves the prediction, the charts how the way
# down would be.

# %%
IouPlayground(boxes=[(50, 80, 150, 140), (90, 70, 160, 160)], rate=300)

# %% [markdown]
# **What to notice**
# - Drag the prediction away until the boxes no longer touch: the IoU arrows are gone, those of the others stay.
# - Lay one box inside the other. Moving it a little changes nothing for IoU and GIoU; DIoU and CIoU still move the
#   centres together. Here are the numbers:

# %%
inside = torch.tensor([[95.0, 80, 115, 100]])
for kind in kinds:
    dx, dy = (-yl.iou_gradient(yl.xyxy_to_xywh(inside), yl.xyxy_to_xywh(truth), kind)[0, :2] + 0.0).tolist()
    print(f"{kind:4}  d loss / dx {dx:+.5f}  d loss / dy {dy:+.5f}")

# %% [markdown]
# ## 7. Through the decoding, back to the raw numbers
#
# The network does not give boxes. It gives raw numbers $t$, and decoding makes boxes of them. So the chain has two more
# links, and their slopes decide how much of the gradient arrives:
#
# $$ x = (2\sigma(t_x) - 0.5 + \text{column}) \cdot \text{stride} \quad \Rightarrow \quad
# \frac{dx}{dt_x} = 2\,\sigma(1 - \sigma) \cdot \text{stride} $$
#
# $$ w = (2\sigma(t_w))^2 \cdot \text{anchor} \quad \Rightarrow \quad
# \frac{dw}{dt_w} = 8\,\sigma^2(1 - \sigma) \cdot \text{anchor} $$

# %%
from yolo_lite.coding import decode_level

t = torch.linspace(-8, 8, 161)
raw = torch.zeros(161, 1, 1, 1, 6)
raw[:, 0, 0, 0, :4] = t[:, None]
raw.requires_grad_()
boxes = decode_level(raw, torch.tensor([[10.0, 13.0]]), stride=8)  # (161, 1, 6): one cell, anchor 10 x 13
slopes = torch.autograd.grad(boxes[..., :4].sum(), raw)[0].reshape(161, 6)
s = t.sigmoid()
gaps = {"dx/dt": slopes[:, 0] - 2 * s * (1 - s) * 8, "dw/dt": slopes[:, 2] - 8 * s**2 * (1 - s) * 10}
for name, gap in gaps.items():
    print(f"{name}: largest difference between autograd and by hand", approx(gap.abs().max(), ".1g"))
    assert gap.abs().max() < 1e-5
show_series({"x, in cells": slopes[:, 0] / 8, "width, in anchors": slopes[:, 2] / 10}, t, "slope of the decoding", "t")

# %% [markdown]
# **What to notice**
# - Both slopes die out on both sides. A box at the end of its reach (far from its cell, or four times its anchor) is
#   hard to move back.
# - The start is good: fresh networks give numbers near 0, and there the slopes are 0.5 and 1.
# - The slopes carry a unit: x moves in steps of the *stride*, the width in steps of the *anchor*.

# %% [markdown]
# ## 8. Small objects
#
# Detectors find small objects badly. Is it the gradient's fault? First, what an error of two pixels costs.

# %%
sides = torch.tensor([8.0, 16, 32, 64, 128, 256])
objects = torch.stack((torch.zeros(6), torch.zeros(6), sides, sides), 1)  # x, y, w, h
shifted = objects + torch.tensor([2.0, 0, 0, 0])
overlap = yl.bbox_iou(shifted, objects, "iou")
by_hand = (sides - 2) / (sides + 2)
print("largest difference from (side - 2) / (side + 2):", approx((overlap - by_hand).abs().max(), ".1g"))
assert torch.allclose(overlap, by_hand)
show_bars(dict(zip([f"{side:.0f} px" for side in sides], overlap)), title="IoU after a shift of 2 pixels")

# %% [markdown]
# Now let each box be off by a *quarter of its own side*, and ask how large the gradient of CIoU is: per pixel of x,
# and, times the slope $dx/dt = \text{stride} / 2$ at $t = 0$, per unit of the raw number. Once with three levels, each
# size on a level that suits it, and once with stride 32 for all. The last column is about the width instead.

# %%
shifted = objects + torch.stack((sides / 4, *torch.zeros(3, 6)), 1)
per_pixel = -yl.iou_gradient(shifted, objects)[:, 0]  # (6,) of the box loss, in x
wider = objects * torch.tensor([1, 1, 1.25, 1])
per_t_w = -yl.iou_gradient(wider, objects)[:, 2] * sides  # dw/dt = anchor at t = 0, the anchor as large as the object
strides = torch.tensor([8.0, 8, 16, 16, 32, 32])
gradients_of_t = [per_pixel * strides / 2, per_pixel * 16, per_t_w]
print("largest gradient of t over the smallest:", [round((g[0] / g[-1]).item()) for g in gradients_of_t])
columns = ["side", "stride", "x, per pixel", "x, per unit of t", "x, were it stride 32", "width, per unit of t"]
show_table(columns, list(zip(sides, strides, per_pixel, *gradients_of_t)))

# %% [markdown]
# **What to notice**
# - Per pixel the gradient halves whenever the side doubles: a pixel means less to a large box.
# - With stride 32 for all, the gradient of the smallest box's raw number is 32 times that of the largest. One
#   unit of $t$ moves it by 16 pixels: twice its side. It could only jump back and forth. With three strides the factor
#   is 8.
# - The last column is what anchors are for. The same mistake, a quarter too wide, has the same gradient at every size
#   when the anchor has the size of the object.
#
# And in a real batch? Here is the tour's batch (at 320 pixels, to save time), an untrained network, and the loss. For
# each object we add up the length of the gradient at the predictions that are responsible for it.
# `map_gradients` takes the gradient of the loss in the raw maps, by autograd.

# %%
from walkthrough.gradients import layer_gradients, map_gradients

batch = yl.tour_batch(size=320)
model = yl.create_model("yolov5n", names=yl.YoloDataset("photos").names)
criterion = model.criterion(yl.Hyperparameters(), img_size=320)
maps = [raw.detach() for raw in model(batch.images / 255)]
by_cell = map_gradients(criterion, maps, batch.targets)
lengths, count = torch.zeros(len(batch.targets)), torch.zeros(len(batch.targets))
for level, m in enumerate(by_cell.matches):
    length = by_cell.cells("total", level)[m.image, m.anchor, m.row, m.col]  # (m,)
    lengths.index_add_(0, m.target, length)
    count.index_add_(0, m.target, torch.ones_like(length))

# %%
side = (batch.targets[:, 4:6] * 320).prod(1).sqrt()  # pixels
groups = {"under 32 px": side < 32, "32 to 96 px": (side >= 32) & (side < 96), "96 px and more": side >= 96}
print("objects:", {name: int(group.sum()) for name, group in groups.items()})
print("matches on strides 8, 16, 32:", [len(m.cls) for m in by_cell.matches])
per_match = {name: (lengths[group] / count[group]).mean() for name, group in groups.items()}
small, large = per_match["under 32 px"], per_match["96 px and more"]
print("the gradient at small objects is", approx(small / large, ".1f"), "times as long as at large ones")
assert small > 1.1 * large
show_bars(per_match, title="length of the gradient at one match, by size of the object")

# %% [markdown]
# **What to notice**
# - The loss does not neglect small objects. Each level's loss is the *mean* over its own matches, so where matches are
#   few, as on stride 8 here, each counts more.
# - Objectness is fair as well: 4, 1 and 0.4 are the weights of the three levels, and a level has 4 times the cells of
#   the next. One cell of stride 8 weighs as much as one of stride 16 (below).
# - So it is not the loss. It is the first picture: two pixels of error cost a small box almost half its overlap. And
#   since that overlap is what objectness is trained towards, small boxes also learn a low objectness.

# %%
cells = [raw[..., 4].numel() for raw in maps]
weights = [balance / number for balance, number in zip(criterion.balance.tolist(), cells)]
print("weight of one cell's objectness, in units of that on stride 16:", [round(w / weights[1], 2) for w in weights])

# %% [markdown]
# ## 9. Down through all 25 layers
#
# From the raw maps the gradient goes on to every weight. The total is a sum of three losses, and the slope of a sum is
# the sum of the slopes. So we can ask: how much of the gradient of a layer comes from which loss?

# %%
by_layer = layer_gradients(model, criterion, batch.images / 255, batch.targets)
indices = [int(name.split()[0]) for name in by_layer.names]  # layers that have weights
criterion(model(batch.images / 255), batch.targets).total.backward()
norms = [torch.nn.utils.get_total_norm([w.grad for w in model.layers[index].parameters()]) for index in indices]
model.zero_grad()
ratio = torch.stack(norms).double() / by_layer.total
print("together they are what backward gives; largest relative difference:", approx((ratio - 1).abs().max(), ".1g"))
assert (ratio - 1).abs().max() < 1e-3
lines = dict(zip(by_layer.terms, by_layer.norms))
show_series(lines, indices, "length of the gradient, by loss", "layer (0 is the first, 24 the head)", log=True)

# %% [markdown]
# **What to notice**
# - Every layer has a gradient from all three losses: the backbone does not know which one it is working for.
# - None of the lines falls to nothing on its way from layer 24 back to layer 0. On the contrary. The next section shows
#   that this is not luck, but design.
#
# The same on the picture: which cells have a gradient, from which loss, how large? Choose a term and a level (stride 8,
# 16 or 32: P3, P4, P5). Click a row of the table to see where a step of gradient descent moves the box of that cell.

# %%
GradientExplorer(images=batch.images, targets=batch.targets, model=model)

# %% [markdown]
# **What to notice**
# - `box` and `cls` have a gradient only at positives, the cells that are responsible for an object; `obj` has one at
#   every cell (the code below shows it too).
# - Raise the gain of one loss: its fraction of every layer's gradient grows, and those of the other two shrink.

# %%
for term in by_cell.terms:
    others = torch.cat([by_cell.cells(term, level)[~by_cell.positives(level)] for level in range(3)])
    print(f"{term}: {int((others != 0).sum())} of the {len(others)} cells without an object have a gradient")

# %% [markdown]
# ## 10. Vanishing gradients, and what a shortcut changes
#
# A chain of $n$ links multiplies $n$ slopes. If each is a little below 1, the product **vanishes**: the first layers
# learn nothing, however wrong the prediction is. Let us measure it. A gradient of length 1 arrives at the end of a
# chain of 12 Bottlenecks (24 convolutions). How much is left of it on the way back?
#
# - **plain**: $y = f(x)$
# - **residual**: $y = x + f(x)$. The slope is $1 + f'(x)$, and the 1 cannot vanish.
# - **C3**, the block YOLOv5 is made of: two branches read all channels and make half as many of them; one goes through all
#   12 Bottlenecks, the other past them. That is the idea of CSP (cross-stage partial networks). Shown with plain and with
#   residual Bottlenecks inside.

# %%
from yolo_lite.model.blocks import C3, SPPF, Bottleneck, Conv
from yolo_lite.model.yolo import seeded


def build(kind, depth=12):
    """The module, and its Bottlenecks in order; weights are the same on every call."""
    shortcut = kind in ("residual", "C3, residual")
    with seeded(0):
        if kind.startswith("C3"):
            block = C3(32, 32, depth, shortcut)
            return block, list(block.m)
        chain = nn.Sequential(*(Bottleneck(32, 32, shortcut, expansion=1.0) for _ in range(depth)))
        return chain, list(chain)

# %%
def arriving(kind, norm):
    """Length of the gradient at the input of the module, and at each Bottleneck's output, first to last."""
    module, bottlenecks = build(kind)
    if not norm:
        for part in module.modules():
            if isinstance(part, Conv):
                part.bn = nn.Identity()
    lengths = []
    for bottleneck in bottlenecks:
        bottleneck.register_full_backward_hook(lambda module, inward, outward: lengths.insert(0, outward[0].norm()))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 32, 16, 16, generator=generator).requires_grad_()
    y = module(x)
    end = torch.randn(y.shape, generator=generator)
    y.backward(end / end.norm())
    return torch.stack([x.grad.norm(), *lengths])

# %%
kinds = ("plain", "residual", "C3, plain", "C3, residual")
without = {kind: arriving(kind, norm=False) for kind in kinds}
passed_on = (without["plain"][0] / without["plain"][-1]) ** (1 / 12)
print("left at the input:", "; ".join(f"{kind} {approx(g[0], '.1g')}" for kind, g in without.items()))
print("plain: each Bottleneck passes on", approx(passed_on), "of it")
assert without["plain"][0] < 1e-9 < min(g[0] for kind, g in without.items() if kind != "plain") and passed_on < 0.1
labels = "input, then each Bottleneck"
show_series(without, title="gradient that arrives, no BatchNorm", x_label=labels, y_label="length", log=True)

# %% [markdown]
# **What to notice**
# - Plain: each Bottleneck passes on less than a tenth. After twelve of them next to nothing is left.
# - Residual: the line is flat.
# - C3 with plain Bottlenecks: *inside* it starves like the plain chain, but at its input the gradient is back. It came
#   by the other branch, past all twelve. What lies before a C3 learns, however deep the C3 is.
# - C3 with residual Bottlenecks has both.

# %%
with_norm = {kind: arriving(kind, norm=True) for kind in kinds}
growth = {kind: gradient[0] / gradient[-1] for kind, gradient in with_norm.items()}
print("at the input, times what it was at the end:", "; ".join(f"{k} {approx(g, '.1f')}" for k, g in growth.items()))
assert growth["plain"] > 1.3 * growth["residual"] and growth["plain"] > 2
show_series(with_norm, title="the same with BatchNorm", x_label=labels, y_label="length", log=True)

# %% [markdown]
# **What to notice**
# - With BatchNorm nothing vanishes, not even in the plain chain. It divides by the spread of the values on the way
#   forward, and so multiplies the gradient on the way back: a shrinking link is stretched again.
# - It can overdo it: the gradient now *grows* towards the input, most of all without shortcuts.
# - Most texts tell only the first story. YOLOv5 has BatchNorm and shortcuts and CSP; each keeps the others in bounds.
# - C3 does it with fewer weights as well:

# %%
for kind in kinds:
    print(f"{kind:13} {sum(w.numel() for w in build(kind)[0].parameters()):7} weights")

# %% [markdown]
# ## 11. A complete detector, small enough to read
#
# Now all of it in one piece: a backbone, a head, decoding, targets and loss. **Anchor-free**, to keep it short: there
# are no box shapes given in advance, each cell predicts its box directly. The data: eight drawn scenes of 96 pixels.

# %%
from yolo_lite.datasets.shapes import Shapes

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
# for. The extra axis of length 1 stands where YOLOv5 has its three anchors, so that the library's functions fit.

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
assert all(h[-1] < h[0] / 2 for h in history.values())
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
# - It knows these eight scenes by heart, nothing more. Learning what *all* scenes have in common is the next notebook.

# %% [markdown]
# ## 12. Nine mistakes, run and repaired
#
# All of these stand in tutorials that people copy from. A few raise an error. Most run, and even learn a little; the loss
# goes down and the boxes are wrong.

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
print("rows and columns that training speaks to:", sorted(set(matches.row.tolist() + matches.col.tolist())), "of 12")
of_scene = yl.xywh_to_xyxy(scenes.targets[scenes.targets[:, 0] == 4, 2:]) * 96
show_grid(scenes.images[4], [8, 32], of_scene)

# %% [markdown]
# The cells of the right picture, 0 to 2, are written into the *corner* of the real map. Nothing complains: all indices
# exist. Worse: two of the three losses fall as if all were well, because the network sees enough of the picture from the
# corner to learn something of eight scenes by heart. Only mAP50 shows that the boxes are wrong.

# %%
with seeded(0):
    declared = Detector(names, stride=32)
history = train(declared)
map50 = yl.evaluate(declared, [scenes]).map50
print("of each loss is left:", ", ".join(f"{name} {approx(h[-1] / h[0], '.0%')}" for name, h in history.items()))
print("mAP50:", approx(map50))
assert history["obj"][-1] < history["obj"][0] / 2 and history["cls"][-1] < history["cls"][0] / 2 and map50 < 0.5

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
    print("the library says: ...", str(problem).partition("]: ")[2])

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
print("shapes are the same:", moved.shape == scrambled.shape)
print("first cell, permuted:", moved[0, 0, 0].int().tolist())
print("first cell, viewed:  ", scrambled[0, 0, 0].int().tolist())
print("channels in the objectness slot, viewed:", scrambled[..., 4].unique().int().tolist())

# %%
from walkthrough.images import heat

out = detector.eval().head(detector.backbone(images)).detach()  # (8, 11, 12, 12)
permuted, mixed = out.permute(0, 2, 3, 1)[:, None], out.view(8, 1, 12, 12, 11)
maps = [heat(raw[4, 0, :, :, 4]) for raw in (permuted, mixed)]  # objectness of scene 4, low is blue, high is yellow
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
# YOLOv1 had two terms: one for cells with an object, one for cells without. Later versions have one BCE over all cells.
# Whoever adds the new one and keeps the old one too counts every empty cell twice.

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
# intersection. For boxes apart that is the gap between them. Then $d^2 / c^2$ becomes smaller when the *gap* becomes
# larger.

# %%
def wrong_diou(a, b):
    terms = yl.iou_terms(a, b, "xyxy")
    gap = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])  # should be max - min
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
# **Repair**: `yl.iou_terms`; or test with the boxes of section 5, which are apart, and where the result is known.

# %%
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
    print("error:", problem)
print("repaired:", tuple(SPPF(64, 64)(torch.zeros(2, 64, 12, 12)).shape), "joins", SPPF(64, 64).cv2.conv.in_channels)

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
# - Sizes are right, since they come from the anchors. Centres are twice as far from the corner as they should be: near
#   the top left corner almost right, further away wildly wrong.
# - So a single object in the corner passes such a test. Two objects at different places do not.
#
# **Repair**: measure the strides, one per map, with one dummy image.

# %%
with torch.no_grad():
    print("measured:", [256 // raw.shape[2] for raw in trained(torch.zeros(1, 3, 256, 256))])

# %% [markdown]
# ### Mistake 8: writing into a tensor that autograd needs
#
# It is tempting to decode in place: `y[..., :2] = 2 * y[..., :2] - 0.5`. But the slope of the sigmoid is
# $\sigma (1 - \sigma)$, so autograd kept $y$ itself (section 2). Overwritten, it would give a wrong slope. PyTorch
# notices, at `backward`:

# %%
t = torch.zeros(1, 4, requires_grad=True)
y = t.sigmoid()
y[..., :2] = 2 * y[..., :2] - 0.5
try:
    y.sum().backward()
except RuntimeError as problem:
    print("error:", str(problem).split(";")[0])

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
# number*. One such cell, and one step later every weight is `nan`.

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
# **Repair**: compute from the logit, $\max(z, 0) - t z + \ln(1 + e^{-|z|})$; the same function, and nothing in it can
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
# ## 13. Check: the whole gradient of YOLOv5's loss, by hand
#
# Everything above in one function. For each raw number of each level:
#
# - **objectness**, every cell: $\sigma - \text{target}$, times gain and balance, divided by the number of cells;
# - **box**, matched cells: minus the gradient of CIoU, times the slopes of the decoding, divided by the matches;
# - **class**, matched cells: $\sigma - \text{target}$, divided by matches and classes.
#
# Where two objects are assigned to the same cell and anchor, both gradients are added. No autograd is used in it.

# %%
from yolo_lite.coding import decode_matches


def gradient_by_hand(raw, level, balance, hyp):
    """d total / d raw of one level, the shape of raw (N, A, H, W, 5 + C)."""
    gradient, m, images = torch.zeros_like(raw), level.matches, len(raw)
    confidence = raw[..., 4].sigmoid()
    gradient[..., 4] = (confidence - level.objectness) * hyp.obj * balance / confidence.numel()

    matched = raw[m.image, m.anchor, m.row, m.col]  # (m, 5 + C)
    s = matched.sigmoid()
    slopes = torch.cat((2 * s[:, :2] * (1 - s[:, :2]), 8 * s[:, 2:4] ** 2 * (1 - s[:, 2:4]) * m.anchor_wh), 1)
    box = -yl.iou_gradient(decode_matches(matched, m.anchor_wh), m.box) * slopes * hyp.box / len(m.cls)
    target = functional.one_hot(m.cls, raw.shape[-1] - 5)
    cls = (s[:, 5:] - target) * hyp.cls / target.numel()

    of_matches = torch.cat((box, torch.zeros_like(box[:, :1]), cls), 1)  # (m, 5 + C)
    gradient.index_put_((m.image, m.anchor, m.row, m.col), of_matches, accumulate=True)
    return gradient * images

# %%
maps = [raw.detach().requires_grad_() for raw in model(batch.images / 255)]
autograd = torch.autograd.grad(criterion(maps, batch.targets).total, maps)
levels = criterion.levels(maps, batch.targets)
for raw, level, balance, expected in zip(maps, levels, criterion.balance, autograd):
    by_hand = gradient_by_hand(raw.detach(), level, balance, criterion.hyp).detach()
    words = f"grid {raw.shape[2]} x {raw.shape[3]}: {by_hand.numel():7} gradients, the largest"
    gap = (by_hand - expected).abs().max()
    print(words, approx(expected.abs().max(), ".1g"), "and the largest difference", approx(gap, ".1g"))
    assert torch.allclose(by_hand, expected, rtol=1e-3, atol=1e-7)

# %% [markdown]
# ## Your turn: write `my_ciou`
#
# The overlap that YOLOv5 trains with, $\text{IoU} - \rho^2 / c^2 - \alpha v$. This time `check` compares the *gradient*
# too. That finds what no comparison of values can: in the paper $\alpha$ is a constant, so no gradient may flow through
# it. One of the inputs is a box and itself: without a small number in the denominators $\alpha$ is 0 / 0 there.

# %%
import math
import torch
from walkthrough import check

def my_ciou(a, b):
    """CIoU of a[k] with b[k].

    a, b: (n, 4) x, y (centre), w, h in the same unit. Returns: (n,), with the paper's gradient.
    """
    ...

check(my_ciou)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_ciou(a, b):
#     a1, a2 = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2  # (n, 2) corners
#     b1, b2 = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
#     inside = (torch.minimum(a2, b2) - torch.maximum(a1, b1)).clamp(min=0).prod(1)
#     iou = inside / (a[:, 2:].prod(1) + b[:, 2:].prod(1) - inside + 1e-7)
#     rho2 = (a[:, :2] - b[:, :2]).square().sum(1)
#     c2 = (torch.maximum(a2, b2) - torch.minimum(a1, b1)).square().sum(1) + 1e-7
#     v = 4 / math.pi**2 * (torch.atan(a[:, 2] / a[:, 3]) - torch.atan(b[:, 2] / b[:, 3])) ** 2
#     alpha = (v / (1 - iou + v + 1e-7)).detach()
#     return iou - rho2 / c2 - alpha * v
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>A weight is 2.0, its gradient 3.0, the learning rate 0.1. What is it after one step?</summary>
#
# 2.0 - 0.1 x 3.0 = 1.7. The gradient is positive, so the loss would grow with the weight: the weight goes down.
# </details>
#
# <details><summary>A cell with an object predicts an objectness of 0.9, and the target is the overlap, 0.6. Which
# way does its logit move?</summary>
#
# The gradient of BCE is predicted minus target, 0.9 - 0.6 = 0.3. The step goes against it, so the logit falls. A cell
# can be too sure even where there is an object.
# </details>
#
# <details><summary>Why does the box loss need no gradient from the cells that have no object?</summary>
#
# They have nothing to be compared with, so no overlap is computed. Their only target is "no object".
# </details>
#
# <details><summary>Your detector's boxes are all in the upper left quarter of where they should be. Which mistake do
# you suspect?</summary>
#
# Strides that are too small by a factor of two, mistake 7 in the other direction. Measure them with a dummy image.
# </details>
#
# <details><summary>Loss is nan from one step to the next. Where do you look?</summary>
#
# For a logarithm or a division that can meet a zero (mistake 9), and at the learning rate (section 1). In the library,
# `yolo_lite.running.diagnose.first_non_finite` names the layer in which it began.
# </details>
#
# Next: [08_training_loop](08_training_loop.ipynb), where this single step is repeated, with warm-up, schedule and an
# average of the weights that follows.
