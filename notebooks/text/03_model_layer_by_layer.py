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
# # 3. The model, layer by layer
#
# A YOLO is not written in Python. It is written in a table of 25 rows, and Python only builds what the table says. Here
# you read that table, look into each kind of block that it names, and build the whole network with your own hands. At
# the end your network and the library's must give the same numbers, to the last bit.
#
# The weights are **random** unless the text says otherwise: shapes, sums and proofs do not need a trained network. For
# pictures of what layers see there is a small trained one, `shapes-n`.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
import copy
import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

import yolo_lite as yl
from walkthrough import LayerExplorer, approx, column, record_layers, row, show_bars, show_block, show_convolution
from walkthrough import show_feature_maps, show_image, show_layers, show_series, show_table
from yolo_lite.model.blocks import C3, SPP, SPPF, Bottleneck, Concat, Conv, Focus, focus_to_stem
from yolo_lite.model.head import Detect
from yolo_lite.model.block_variants import BottleneckCSP
from yolo_lite.model.spec import SPECS, read_spec

# %%
def count(module):
    """How many numbers a module may learn."""
    return sum(parameter.numel() for parameter in module.parameters())

def difference(a, b):
    """The largest difference between two tensors of one shape."""
    return (a - b).abs().max().item()

def unequal(a, b):
    """In how many numbers two tensors of one shape differ, as words."""
    return f"{(a != b).sum().item():,} of {a.numel():,} numbers differ"

torch.manual_seed(0)
image = yl.tour_batch().images[2:3].float() / 255  # (1, 3, 640, 640), one of the batch
replace(show_image(image[0]), words="a mosaic of photographs: a cat, a horse, two cups on tables, and gray around them")

# %% [markdown]
# ## 1. The recipe
#
# Why a table, and not a class with 25 lines in it? Because one table serves five sizes, and because changing the
# network then needs no programming: you edit a row. This is the file, without its comments.

# %%
lines = [line.split("#")[0].rstrip() for line in (SPECS / "yolov5.yaml").read_text().splitlines()]
print("\n".join(line for line in lines if line))

# %% [markdown]
# Each row is `[from, number, module, args]`:
#
# - **from**: whose output this layer reads. `-1` is the layer before. A list means several: `[-1, 6]` is the layer
#   before and layer 6. Layers are counted from 0, through `backbone` and `head` together.
# - **number**: how often the block is repeated (before the depth multiplier, see below).
# - **module**: the kind of block.
# - **args**: its arguments. For Conv, C3 and SPPF the first is the number of output channels (before the width
#   multiplier); for a `Conv`, kernel size, stride and padding follow.
#
# **What to notice**
# - There are only six kinds of layers: Conv, C3, SPPF, Upsample, Concat, and Detect at the end.
# - The file calls everything behind the **backbone** `head`. Papers call its rows up to the last one the **neck**, and
#   keep **head** for the last. So do we.
# - Section 17 edits this table: another activation, one more output, a layer of your own.

# %% [markdown]
# ## 2. Two multipliers
#
# A network for a phone and one for a data centre should not be two designs. So the same rows are scaled by two numbers:
#
# - **depth** scales how often the inner block of a C3 repeats: $\max(\mathrm{round}(n \cdot depth), 1)$;
# - **width** scales the channels, up to the next multiple of 8: $8 \lceil c \cdot width / 8 \rceil$.
#
# For the "n" (nano) size, depth is 0.33 and width 0.25.

# %%
def repeats(number, depth):
    return max(round(number * depth), 1) if number > 1 else 1

def channels_of(channels, width):
    return math.ceil(channels * width / 8) * 8

sizes = {"n": (0.33, 0.25), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25)}
table = []
for name, (depth, width) in sizes.items():
    channels = [channels_of(c, width) for c in (64, 128, 256, 512, 1024)]
    table.append([f"yolov5{name}", depth, width, [repeats(n, depth) for n in (3, 6, 9)], channels])
show_table(["model", "depth", "width", "3, 6, 9 repeats become", "64, 128, 256, 512, 1024 channels become"], table)

# %% [markdown]
# The library's `read_rows` does the same, and writes out what each `from` means. Do we agree on all rows?

# %%
from yolo_lite.model.rows import read_rows

spec, _ = read_spec("yolov5n")
rows = read_rows(spec)
for given, line in zip(spec["backbone"] + spec["head"], rows):
    assert line.number == repeats(given[1], 0.33)
    if line.kind in ("Conv", "C3", "SPPF"):
        assert line.arguments[0] == channels_of(given[3][0], 0.25)
print(len(rows), "rows, all as by hand; layer 12 reads", rows[12].inputs, "and layer 24", rows[24].inputs)

# %%
small, larger = yl.create_model("yolov5n"), yl.create_model("yolov5s")
print(f"n: {count(small):,} parameters, s: {count(larger):,}: {count(larger) / count(small):.2f} times as many")

# %% [markdown]
# **What to notice**
# - "n" and "s" differ in width only. Twice the channels means nearly four times the weights, because a convolution has
#   weights for each *pair* of an input and an output channel.
# - Most layers read the layer before and nothing else. Only five reach further back:

# %%
print([line.index for line in rows if line.inputs != (line.index - 1,)])

# %% [markdown]
# ## 3. The brick: convolution, BatchNorm, activation
#
# Everything below is made of one brick, `Conv`. Three things happen in it, one after the other:
#
# 1. a **convolution**: each output number is a weighted sum over a small window of the input, all channels of it;
# 2. **BatchNorm**: each channel is shifted and scaled so that its numbers have mean 0 and a spread near 1 over the batch (a little
#    less where there is little spread: 0.001 is added to its square, so that nothing is divided by 0), then
#    scaled and shifted again by two numbers that are learnt. So the next layer always gets numbers of the same order;
# 3. an **activation**: a curve that each number goes through by itself.
#
# How large is the output? With kernel $k$, stride $s$ and padding $p$, a side of $h$ becomes
# $\lfloor (h + 2p - k) / s \rfloor + 1$.

# %%
stem = Conv(3, 16, 6, 2, 2)  # the first row: 64 x 0.25 channels, kernel 6, stride 2, padding 2
with torch.no_grad():
    output = stem(image)
