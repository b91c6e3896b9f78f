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
# until its gradient is nothing but areas and edges, follows it through the decoding and through all 25 layers, and ends
# with the gradient of YOLOv5's whole loss, written by hand. Its second half,
# [07b_nine_mistakes](07b_nine_mistakes.ipynb), builds a small detector and breaks it on purpose.
#
# Every gradient is computed twice: by hand, and by PyTorch's **autograd**. They must agree.
#
# A number behind ≈ may end in other digits on your computer: processors do not all add up in the same order. The
# `assert` below such a number stops the notebook where it is not what the text says.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

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

import torch
from torch import nn
from torch.nn import functional

import yolo_lite as yl
from walkthrough import GradientExplorer, IouPlayground, approx, row
from walkthrough import show_bars, show_image, show_series, show_table

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
print("what autograd remembered, from the loss backwards:")
print(", ".join(names))

# %% [markdown]
# **What to notice**
# - Autograd writes down each operation while the network runs forward. `backward` walks that list from its end.
# - It needs the values from the way forward ($p$, $x$) to compute the slopes. That is why training needs so much more
#   memory than predicting, and why overwriting a value can break it
#   ([07b](07b_nine_mistakes.ipynb), mistake 8).
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
# BCE is **binary cross-entropy**. Both are lowest where $\sigma(z) = t$: squared errors are 0
# there, and BCE is, too, for a target of 0 or 1. They differ in their gradients. By the chain rule:
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
# ## 4. Boxes: why not just subtract?
#
# A box is four numbers $x, y, w, h$. The plain way to compare two boxes: subtract each number, and make one number of
# the four differences $d$. There are three usual ways.
#
# | loss | of a difference $d$ | its gradient |
# |---|---|---|
# | **L1**, absolute error | $\lvert d \rvert$ | $+1$ or $-1$ |
# | **L2**, squared error | $d^2$ | $2d$ |
# | **smooth L1** (Huber) | $d^2 / 2$ where $\lvert d \rvert < 1$, else $\lvert d \rvert - 1/2$ | $d$, but at most 1 and at least -1 |

# %%
plain = {"L1": functional.l1_loss, "smooth L1": functional.smooth_l1_loss, "L2": functional.mse_loss}
d = torch.linspace(-3, 3, 121, requires_grad=True)
zero = torch.zeros_like(d)
curves = {name: loss(d, zero, reduction="none").detach() for name, loss in plain.items()}
slopes = {name: torch.autograd.grad(loss(d, zero, reduction="sum"), d)[0] for name, loss in plain.items()}
by_hand = {"L1": d.sign(), "smooth L1": d.clamp(-1, 1), "L2": 2 * d}
for name, slope in slopes.items():
    gap = (slope - by_hand[name]).abs().max()
    print(f"{name}: largest difference between autograd and by hand", approx(gap, ".1g"))
    assert gap < 1e-6
axes = {"x": d.detach(), "x_label": "difference d"}
row(show_series(curves, title="loss", **axes), show_series(slopes, title="gradient", **axes))

# %% [markdown]
# **What to notice**
# - L2: the further away, the larger the gradient. One wild box outweighs all the others.
# - L1: always the same size, also close to the goal. There the box jumps back and forth, unless the learning rate falls.
# - Smooth L1 has the better end of each.
#
# None of them knows how large the box is. Take a small box, 20 pixels wide and high, and a large one, 200. First both
# are 8 pixels too far to the right; then both by a quarter of their own side.

# %%
def losses_of(side, shift):
    """The plain losses (mean over x, y, w, h, in pixels) and two overlap losses of a square that is off in x."""
    truth = torch.tensor([[100.0, 100, side, side]])
    pred = truth + torch.tensor([[shift, 0.0, 0.0, 0.0]])
    overlaps = {f"1 - {name}": 1 - yl.bbox_iou(pred, truth, name.lower()).item() for name in ("IoU", "CIoU")}
    return {name: loss(pred, truth).item() for name, loss in plain.items()} | overlaps


cases = {"8 px off": (8.0, 8.0), "a quarter of the side off": (5.0, 50.0)}
rows = []
for name, shifts in cases.items():
    small, large = (losses_of(side, shift) for side, shift in zip((20.0, 200.0), shifts))
    rows += [[f"{name}, side 20", *small.values()], [f"{name}, side 200", *large.values()]]
    print(f"{name}, large / small:", ", ".join(f"{kind} {large[kind] / small[kind]:.3g}" for kind in small))
show_table(["error", *small], rows)

# %% [markdown]
# **What to notice**
# - 8 pixels off: to the plain losses that is the same for both boxes. But it costs the small box more than half of its
#   overlap, and the large one less than a tenth. The overlaps see it.
# - A quarter off: the same mistake to the eye, and to the overlaps. L1 counts it ten times for the large box, L2 a hundred
#   times. Trained with it, a network fits large boxes and neglects small ones.
# - The plain losses also treat the four numbers as strangers. That they belong to one box, they do not know.
#
# The field has lived with these losses for years, each time with a remedy against the size. **YOLOv1** took L2 of the
# *square roots* of width and height. **Fast R-CNN** and **SSD** took smooth L1, of differences divided by the size of the
# proposal or **prior** (the box given in advance, also **default box**, in YOLO **anchor**), and of logarithms of sizes. **DETR** takes L1 of normalised boxes and adds
# GIoU, because L1 alone favours large boxes. An overlap needs no remedy: it is a fraction.

# %% [markdown]
# ## 5. A gradient made of areas: IoU
#
# So for boxes we want a loss that measures overlap: **intersection over union**. The predicted box is (10, 10, 50, 50), the
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
# - The gradient is per *pixel*. For a small box one pixel is a lot; section 9 comes back to that.

# %% [markdown]
# ## 6. Where IoU is silent
#
# What if the boxes do not touch at all, (0, 0, 1, 1) and (2, 2, 3, 3)? The intersection is 0, and it stays 0
# whichever edge moves a little. So the gradient is 0 too: the loss is as bad as it gets, and gives no direction.
# Three repairs add a term that still depends on the distance:
#
# $$ \text{GIoU} = \text{IoU} - \frac{C - U}{C} \qquad
# \text{DIoU} = \text{IoU} - \frac{\rho^2}{c^2} \qquad \text{CIoU} = \text{DIoU} - \alpha v $$
#
# The **enclosing box** is the smallest one around both, $C$ its area and $c$ its diagonal; $U$ is the union, $\rho$ the
# distance of the centres. Here $C = 9$, $U = 2$, $\rho^2 = 8$ and $c^2 = 18$: the GIoU loss is $1 + 7/9$ and the DIoU loss
# $1 + 8/18$. (The next section explains $\alpha$ and $v$; both boxes are squares here, so $v = 0$.)

# %%
far, other = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 2, 3, 3]])
print(f"by hand: 1 - GIoU = {1 + 7 / 9:.6f}, 1 - DIoU = {1 + 8 / 18:.6f}")
rows = []
for kind in ("iou", "giou", "diou", "ciou"):
    loss = 1 - yl.bbox_iou(far, other, kind, "xyxy").item()
    rows.append([kind, f"{loss:.6f}", *(-yl.iou_gradient(far, other, kind, "xyxy")[0] + 0.0)])
show_table(["loss", "value", "d left", "d top", "d right", "d bottom"], rows)

# %% [markdown]
# **What to notice**
# - IoU: four zeros. Nothing would ever move.
# - The other three have a negative gradient at the right and the bottom edge: the loss falls when those move towards the
#   object.
# - The numbers at the left and the top edge are positive: the loss also falls when *these* move away from the object.
#   So all three make the box larger.
#
# A gradient is only a direction. Does the box arrive? Slide it 300 small steps down each loss, and watch the overlap.

# %%
def descend(overlap, steps=300):
    """The box after each step that it takes to raise the given overlap, (steps, 4)."""
    box, goal = torch.tensor([[0.0, 0, 3, 2]], requires_grad=True), torch.tensor([[6.0, 6, 8, 9]])
    optimiser, seen = torch.optim.Adam([box], lr=0.05), []
    for _ in range(steps):
        optimiser.zero_grad()
        (1 - overlap(box, goal)).sum().backward()
        optimiser.step()
        seen.append(box.detach().clone())
    return torch.cat(seen)