print("side by the formula:", (640 + 2 * 2 - 6) // 2 + 1, "and by the layer:", tuple(output.shape))

# %% [markdown]
# Now the three steps by hand. In training BatchNorm uses the batch's own mean and variance, `eps` keeps it from
# dividing by zero.

# %%
with torch.no_grad():
    raw = F.conv2d(image, stem.conv.weight, stride=2, padding=2)  # (1, 16, 320, 320)
    mean, var = raw.mean((0, 2, 3), keepdim=True), raw.var((0, 2, 3), correction=0, keepdim=True)
    normed = (raw - mean) / (var + stem.bn.eps).sqrt()  # times 1, plus 0: nothing is learnt yet
    by_hand = normed * torch.sigmoid(normed)
    unlike, moved = difference(by_hand, output), difference(stem.bn(raw + 5), stem.bn(raw))
    before, after = raw.std((0, 2, 3)), normed.std((0, 2, 3))  # (16,) each: spreads
    farthest = normed.mean((0, 2, 3)).abs().max()
print("by hand and the brick, largest difference:", approx(unlike, ".0e"))
print("what a bias of 5 in the convolution changes, at most:", approx(moved, ".0e"))
print(f"spread of the channels: {approx(before.min(), '.3f')} to {approx(before.max(), '.3f')} before,",
      f"{approx(after.min(), '.3f')} to {approx(after.max(), '.3f')} after")  # fmt: skip
print("mean of the channels after, farthest from 0:", approx(farthest, ".0e"))
assert max(unlike, moved, farthest) < 1e-4 and after.min() / after.max() > 3 * before.min() / before.max()

# %% [markdown]
# **What to notice**
# - The convolution has no bias. BatchNorm subtracts the mean, so a bias would be gone again.
#
# One thing is odd: the output for a picture now depends on the others in its batch. In training that does no harm. At
# prediction it would, so in evaluation BatchNorm uses averages that it collected during training:

# %%
pair = torch.cat((image, torch.zeros_like(image)))  # together with a black one
with torch.no_grad():
    training = difference(stem(pair)[:1], stem(image))
    stem.eval()
    evaluation = difference(stem(pair)[:1], stem(image))
print("training, what other company changes, at most:  ", approx(training))
print("evaluation, what other company changes, at most:", approx(evaluation, ".0e"))
assert training > 0.1 and evaluation < 1e-5

# %% [markdown]
# ## 4. SiLU, the curve in every brick
#
# Why an activation at all? Because without one, layers do not add up to more than one layer: two weighted sums in a row
# are again a weighted sum. Here two 1x1 convolutions are replaced by a single one, and nothing is lost.

# %%
x = torch.randn(1, 8, 5, 5)
first, second = torch.randn(16, 8, 1, 1), torch.randn(4, 16, 1, 1)
product = (second[:, :, 0, 0] @ first[:, :, 0, 0])[:, :, None, None]  # (4, 8, 1, 1)
both, single = F.conv2d(F.conv2d(x, first), second), F.conv2d(x, product)
print(f"largest output {approx(both.abs().max(), '.0f')}, largest difference {approx(difference(both, single), '.0e')}")
assert difference(both, single) < 1e-4

# %% [markdown]
# ReLU cuts negative numbers off: $\max(x, 0)$. YOLOv5 uses **SiLU** (also called Swish):
#
# $$\mathrm{SiLU}(x) = x \cdot \sigma(x), \qquad \sigma(x) = \frac{1}{1 + e^{-x}}, \qquad
# \mathrm{SiLU}'(x) = \sigma(x) \, (1 + x \, (1 - \sigma(x)))$$

# %%
x = torch.linspace(-6, 6, 241, requires_grad=True)
slopes = {name: torch.autograd.grad(curve(x).sum(), x)[0] for name, curve in (("SiLU", F.silu), ("ReLU", F.relu))}
values = x.detach()
sigma = values.sigmoid()
by_hand = sigma * (1 + values * (1 - sigma))
unlike = difference(by_hand, slopes["SiLU"])
print("slope by the formula and autograd's, largest difference:", approx(unlike, ".0e"))
assert unlike < 1e-5
row(show_series({"SiLU": F.silu(values), "ReLU": F.relu(values)}, values, "the curves", "x", "y"),
    show_series(slopes, values, "their slopes", "x", "dy / dx"))  # fmt: skip

# %%
fine = torch.linspace(-3, 0, 30_001, dtype=torch.float64)
lowest = F.silu(fine).argmin()
print(f"lowest point: x = {fine[lowest]:.4f}, y = {F.silu(fine[lowest]):.4f}")
minus_one = torch.tensor(-1.0, requires_grad=True)
F.silu(minus_one).backward()
print(f"slope at -1: SiLU {minus_one.grad:.4f}, ReLU 0")

# %% [markdown]
# **What to notice**
# - Left of 0, ReLU is flat: a number there sends no gradient back, and a channel that is negative everywhere stops
#   learning. SiLU still has a slope there, except at its lowest point (though far out it is faint).
# - SiLU has no corner, and it dips below 0 before it comes back to it. Far from 0 the two curves are nearly the same.

# %% [markdown]
# ## 5. A 1x1 convolution is a dense layer, once per pixel
#
# A 1x1 window sees one pixel only. What is left is a weighted sum over the *channels* of that pixel: the dense layer
# (`nn.Linear`) of every first course, with the same weights at each place.

# %%
conv = nn.Conv2d(64, 32, 1, bias=False)
dense = nn.Linear(64, 32, bias=False)
dense.weight.data = conv.weight.data[:, :, 0, 0]  # (32, 64, 1, 1) -> (32, 64)
x = torch.randn(2, 64, 20, 20)
pixels = x.permute(0, 2, 3, 1)  # (2, 20, 20, 64): the channels of a pixel side by side
unlike = difference(conv(x), dense(pixels).permute(0, 3, 1, 2))
print("1x1 convolution and dense layer, largest difference:", approx(unlike, ".0e"))
assert unlike < 1e-5

# %% [markdown]
# What does a larger window add, and what do the channels do? Here are two convolutions from 3 channels (red, green,
# blue) to 4, at one place of a small picture: the cat's eye, in cells of 8 x 8 pixels.

# %%
eye = F.avg_pool2d(image, 8)[0, :, 24:36, 44:56]  # (3, 12, 12)
weights = {size: nn.Conv2d(3, 4, size, padding=size // 2, bias=False).weight for size in (3, 1)}
at = eye[:, 3:6, 5:8]  # (3, 3, 3): the window around row 4, column 6, in each of the three channels
by_hand = {3: (weights[3][0] * at).sum(), 1: (weights[1][0, :, 0, 0] * at[:, 1, 1]).sum()}
for size, weight in weights.items():
    made = F.conv2d(eye[None], weight, padding=size // 2)[0, 0, 4, 6]  # channel 0, row 4, column 6
    unlike = (made - by_hand[size]).abs()
    print(f"{size}x{size}, channel 0: by hand and by the layer, difference {approx(unlike, '.0e')}")
    assert unlike < 1e-5
row(*(show_convolution(weight, eye, (4, 6)) for weight in weights.values()))

# %% [markdown]
# **What to notice**
# - The **window** is small in space: 3 x 3 cells or a single one. In channels there is no window: every output channel
#   reads *every* input channel, all to all, as in a dense layer.
# - So one number of the 3x3 is a sum of $3 \cdot 9 = 27$ products, of the 1x1 of 3.
# - The same weights are used at every place of the map; only the window moves on.
#
# So a 1x1 cannot find an edge, because it sees no neighbours. A proof: shuffle the pixels, and the outputs are shuffled in
# the same way. With a 3x3 window that is not so. Why is it used so much, then? It mixes channels and changes their
# number, for a ninth of the weights: a $k \times k$ convolution has $k \cdot k \cdot c_{in} \cdot c_{out}$ of them.

# %%
order = torch.randperm(400)
shuffled = x.flatten(2)[..., order].view_as(x)
wide = nn.Conv2d(64, 32, 3, padding=1, bias=False)
unlike = {}
for name, layer in (("1x1", conv), ("3x3", wide)):
    unlike[name] = difference(layer(x).flatten(2)[..., order].view(2, 32, 20, 20), layer(shuffled))
    print(f"{name}: {count(layer):6,} weights;",
          f"shuffling first or afterwards differs by {approx(unlike[name], '.1g')}")  # fmt: skip
assert unlike["1x1"] < 1e-5 and unlike["3x3"] > 0.5

# %% [markdown]
# ## 6. The stem: a 6x6 window, or Focus
#
# A picture of 640 x 640 has 409,600 pixels. A single 3x3 layer at that size costs nearly as much as the whole network:

# %%
flops = 2 * 3 * 3 * 16 * 32 * 640 * 640  # 16 channels to 32; section 16 has the formula
print(f"one layer {flops / 1e9:.2f} GFLOPs, all 25 layers of the nano model {small.summary().flops / 1e9:.2f}")

# %% [markdown]
# So the very first layer, the **stem**, halves the sides at once, before anything expensive happens. Early releases had
# a special block for that, **Focus**: every 2x2 square of pixels becomes one cell with four times the channels, and
# nothing is thrown away.

# %%
numbers = torch.arange(16).view(4, 4)
print(numbers)
corners = [numbers[r::2, c::2].tolist() for c in (0, 1) for r in (0, 1)]
print("its four corners:", *corners, sep="\n  ")
focus = Focus(3, 16, 3).eval()
show_block(focus, image)

# %% [markdown]
# Newer releases have a plain 6x6 convolution with stride 2 instead. Is that another network? No. A 3x3 window over
# cells of 2x2 pixels looks at 6x6 pixels, and it moves on by 2 pixels. Only the weights stand in another order: tap
# $(i, j)$ of the 3x3 reads corner $(r, c)$ of its square, and that is pixel $(2i + r, 2j + c)$ of the 6x6. Let us carry
# them over.

# %%
narrow = focus.conv.conv.weight.data  # (16, 12, 3, 3); 12: 4 corners (c, r) x 3 colours
wide = torch.zeros(16, 3, 6, 6)
for c in (0, 1):
    for r in (0, 1):
        first = (2 * c + r) * 3
        wide[:, :, r::2, c::2] = narrow[:, first : first + 3]
stem = focus_to_stem(focus)
with torch.no_grad():
    unlike = difference(focus(image), stem(image))
print(f"weights: Focus {narrow.numel():,}, 6x6 {wide.numel():,}")
print("weights by hand and by focus_to_stem, largest difference:", difference(wide, stem.conv.weight))
print("the outputs of the two stems differ at most by", approx(unlike, ".0e"))
assert unlike < 1e-5

# %% [markdown]
# **What to notice**
# - Same weights, same result. The 6x6 is preferred because it is one call instead of six, with no copies in between.

# %% [markdown]
# ## 7. Bottleneck: squeeze, look, and add
#
# A 3x3 convolution at full width is expensive. A **Bottleneck** first goes through a 1x1 to fewer channels, then
# through a 3x3 back to all of them. At the end its input is **added** to its output.

# %%
block = Bottleneck(64, 64).eval()
direct = Conv(64, 64, 3)
by_hand = (1 * 1 * 64 * 32 + 2 * 32) + (3 * 3 * 32 * 64 + 2 * 64)  # 2 a channel: BatchNorm
print(f"parameters: {count(block):,}, by hand {by_hand:,}; a plain 3x3 Conv: {count(direct):,}")
show_block(block, torch.zeros(1, 64, 80, 80))

# %% [markdown]
# Why add? The block then only has to learn what is to be *changed*. If nothing is to be changed, its input passes
# unharmed. Let us silence it, by setting the last BatchNorm's scale to zero:

# %%
x = torch.randn(1, 64, 10, 10)
with torch.no_grad():
    print("by hand and by the block:", unequal(x + block.cv2(block.cv1(x)), block(x)))
    block.cv2.bn.weight.zero_()
    print("what a silent block gives, and its input:", unequal(block(x), x))
x.requires_grad_()
slope = torch.autograd.grad(block(x).sum(), x)[0]
print("its slopes, and 1:", unequal(slope, torch.ones_like(x)))

# %% [markdown]
# **What to notice**
# - The dashed way in the drawing is the shortcut, also called **residual connection** (ResNet, 2015). Gradients take it
#   too, backwards and undiminished, so that the early layers of a deep network still hear of the loss
#   ([07_backpropagation](07_backpropagation.ipynb) measures it).
# - Adding needs equal shapes. A Bottleneck that changes the number of channels cannot add.
# - YOLOv5 adds in its backbone only. In the neck the rows say `False`: `[512, False]`.

# %% [markdown]
# ## 8. C3: a CSP bottleneck with three convolutions
#
# A chain of Bottlenecks at full width is costly. The idea of **CSP** (cross-stage partial; the paper is **CSPNet**, Wang
# and others, 2019, [arXiv 1911.11929](https://arxiv.org/abs/1911.11929); there is no paper about C3 itself): two branches, each half
# as wide. Only one goes through the chain, the other past it, and they are joined at the end.
#
# How is a map made half as wide? The paper cuts its channels into two halves. A C3 does not: each of its branches
# *reads all* channels, and its own 1x1 convolution gives half as many. These two and the one that joins are the three
# convolutions that gave the block its name. **CSPDarknet**, the backbone of YOLOv4 and v5, is Darknet's backbone with
# such blocks.

# %%
block = C3(64, 64, 2).eval()  # layer 4 of the nano model
show_block(block, torch.zeros(1, 64, 80, 80))

# %%
x = torch.randn(1, 64, 10, 10)
with torch.no_grad():
    deep = block.m[1](block.m[0](block.cv1(x)))  # (1, 32, 10, 10)
    past = block.cv2(x)  # (1, 32, 10, 10)
    joined = block.cv3(torch.cat((deep, past), 1))  # (1, 64, 10, 10)
    print("by hand and by the block, largest difference:", difference(joined, block(x)))
for name, layer in {"through the chain": block.cv1, "past it": block.cv2}.items():
    print(f"the branch {name} reads {layer.conv.in_channels} of 64 channels and gives {layer.conv.out_channels}")
chain = nn.Sequential(Bottleneck(64, 64, expansion=1.0), Bottleneck(64, 64, expansion=1.0))
older = BottleneckCSP(64, 64, 2)
print(f"parameters: C3 {count(block):,}, its older form {count(older):,}, the chain {count(chain):,}")
print("Bottlenecks in each C3 of the nano model:", [line.number for line in rows if line.kind == "C3"])

# %% [markdown]
# **What to notice**
# - The narrowing is done by `cv1`. The Bottlenecks inside keep their 32 channels: their 1x1 does not squeeze any more.
# - The chain at full width has nearly three times the weights.
# - The second branch is a short way round the whole chain, for the picture and for the gradient.
# - The table's `number`, times the depth multiplier, says how many Bottlenecks the chain has: 1, 2, 3 and 1 in the
#   backbone, and 1 in each C3 of the neck. (The older form of the block had a fourth convolution.)

# %% [markdown]
# ## 9. SPPF: looking around
#
# At the end of the backbone a cell stands for 32 x 32 pixels. To know a bus from a window of a bus it must look
# further. **Spatial pyramid pooling** (SPP) takes, for each cell, the largest value within windows of 5, 9 and 13
# cells, and puts these beside the cell's own value. SPP**F** is the fast form: one 5x5 pooling, three times in a row.
# It is not free: pooling has no weights, but the two 1x1 convolutions around it have.

# %%
sppf = SPPF(256, 256).eval()  # layer 9 of the nano model
print(f"{count(sppf):,} of the network's {count(small):,} parameters: {count(sppf) / count(small):.1%}")
show_block(sppf, torch.zeros(1, 256, 20, 20))

# %% [markdown]
# Why is that the same? The largest of the largest is the largest of all. A window of 5 reaches 2 cells to each side;
# two in a row reach 4, that is a window of 9; three reach 6, that is 13. On any tensor, and exactly:

# %%
x = torch.randn(2, 4, 23, 17)
pools = [x]
for _ in range(3):
    pools.append(F.max_pool2d(pools[-1], 5, stride=1, padding=2))
for pooled, window in zip(pools[1:], (5, 9, 13)):
    print(f"{window:2} x {window:2}:", unequal(pooled, F.max_pool2d(x, window, stride=1, padding=window // 2)))

# %%
spp = SPP(256, 256).eval()
spp.load_state_dict(sppf.state_dict())
x = torch.randn(1, 256, 20, 20)
with torch.no_grad():
    print("SPPF and SPP with the same weights, largest difference:", difference(sppf(x), spp(x)))
print("values looked at for each cell: SPP", 5**2 + 9**2 + 13**2, "and SPPF", 3 * 5**2)
print("the widest window in pixels of the picture:", 13 * 32)

# %% [markdown]
# What it does, on a map with two bright cells:

# %%
spots = torch.zeros(1, 1, 20, 20)
spots[0, 0, 4, 4], spots[0, 0, 12, 13] = 1.0, 0.6
grown = [spots]
for _ in range(3):
    grown.append(sppf.m(grown[-1]))
show_feature_maps({"before, and after one, two, three poolings": torch.cat(grown, 1)}, columns=4)

# %% [markdown]
# **What to notice**
# - The news "there is something bright" spreads by two cells at a time; where two meet, the brighter one wins.
# - The unpooled map is kept as well, so *where* it was is not lost. A 1x1 convolution then weighs all four.

# %% [markdown]
# ## 10. Building the 25 layers
#
# Now we know every kind of block. The table is followed row by row; the only thing to keep book of is how many channels
# each layer gives, because the next one must be built for that many.

# %%
def build(line, given):
    """The layer of one row; given: the channels of what it reads."""
    if line.kind == "Conv":
        return Conv(given[0], *line.arguments)
    if line.kind == "C3":
        out, *rest = line.arguments
        return C3(given[0], out, line.number, *rest)
    if line.kind == "SPPF":
        return SPPF(given[0], *line.arguments)
    return nn.Upsample(*line.arguments) if line.kind == "Upsample" else Concat(*line.arguments)

# %%
mine, channels = nn.ModuleList(), {-1: 3}  # -1 is the image, with three colours
for line in rows[:-1]:
    given = [channels[source] for source in line.inputs]
    mine.append(build(line, given))
    channels[line.index] = line.arguments[0] if line.kind in ("Conv", "C3", "SPPF") else sum(given)
given_by = list(channels.values())[1:]  # without the image's
print("channels, backbone:", given_by[:10])
print("channels, neck:    ", given_by[10:])

# %% [markdown]
# The last row is the head. It reads layers 17, 20 and 23, and needs the anchors and the strides (what they are for is
# the next notebook's subject).

# %%
anchors = torch.tensor(spec["anchors"], dtype=torch.float32).view(3, 3, 2)
widths = [channels[source] for source in rows[-1].inputs]
mine.append(Detect(80, anchors, (8, 16, 32), widths))
mine.eval()
print(len(mine), "layers; the head reads", widths, "channels;", f"{count(mine):,} parameters")

# %% [markdown]
# ## 11. Feeding them one by one
#
# The first three by hand, so that it is plain what happens:

# %%
with torch.no_grad():
    x0 = mine[0](image)
    x1 = mine[1](x0)
    x2 = mine[2](x1)
for k, x in enumerate((image, x0, x1, x2)):
    print("layer", k - 1 if k else "none, the image", tuple(x.shape))

# %% [markdown]
# From layer 12 on, some layers need outputs from further back. So they are kept, each under its number.

# %%
@torch.no_grad()
def feed(layers, image):
    """Every layer's output, by its number; -1 is the image."""
    outputs = {-1: image}
    for line, layer in zip(rows, layers):
        given = [outputs[source] for source in line.inputs]
        outputs[line.index] = layer(given if line.takes_list else given[0])
    return outputs

outputs = feed(mine, image)
shapes = {k: [tuple(x.shape[1:]) for x in (out if isinstance(out, list) else [out])] for k, out in outputs.items()}
parts = ["backbone" if k < 10 else "neck" if k < 24 else "head" for k in range(25)]
table = []
for line in rows:
    source = ", ".join("image" if k == -1 else str(k) for k in line.inputs)
    arguments = ", ".join(map(str, line.arguments))
    output = "\n".join(" x ".join(map(str, shape)) for shape in shapes[line.index])
    table.append([line.index, parts[line.index], source, line.kind, line.number, arguments, output])
show_table(["layer", "part", "from", "module", "number", "arguments", "output"], table)

# %%
side = {k: shapes[k][0][-1] for k in range(-1, 24)}
print("layers that halve the sides: ", [k for k in range(24) if 2 * side[k] == side[rows[k].inputs[0]]])
print("layers that double the sides:", [k for k in range(24) if side[k] == 2 * side[rows[k].inputs[0]]])

# %% [markdown]
# **What to notice**
# - In the backbone five layers halve the sides, each a `Conv` with stride 2. $2^5 = 32$, so the sides of a picture must
#   be multiples of 32. The neck doubles twice and halves twice.
# - Behind the stem, whenever the backbone halves the sides it doubles the channels: fewer places, but more features
#   about each.
# - The head has three outputs, one for each grid.

# %% [markdown]
# ## 12. Backbone, neck, head: the U
#
# Put the layers in rows by their stride, fine grids above and coarse ones below, and the plan of a network is seen. The
# shape comes from elsewhere: **U-Net** (Ronneberger and others, 2015) was made for *segmentation*, where every pixel
# gets a class. So it goes down and comes *all the way* up again, and each step up is joined with the map of that size
# from the way down. Here is a small one, of the blocks that we know.

# %%
class UNet(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W): down to stride 16 and back, one answer for each pixel."""

    def __init__(self, classes=6, widths=(8, 16, 32, 64, 128)):
        super().__init__()
        self.first = Conv(3, widths[0], 3)
        self.down = nn.ModuleList(Conv(a, b, 3, 2) for a, b in zip(widths, widths[1:]))
        self.up, self.join = nn.Upsample(scale_factor=2), Concat()
        self.mix = nn.ModuleList(Conv(a + b, a, 3) for a, b in zip(widths, widths[1:]))
        self.last = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x):
        kept = [self.first(x)]
        for layer in self.down:
            kept.append(layer(kept[-1]))
        x = kept[-1]
        for k in (3, 2, 1, 0):
            x = self.mix[k](self.join([self.up(x), kept[k]]))
        return self.last(x)

# %%
from walkthrough.explorers.layer.graph import graph_panel
from walkthrough.graphs import LEGEND
from walkthrough.scene import Scene

def graph(model, image, lit, title):
    """The layers of a model in rows by their stride; one of them lit."""
    panel = graph_panel(record_layers(model.eval(), image), lit, image.shape[2:])
    return Scene(((replace(panel, title=title),),), LEGEND, f"{title}: a graph of its layers, row by row of strides")

column(graph(UNet(), image[..., :320, :320], 4, "U-Net, for segmentation: a class for each pixel"),
       graph(small, image[..., :320, :320], 9, "yolov5n, for detection: boxes from three grids"))  # fmt: skip

# %% [markdown]
# **What to notice**
# - Both go down, up, and join what they passed on the way (dashed). U-Net ends at stride 1. A detector needs no answer
#   for each pixel, so yolov5n stops at stride 8 and spends the rest on going down again.
# - **Backbone**, down: from 160 to 10 cells for this picture of 320 pixels (from 320 to 20 at 640). Each layer sees more of the picture and is less
#   sure where. At its end (lit) it may know that there is a bus, but only to within 32 pixels.
# - **Neck**, up again: from 10 to 40 (20 to 80 at 640), so that the fine grid gets what the coarse one knows. At every step up, the map of
#   the same size from the way down is joined (layers 12 and 16). Papers call this part **FPN** (feature pyramid
#   network, Lin and others, 2016).
# - Then down once more, from 80 to 20, so that the coarse grids get what the fine one found (layers 19 and 22): the
#   **PAN** (path aggregation network, Liu and others, 2018). A **BiFPN** (EfficientDet, 2019) does the same more than
#   once, and learns how much each of the joined maps counts; [12_backbones](12_backbones.ipynb) builds one.
# - **Head**: reads one map of each size, layers 17, 20 and 23. Papers call them **P3**, **P4** and **P5**: level $k$ has
#   one cell for $2^k$ pixels, stride 8, 16 and 32.
#
# How much of the picture can one cell see? `record_layers` follows each layer's window back to the pixels.

# %%
model = yl.create_model("yolov5n").eval()  # the library's own, for comparison
records = record_layers(model, image)
chosen = (0, 2, 4, 6, 9, 17, 20, 23)
table = [[k, parts[k], side[k], 640 // side[k], records[k].receptive_field.size[0]] for k in chosen]
show_table(["layer", "part", "cells a side", "pixels from cell to cell", "pixels a side that a cell can see"], table)

# %% [markdown]
# **What to notice**
# - A cell of layer 4 can see 58 x 58 pixels. That is not enough for a large object.
# - Layer 17 has the same grid as layer 4, but its cells can see more than the whole picture. That is what the neck is
#   for.

# %% [markdown]
# ## 13. Upsample and concat: what each of them adds
#
# What upsampling does is seen best on a photograph. The cat's eye, once with few large pixels, once upsampled by two,
# as layers 11 and 15 do it, and once as it is, with as many pixels.

# %%
large, small_pixels = (F.avg_pool2d(image, size)[0] for size in (8, 4))  # sides 80 and 160
twice = F.interpolate(large[None], scale_factor=2, mode="nearest")[0]  # (3, 160, 160)
fine = (slice(None), slice(32, 80), slice(80, 128))
eyes = [show_image(large[:, 16:40, 40:64]), show_image(twice[fine]), show_image(small_pixels[fine])]
unlike = difference(F.avg_pool2d(twice, 2), large)
print("the left one, and the middle one averaged by twos, largest difference:", approx(unlike, ".0e"))
assert unlike < 1e-6
row(*eyes, titles=["24 x 24 pixels", "upsampled: 48 x 48", "48 x 48 of its own"])

# %% [markdown]
# **What to notice**
# - The picture in the middle has four times as many pixels as the left one, and looks the same: each was only repeated.
#   What the right one has in addition, such as the rim of the eye, cannot be made of the left one.
#
# For feature maps it is the same. A trained network shows more here: `shapes-n` was trained on drawn scenes; it is the
# same 25 layers with fewer classes.

# %%
trained = yl.load("shapes-n").eval()
scene = yl.YoloDataset("shapes", img_size=256)[0].image[None].float() / 255  # (1, 3, 256, 256)
seen = {record.index: record.output for record in record_layers(trained, scene)}
upsampled = seen[10].repeat_interleave(2, 2).repeat_interleave(2, 3)  # rows, columns twice
print("layer 10 repeated, and layer 11:", unequal(upsampled, seen[11]))
print("layers 11 and 6 stacked, and layer 12:", unequal(torch.cat((seen[11], seen[6]), 1), seen[12]))
print("channels:", *(f"layer {k}: {seen[k].shape[1]}" for k in (11, 6, 12)))

# %%
names = {10: "layer 10, coarse", 11: "layer 11, upsampled", 6: "layer 6, from the backbone"}
names[13] = "layer 13, the C3 behind the concat"
column(show_image(scene[0]), show_feature_maps({name: seen[k] for k, name in names.items()}, count=8))

# %% [markdown]
# Is anything new in layer 11? Take the mean of each 2x2 block away from a map. What remains is detail that a grid half
# as fine cannot hold.

# %%
def detail(feature):
    """What a map knows beyond the means of its 2x2 blocks."""
    means = F.avg_pool2d(feature, 2)
    return feature - F.interpolate(means, scale_factor=2)

most = {k: detail(seen[k]).abs().max().item() for k in (11, 6, 13)}
for k, value in most.items():
    print(f"layer {k:2}: the largest detail within 2x2 blocks is {approx(value)}")
assert most[11] < 1e-4 and min(most[6], most[13]) > 0.5

# %% [markdown]
# **What to notice**
# - Upsampling adds cells, but no knowledge: four cells hold the same numbers.
# - Layer 6 has the detail, but has seen less of the picture. Concat puts both at the same place, side by side, and has
#   no weights either.
# - Mixing them is the work of the C3 behind: its 1x1 convolutions see, for each cell, what the coarse grid *means* and
#   what the fine one *saw*.
#
# In the explorer, choose a layer in the list below the picture, or unfold *the network* and click one in its graph.
# Click a place in the picture or a cell of the maps. Draw a box around something, unfold *objects*, and the table says
# how much of it the cell can see, and how much of what the cell listens to lies on it. It opens on the concat of layer
# 12.

# %%
w = LayerExplorer(layer=12)
w

# %% [markdown]
# **What to notice**
# - The dashed line goes round the whole picture: the marked cell could see all of it. It listens to the orange pixels,
#   which are much fewer.
# - *objects* has a line for each object. Seeing all of an object is not a merit: this cell sees all of every one. What
#   tells is the last column.
# - *what is joined* is this section once more: coarse, upsampled, the skip, and what only the skip knows.
# - *the network* shows the U: five rows of strides, down on the left, up in the middle, down again on the right.

# %% [markdown]
# ## 14. The head: one 1x1 convolution, and a reshape
#
# For each cell and each of its 3 anchors the head makes 85 numbers: 4 for a box, 1 for "is there anything"
# (objectness), 80 for the classes. That is $3 \cdot 85 = 255$ channels, made by a 1x1 convolution: a dense layer for
# each cell.
#
# What comes out is `(1, 255, 80, 80)`. It would be handier to have the 85 numbers of each anchor side by side, so the axes are
# cut and turned: channel $85 a + j$ is number $j$ of anchor $a$.

# %%
head, feature = mine[24], outputs[17]
with torch.no_grad():
    flat = head.m[0](feature)  # (1, 64, 80, 80) -> (1, 255, 80, 80)
cut = flat.view(1, 3, 85, 80, 80)  # the channels in three parts of 85
turned = cut.permute(0, 1, 3, 4, 2)  # (1, 3, 80, 80, 85): the 85 numbers last
print(tuple(flat.shape), "->", tuple(cut.shape), "->", tuple(turned.shape))
print("by hand and by the head, largest difference:", difference(turned, outputs[24][0]))
print("anchor 2, number 4, and channel 2 x 85 + 4 = 174:", unequal(turned[0, 2, :, :, 4], flat[0, 174]))

# %%
wrong = flat.view(1, 3, 80, 80, 85)  # the right shape, in one step
print("view alone gives", tuple(wrong.shape), "where it should be", tuple(turned.shape))
print(f"but {approx((wrong != turned).float().mean(), '.0%')} of the numbers differ")
assert wrong.shape == turned.shape and (wrong != turned).float().mean() > 0.9
for level in outputs[24]:
    print(tuple(level.shape), f"predictions: {level[..., 0].numel():,}")
print(f"together: {sum(level[..., 0].numel() for level in outputs[24]):,}")

# %% [markdown]
# **What to notice**
# - `view` cuts, `permute` turns. With `view` alone the shape is right and nearly every number stands in a wrong place.
#   Nothing would complain, the network would just not learn.
# - One convolution gives boxes, objectness and classes together: a **coupled head**. A **decoupled head** (YOLOX, v6,
#   v8) has a few layers of its own for the boxes and others for the classes, because the two need different features:
#   *where* does it end, and *what* is it. [13_anchor_free](13_anchor_free.ipynb) takes one apart.

# %% [markdown]
# ## 15. Nothing here is about boxes
#
# We have built a whole detector, and nothing in it knows what a box is. The outputs are numbers of any size and sign.
# Do the anchors matter to the layers? Double them, and look:

# %%
other = yl.create_model("yolov5n", anchors=anchors * 2).eval()  # same seed, so the same weights
with torch.no_grad():
    maps, other_maps = model(image), other(image)
flat_maps, other_flat = (torch.cat([level.flatten() for level in levels]) for levels in (maps, other_maps))
sizes, other_sizes = (net.decode(levels)[..., 2:4] for net, levels in ((model, maps), (other, other_maps)))
print("raw maps:", unequal(flat_maps, other_flat))
print("widths and heights of the decoded boxes:", unequal(sizes, other_sizes))
print("parameters called anchors, of those that are learnt:",
      sum("anchors" in name for name, _ in model.named_parameters()))  # fmt: skip

# %% [markdown]
# The anchors lie in the model, but only `decode` and the loss read them. That the first number of the 85 moves a box to
# the right is agreed between these two. For the layers it is a number like any other. They learn what it stands for
# from the loss alone, which punishes them until it fits ([06_loss](06_loss.ipynb)).
#
# There are two hints, in the *start* of the head's biases. Nearly all cells are empty, so objectness starts low: as if 8
# objects were in a picture of 640 pixels. And of 80 classes each starts low too, by
# $\ln \frac{0.6}{80 - 0.99999} = -4.88$: together they are about 0.6.

# %%
for stride in (8, 16, 32):
    print(f"stride {stride:2}: objectness starts lower by {math.log((640 / stride) ** 2 / 8):.4f}")
starts = [level.bias.view(3, 85)[:, 4].sigmoid().max() for level in model.detect.m]
print("so a cell starts by saying, at most:", *(approx(start, ".4f") for start in starts))
assert max(starts) < 0.1

# %% [markdown]
# ## 16. Counting parameters and FLOPs by hand
#
# All that is learnt is in convolutions and their BatchNorms, so we need to know which convolutions a layer has: kernel,
# channels in, channels out. Each has $k^2 c_{in} c_{out}$ weights, and its BatchNorm two numbers a channel.

# %%
def convolutions(line, given):
    """(kernel, channels in, channels out) of every convolution in a layer."""
    if line.kind == "Conv":
        return [(line.arguments[1], given, line.arguments[0])]
    if line.kind == "SPPF":
        return [(1, given, given // 2), (1, 4 * (given // 2), line.arguments[0])]
    if line.kind == "C3":
        out, half = line.arguments[0], line.arguments[0] // 2
        bottlenecks = [(1, half, half), (3, half, half)] * line.number
        return [(1, given, half), (1, given, half), (1, 2 * half, out), *bottlenecks]
    return []

# %%
parameters = []
for line in rows[:-1]:
    convs = convolutions(line, channels[line.inputs[0]])
    parameters.append(sum(k * k * a * b + 2 * b for k, a, b in convs))
parameters.append(sum(a * 255 + 255 for a in widths))  # the head: 1x1 with a bias, no BatchNorm
differ = sum(own != record.parameters for own, record in zip(parameters, records))
print(f"by hand and recorded: {differ} of {len(records)} layers differ")
print(f"together {sum(parameters):,}; the library says {model.summary().parameters:,}")

# %% [markdown]
# And the work? Each output number of a convolution is a sum of $k^2 c_{in}$ products, at each of $h \cdot w$ places. A
# product and its addition count as two operations (**FLOPs**):
#
# $$\mathrm{FLOPs} = 2 \cdot k \cdot k \cdot c_{in} \cdot c_{out} \cdot h \cdot w$$
#
# BatchNorm adds two for each output number. Activations, poolings and copies are left out, as is the custom.

# %%
flops = []
for line in rows[:-1]:
    convs = convolutions(line, channels[line.inputs[0]])
    cells = side[line.index] ** 2  # of every convolution in a block
    flops.append(sum(2 * k * k * a * b * cells + 2 * b * cells for k, a, b in convs))
flops.append(sum(2 * a * 255 * side[k] ** 2 for a, k in zip(widths, rows[-1].inputs)))
print(f"by hand and recorded: {sum(own != record.flops for own, record in zip(flops, records))} of 25 layers differ")
print(f"together {sum(flops) / 1e9:.2f} GFLOPs; the library says {model.summary().flops / 1e9:.2f}")
half = model.summary(320).flops
print(f"at half the side {half:,}, times 4 {4 * half:,}, at 640 {sum(flops):,}")

# %%
names = [str(k) for k in range(25)]
row(show_bars(dict(zip(names, [n / 1e3 for n in parameters])), title="thousand parameters, by layer"),
    show_bars(dict(zip(names, [n / 1e6 for n in flops])), title="MFLOPs, by layer"))  # fmt: skip

# %%
for part in ("backbone", "neck", "head"):
    inside = [k for k in range(25) if parts[k] == part]
    fractions = [sum(counts[k] for k in inside) / sum(counts) for counts in (parameters, flops)]
    print(f"{part:8} {fractions[0]:.0%} of the parameters, {fractions[1]:.0%} of the FLOPs")

# %% [markdown]
# **What to notice**
# - Parameters do not depend on the size of the picture, FLOPs do: half the side, a quarter of the work.
# - Layers with fine maps have few weights, layers with coarse maps have many. The work is often the same: layers 1 and 7
#   of the table below both cost about 237 MFLOPs, with 4,672 and 295,424 weights. A fine map uses each weight at many
#   more places.
# - The head, where the predictions are made, is a small part. Nearly all of the work is looking.
#
# `show_layers` puts all of it into one table, here for layers 0 to 23. (The column "time" is that of the computer that ran
# this page last.)

# %%
show_layers(records[:24])

# %% [markdown]
# The head has three outputs, which would make a long row. So here it is by itself:

# %%
last = records[24]
print(f"layer 24, {last.kind}: {last.parameters:,} parameters, {last.flops / 1e6:.1f} MFLOPs")
table = [[source, " x ".join(map(str, shape[1:])), " x ".join(map(str, field.size))]
         for source, shape, field in zip(last.inputs, last.output_shapes, last.receptive_fields)]  # fmt: skip
show_table(["reads layer", "output", "sees"], table)

# %% [markdown]
# **What to notice**
# - Each output of the head sees as far as the layer that it reads (17, 20 and 23), because a 1x1 convolution adds nothing to
#   what is seen.
# - Upsample and Concat have neither parameters nor FLOPs, but they take time: numbers are copied. So does the pooling
#   of layer 9, in spite of its few FLOPs.

# %% [markdown]
# ## 17. Editing a row
#
# Section 1 promised that changing the network needs no programming. `read_spec` gives the rows as lists;
# `yl.create_model` builds what they say. So an edit is one line. For each we ask three things: what happens to the
# shapes, to the cost, and to what a cell can see?

# %%
plain, _ = read_spec("yolov5n")
with_relu = {**plain, "activation": "nn.ReLU"}  # for all bricks

with_p2 = copy.deepcopy(plain)
with_p2["anchors"] = 3  # as many a level, of a size that fits its stride
with_p2["head"][-1:] = [  # layer 24 and what follows; it was Detect
    [17, 1, "Conv", [128, 1, 1]],
    [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
    [[-1, 2], 1, "Concat", [1]],  # layer 2 has stride 4
    [-1, 1, "C3", [128, False]],  # layer 27: P2
    [[27, 17, 20, 23], 1, "Detect", ["nc", "anchors"]],
]

# %% [markdown]
# And a layer of your own. It needs a class, and a name that rows may use. This one looks at 7 x 7 cells of each channel
# by itself (a **depthwise** convolution), then mixes the channels by a 1x1. It takes the place of SPPF.

# %%
@yl.register_layer("Around")  # called with its input's channels, then with the row's arguments
class Around(nn.Module):
    """(N, C, H, W) -> (N, out, H, W)"""

    def __init__(self, in_channels, out_channels, kernel=7):
        super().__init__()
        self.look = Conv(in_channels, in_channels, kernel, groups=in_channels)
        self.mix = Conv(in_channels, out_channels)

    def forward(self, x):
        return self.mix(self.look(x))

with_own = copy.deepcopy(plain)
with_own["backbone"][9] = [-1, 1, "Around", [1024, 7]]

# %%
edited = {"as it was": plain, "ReLU": with_relu, "P2": with_p2, "Around": with_own}
table = []
for name, changed in edited.items():
    built = yl.create_model(changed).eval()
    recorded, summary = record_layers(built, image), built.summary()
    grids = " ".join(str(shape[2]) for shape in recorded[-1].output_shapes)
    fields = " ".join(str(field.size[0]) for field in recorded[-1].receptive_fields)
    predictions = sum(3 * shape[2] * shape[3] for shape in recorded[-1].output_shapes)
    cost = [summary.parameters, f"{summary.flops / 1e9:.2f}"]
    table.append([name, grids, predictions, *cost, recorded[9].receptive_field.size[0], fields])
columns = ["edit", "cells a side", "predictions", "parameters", "GFLOPs", "layer 9 sees", "outputs see"]
show_table(columns, table)

# %% [markdown]
# **What to notice**
# - **ReLU** changes no shape, no weight, no window, and no FLOPs as they are counted. Only the numbers are others: weights
#   that were trained with SiLU are of no use to it.
# - **P2** adds a grid of 160 x 160 cells: four times as many predictions in all, for 1 % more parameters. The work grows
#   by 16 %, because its layers run at 25,600 places.
# - **Around** sees less far than SPPF, and costs less. Everything behind it sees less, too.
#
# **When to expose P2?** A rule of thumb: when objects that matter are smaller than about two cells of P3, 16 pixels *in
# the network's input*. Then neighbours often share a cell, and its features mix the object with what is around it. Try a larger
# input first: twice the side makes every object twice as large, for four times the work, and needs no new layers. And
# measure: in short trainings P2 may lose, as most of its cells hold nothing ([12_backbones](12_backbones.ipynb), section
# 7, where it did).

# %% [markdown]
# ## Check: your 25 layers and the library's
#
# Give both the same weights, feed both the same picture, and compare every layer's output, bit for bit.

# %%
mine.load_state_dict(model.layers.state_dict())  # strict: every name and every shape must fit
outputs = feed(mine, image)
with torch.no_grad():
    theirs = [out for layer, out in model.forward_layers(image) if layer.index < 24]
differ = [(outputs[index] != out).sum().item() for index, out in enumerate(theirs)]
print(f"layers 0 to 23: {sum(differ)} of {sum(out.numel() for out in theirs):,} numbers differ")
print("the three raw maps:", *(unequal(a, b) for a, b in zip(outputs[24], maps)), sep="\n  ")
assert sum(differ) == 0

# %% [markdown]
# ## Your turn: write `my_receptive_field`
#
# How large a part of the picture can one cell see through a chain of convolutions? Two numbers are carried along: what a
# cell sees so far, and how many pixels of the picture lie between two neighbouring cells. Each window adds its size less
# one, times that step; each stride multiplies the step for the layers behind it.

# %%
from walkthrough import check

def my_receptive_field(kernels, strides):
    """Side of what one cell sees, in pixels of the picture.

    kernels, strides: of the layers, first layer first, such as (6, 3, 3) and (2, 2, 1).
    Returns: a whole number.
    """
    ...

check(my_receptive_field)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_receptive_field(kernels, strides):
#     size, step = 1, 1
#     for kernel, stride in zip(kernels, strides):
#         size += (kernel - 1) * step
#         step *= stride
#     return size
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>What does the row <code>[-1, 6, C3, [256]]</code> become in the nano model, and in "x"?</summary>
#
# Nano: round(6 x 0.33) = 2 Bottlenecks and 64 channels. "x": round(6 x 1.33) = 8 Bottlenecks and 320 channels. The
# table of section 2 has both.
# </details>
#
# <details><summary>Why must both inputs of layer 12 have 40 x 40 cells, but not the same number of channels?</summary>
#
# Concat stacks channels at each place, so the places must be the same ones. 128 and 128 channels happen to be equal in
# this network; 128 and 7 would work as well, and the C3 behind would be built for 135.
# </details>
#
# <details><summary>You train on 3 classes instead of 80. How many parameters does the head have then?</summary>
#
# 3 x (5 + 3) = 24 channels instead of 255, from 64, 128 and 256: (64 + 128 + 256) x 24 + 3 x 24 = 10,824 instead of
# 115,005. Nothing else changes, which is why trained weights of the other 24 layers can be kept.
# </details>
#
# <details><summary>Could four poolings of 5 replace a pooling of 17?</summary>
#
# Yes: 4 x 2 = 8 cells to each side, and the cell itself, make 17.
# </details>
#
# <details><summary>Your objects are 10 pixels wide in pictures of 640. Which edit would you try, and what before it?</summary>
#
# A larger input first: at 1280 they are 20 pixels wide. Then P2, whose cells are 4 pixels wide (section 17). Both cost
# work at many places; only a measurement on your own data says which one pays.
# </details>
#
# <details><summary>Does the network work on a picture of 320 x 512 pixels?</summary>
#
# Yes. No layer has the size of the picture in it, only windows that slide: both sides must be multiples of 32, and the
# grids become 40 x 64, 20 x 32 and 10 x 16.
# </details>
#
# The answers, computed:

# %%
with torch.no_grad():
    print("question 1:", repeats(6, 0.33), channels_of(256, 0.25), repeats(6, 1.33), channels_of(256, 1.25))
    two = [torch.zeros(1, 128, 40, 40), torch.zeros(1, 7, 40, 40)]
    print("question 2:", build(rows[12], [128, 7])(two).shape[1])
    three = yl.create_model("yolov5n", num_classes=3)
    print(f"question 3: {count(three.detect):,} instead of {count(model.detect):,}")
    pooled = F.max_pool2d(pools[-1], 5, stride=1, padding=2)  # a fourth time
    print("question 4:", unequal(pooled, F.max_pool2d(pools[0], 17, stride=1, padding=8)))
    print("question 6:", [tuple(raw.shape[2:4]) for raw in model(torch.zeros(1, 3, 320, 512))])

# %% [markdown]
# **On to [04_grids_and_anchors](04_grids_and_anchors.ipynb)**: what the 85 numbers of a prediction mean, and why they start
# from an anchor.