kinds, goal = ("iou", "giou", "diou", "ciou"), torch.tensor([[6.0, 6, 8, 9]])
slides = {kind: descend(lambda a, b, kind=kind: yl.bbox_iou(a, b, kind, "xyxy")) for kind in kinds}
overlaps = {kind: yl.bbox_iou(boxes, goal.expand_as(boxes), "iou", "xyxy") for kind, boxes in slides.items()}
print("overlap in the end:", ", ".join(f"{kind} {approx(seen[-1])}" for kind, seen in overlaps.items()))
assert overlaps["iou"][-1] == 0 and overlaps["giou"][-1] < 0.5
assert min(overlaps["diou"][-1], overlaps["ciou"][-1]) > 0.9
show_series(overlaps, title="from (0, 0, 3, 2) to (6, 6, 8, 9)", x_label="step", y_label="IoU with the object")

# %%
sizes = {kind: boxes[:, 2:] - boxes[:, :2] for kind, boxes in slides.items()}  # (300, 2) width, height
centres = {kind: boxes.unflatten(1, (2, 2)).mean(1) for kind, boxes in slides.items()}  # (300, 2)
for kind in kinds[1:]:
    twice, moved = sizes[kind][30, 0] / 3, (centres[kind][30] - centres[kind][0]).norm()
    widest, last = sizes[kind][:, 0].max(), sizes[kind][-1, 1]
    print(f"{kind}: after 30 steps", approx(twice, ".1f"), "times as wide, centre moved by", approx(moved, ".2f"))
    print("      at its widest", approx(widest, ".0f"), "and in the end", approx(last, ".1f"), "high (the object: 3)")
    assert twice > 1.8 and moved < 0.2 and widest > 10 and (last > 9) == (kind == "giou")

# %% [markdown]
# **What to notice**
# - IoU never leaves 0. That is the silent case.
# - All three others *stretch* the box first: after 30 steps it is twice as wide, and its centre has hardly moved. (Adam
#   makes the steps of all edges nearly equally long, whatever their gradients, so two edges go out as fast as the other two come
#   nearer.)
# - Then they part. The penalty of GIoU is satisfied when the box fills the enclosing box: after 300 steps it is still three
#   times as high as the object. The penalty of DIoU and CIoU is about the centres, so the box comes along and arrives.
#   YOLOv5 uses CIoU.
# - One start and one optimiser prove little. [06_loss](06_loss.ipynb) lets many starts decide.

# %% [markdown]
# ## 7. CIoU by hand, with its gradient
#
# CIoU adds one more wish: the same **aspect ratio**, width over height.
#
# $$ v = \frac{4}{\pi^2} \left( \arctan \frac{w_o}{h_o} - \arctan \frac{w}{h} \right)^2
# \qquad \alpha = \frac{v}{v - \text{IoU} + 1} $$
#
# ($w_o, h_o$ belong to the object.) The angle is used because a plain ratio explodes for thin boxes. The factor $\alpha$
# is not the one of the focal loss, which the papers call $\alpha$, too ([06](06_loss.ipynb), section 13). Let us do
# one example with nothing but arithmetic: the prediction (50, 80, 150, 140) and the object (90, 70, 160, 160).

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
# Drag the boxes. The arrows show where gradient descent on the chosen loss moves the prediction. Unfold **the way down**
# for charts of twenty steps under each loss, and **beside L1, smooth L1 and L2** for the losses of section 4.

# %%
IouPlayground(boxes=[(50, 80, 150, 140), (90, 70, 160, 160)], rate=300)

# %% [markdown]
# **What to notice**
# - On the way down from *this* start, GIoU reaches the highest IoU of the four. From others it does not:
#   [06_loss](06_loss.ipynb) counts.
# - Beside L1 and L2: with all twice as large L1 doubles, and L2 is four times as large. The overlaps stay.
# - Press the story **apart**, which chooses "iou" for boxes that do not touch: there are no arrows. Then choose one of the
#   other three losses, and they are back.
# - Press the story **inside**, which chooses "giou" for a prediction inside the object: the arrows only make it larger, and
#   leave its centre where it is. Choose "diou" or "ciou": they move the centres together as well. Here are the numbers, for
#   a box inside the object of the example above:

# %%
inside = torch.tensor([[95.0, 80, 115, 100]])
pair = yl.xyxy_to_xywh(inside), yl.xyxy_to_xywh(truth)
slopes = {kind: -yl.iou_gradient(*pair, kind)[0, :2] + 0.0 for kind in kinds}
show_table(["loss", "d loss / dx", "d loss / dy"], [[kind, *(f"{s:.5f}" for s in slope)] for kind, slope in slopes.items()])

# %% [markdown]
# ## 8. Through the decoding, back to the raw numbers
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
# ## 9. Small objects
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
# **What to notice**
# - The same two pixels cost the box of 8 pixels 40 % of its overlap, and the box of 256 less than 2 %.
#
# Now let each box be off by a *quarter of its own side*, and ask how large the gradient of CIoU is: per pixel of x,
# and, times the slope $dx/dt = \text{stride} / 2$ at $t = 0$, per unit of the raw number. Once with three levels, each
# size on a level that suits it, and once with stride 32 for all. The last column is about the width instead.

# %%
shifted = objects + torch.stack((sides / 4, *torch.zeros(3, 6)), 1)
per_pixel = -yl.iou_gradient(shifted, objects)[:, 0]  # (6,) of the box loss, in x
wider = objects * torch.tensor([1, 1, 1.25, 1])
# dw/dt = anchor at t = 0, the anchor as large as the object
per_t_w = -yl.iou_gradient(wider, objects)[:, 2] * sides
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
#   the next. One cell of stride 8 weighs as much as one of stride 16, and one of stride 32 more than half as
#   much again (below).
# - So it is not the loss. It is the first picture: two pixels of error cost a box of 8 pixels 40 % of its overlap. And
#   since that overlap is what objectness is trained towards, small boxes also learn a low objectness.

# %%
cells = [raw[..., 4].numel() for raw in maps]
weights = [balance / number for balance, number in zip(criterion.balance.tolist(), cells)]
relative = [round(weight / weights[1], 2) for weight in weights]
print("weight of one cell's objectness, in units of that on stride 16:", relative)

# %% [markdown]
# ## 10. Down through all 25 layers
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
# The same on a picture, for its own objects alone: which cells have a gradient, from which loss, how large? Choose a term and a level (stride 8,
# 16 or 32, that is **P3**, **P4** or **P5**: the map after 3, 4 or 5 halvings). Unfold **cells with the largest
# gradient** and click a row, to see where a step of gradient descent moves the box of that cell.

# %%
GradientExplorer(images=batch.images, targets=batch.targets, model=model)

# %% [markdown]
# **What to notice**
# - `box` and `cls` have a gradient only at **positives**, the predictions (a cell and an anchor) that are matched to an
#   object; `obj` has one at every prediction, so at the **negatives** too (the code below shows it).
# - Unfold **layer by layer**, and among the settings raise the gain of one loss: its line rises as a whole, in every
#   layer, and the other two stay where they are.

# %%
for term in by_cell.terms:
    others = torch.cat([by_cell.cells(term, level)[~by_cell.positives(level)] for level in range(3)])
    print(f"{term}: {int((others != 0).sum())} of the {len(others)} predictions without an object have a gradient")

# %% [markdown]
# ## 11. Vanishing gradients, and what a shortcut changes
#
# A chain of $n$ links multiplies $n$ slopes. If each is a little below 1, the product **vanishes**: the first layers
# learn nothing, however wrong the prediction is. Let us measure it. A gradient of length 1 arrives at the end of a
# chain of 12 Bottlenecks (24 convolutions). How much is left of it on the way back?
#
# - **plain**: $y = f(x)$
# - **residual**: $y = x + f(x)$. The slope is $1 + f'(x)$, and the 1 cannot vanish.
# - **C3**, the block YOLOv5 is made of: two branches read all channels and make half as many of them; one goes through all
#   12 Bottlenecks, the other past them. That is the idea of **CSP**, cross-stage partial networks. Shown with plain and with
#   residual Bottlenecks inside.

# %%
from yolo_lite.model.blocks import C3, Bottleneck, Conv
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
def arriving(kind, norm, kaiming=False):
    """Length of the gradient at the input of the module, and at each Bottleneck's output, first to last."""
    module, bottlenecks = build(kind)
    with seeded(0):
        for part in [part for part in module.modules() if isinstance(part, Conv)]:
            part.bn = part.bn if norm else nn.Identity()
            if kaiming:
                nn.init.kaiming_normal_(part.conv.weight, nonlinearity="relu")
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
# - Plain: each Bottleneck passes on less than a tenth. After twelve of them next to nothing is left: the gradient has
#   **vanished**.
# - Residual: the line is flat.
# - C3 with plain Bottlenecks: *inside* it starves like the plain chain, but at its input the gradient is back. It came
#   by the other branch, past all twelve. What lies before a C3 learns, however deep the C3 is.
# - C3 with residual Bottlenecks has both.
#
# "Less than a tenth" is no law of nature. It comes from how large the weights are at the start. PyTorch makes those of a
# convolution rather small; the rule of He et al., **Kaiming initialisation**, chooses them so that the size of the values
# is kept behind a ReLU. YOLOv5 takes PyTorch's default. The same plain chain, started both ways:

# %%
kaiming = arriving("plain", norm=False, kaiming=True)
kept = {"PyTorch's default": passed_on, "Kaiming": (kaiming[0] / kaiming[-1]) ** (1 / 12)}
print("each plain Bottleneck passes on", "; ".join(f"{name} {approx(factor)}" for name, factor in kept.items()))
print("of which is left after twelve, with Kaiming's start:", approx(kaiming[0], ".0e"))
assert 0.3 < kept["Kaiming"] < 0.8 and kaiming[0] < 0.01

# %% [markdown]
# A better start slows the vanishing down, and does not end it. The next remedy does:

# %%
with_norm = {kind: arriving(kind, norm=True) for kind in kinds}
growth = {kind: gradient[0] / gradient[-1] for kind, gradient in with_norm.items()}
print("at the input, times what it was at the end:")
print("; ".join(f"{kind} {approx(factor, '.1f')}" for kind, factor in growth.items()))
assert min(growth.values()) > 2 and growth["plain"] > 2 * growth["residual"]
assert growth["C3, plain"] > 2 * growth["C3, residual"]
show_series(with_norm, title="the same with BatchNorm", x_label=labels, y_label="length", log=True)

# %% [markdown]
# **What to notice**
# - With BatchNorm nothing vanishes, not even in the plain chain. It divides by the spread of the values on the way
#   forward, and so multiplies the gradient on the way back: a shrinking link is stretched again.
# - It can overdo it: the gradient now *grows* towards the input in all four, more than twice as much without shortcuts.
# - Most texts tell only the first story. YOLOv5 has BatchNorm and shortcuts and CSP; each keeps the others in bounds.
# - C3 does it with fewer weights as well:

# %%
counts = [[kind, sum(w.numel() for w in build(kind)[0].parameters())] for kind in kinds]
show_table(["twelve Bottlenecks", "weights"], counts)

# %% [markdown]
# ## 12. Check: the whole gradient of YOLOv5's loss, by hand
#
# Everything above in one function. For each raw number of each level:
#
# - **objectness**, every cell: $\sigma - \text{target}$, times gain and balance, divided by the number of cells;
# - **box**, matched cells: minus the gradient of CIoU, times the slopes of the decoding, times its gain, divided by the
#   matches;
# - **class**, matched cells: $\sigma - \text{target}$, times its gain, divided by matches and classes;
# - all three times the number of images.
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
    print(words, approx(expected.abs().max(), ".1g"), "- largest difference", approx(gap, ".1g"))
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

    a, b: (n, 4) x, y (centre), w, h in the same unit.
    Returns: (n,), with the paper's gradient.
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
# <details><summary>Two boxes are each 10 pixels too wide, one of an object of 20 pixels, one of 200. Which does L2 punish
# more, and which does IoU?</summary>
#
# L2 does not distinguish them: $10^2$ both times. IoU does: 20 / 30 against 200 / 210, so a loss of 0.33 against 0.05.
# </details>
#
# <details><summary>Why does the gradient not vanish in a plain chain that has BatchNorm?</summary>
#
# BatchNorm divides by the spread of the values. A small weight makes a small spread, so the division is by a small number,
# on the way back too: there it makes the gradient larger again.
# </details>
#
# <details><summary>Which of the four overlaps still has a gradient when one box lies inside the other and is moved a
# little?</summary>
#
# DIoU and CIoU, as their penalty is about the centres. The intersection is the inner box and the enclosing box the outer
# one, wherever the inner one lies, so that IoU and GIoU do not change.
# </details>

# %% [markdown]
# **On to [07b_nine_mistakes](07b_nine_mistakes.ipynb)**: a whole small detector, and nine ways to break it without noticing.
# Then [08_training_loop](08_training_loop.ipynb), where this single step is repeated, with warm-up, schedule and an
# average of the weights that follows.
