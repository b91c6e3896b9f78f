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
# # 12. Backbones: a list of choices
#
# Darknet-53, CSPDarknet, ELAN, GELAN: every generation has a backbone with a new name. Behind the names there are few
# choices, and they are always the same ones: which block is repeated, how often, how wide, where the grid becomes
# coarser. In this notebook you turn each of them like a dial, and see what it does to shapes, receptive field, cost,
# and (in trainings of a few minutes) to what is found.
#
# The **backbone** is the part of a detector that turns pixels into maps. The **neck** mixes these maps, the **head**
# makes boxes of them ([notebook 03](03_model_layer_by_layer.ipynb) walks through all three).
#
# The last digits of a number behind ≈ may differ on your computer. The `assert` in the same cell checks what the text
# says about it.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
import copy
import json
import statistics
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import yolo_lite as yl
from walkthrough import BackboneExplorer, approx, record_layers, row, show_bars, show_image, show_series, show_table
from walkthrough.explorers.backbone.networks import stages_of
from walkthrough.scene import Bars, Chart, Scene
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.family.backbones import Backbone, Classifier, backbone_of, features
from yolo_lite.family.blocks import C2f, RepConv
from yolo_lite.model.block_variants import SPP
from yolo_lite.model.blocks import SPPF, Bottleneck, Conv

# %% [markdown]
# ## 1. Four questions to ask of any backbone
#
# A paper about a backbone is easier to read with four questions in mind:
#
# 1. **How deep and how wide?** How many blocks stand in a row, and how many channels has each map?
# 2. **Where does it halve?** Each step of stride 2 leaves a quarter of the cells. The **stride** of a map says how many
#    pixels one cell stands for. A level P$k$ has stride $2^k$.
# 3. **What does each stage pass on?** A **stage** is all layers of one stride. Its last map may be read by the neck,
#    which is then a **tap**. How much of the picture does a cell of it see (its **receptive field**)?
# 4. **What does it cost?** Parameters, operations (one multiply-and-add counts as 2 FLOPs), time.
#
# The answers can be computed. We pass a picture through three networks and look at their stages.

# %%
picture = yl.tour_batch().images[2:3].float() / 255  # (1, 3, 640, 640)
small = functional.interpolate(picture, size=320, mode="bilinear", antialias=True)  # (1, 3, 320, 320)

def four_answers(model, images):
    """One row for each stage of the backbone."""
    rows = []
    for s in stages_of(record_layers(model.eval(), images), images.shape[2]):
        sees = f"{s.sees} px" if s.sees else "all"
        passed = "" if s.tap is None else f"layer {s.tap}"
        rows.append([s.stride, len(s.layers), s.channels, sees, passed, s.parameters, f"{s.flops / 1e6:,.0f}"])
    return rows

# %%
COLUMNS = ["network", "stride", "layers", "channels", "sees", "tap", "parameters", "MFLOPs"]
networks = {name: yl.create_model(name) for name in ("yolov5n", "yolov8n", "yolov9t")}
show_table(COLUMNS, [[name, *line] for name, model in networks.items() for line in four_answers(model, small)])

# %% [markdown]
# **What to notice**
# - All three halve five times, from the pixels to stride 32, and pass on the last maps of strides 8, 16 and 32. Channels
#   grow while cells become fewer. That has hardly changed since Darknet-53 (2018).
# - Most **parameters** are at stride 32, where maps are small and channels many. Parameters do not depend on the number
#   of cells, **operations** do: the fine strides cost much although they have few weights.
# - A cell of the coarsest tap can see more than this picture. "Can see" is a limit: most of what moves the cell lies
#   in the middle (the effective receptive field, [notebook 03](03_model_layer_by_layer.ipynb)).
#
# ## 2. Ten years of blocks, each in a row
#
# In the files of YOLO, a line `[from, number, module, arguments]` is one row of a network. Every block below is a row
# (or a few) that `create_model` builds. To compare them, each gets the same map of 64 channels and gives 64 channels.
# The rest of the network, one convolution before and a head after, is only there to make it a model.
#
# An entry of `EVOLUTION` says where a block is known from and the year in which the first network named there appeared;
# then its rows. In `["Conv", [64, 3, 1]]` the list holds the arguments: 64 output channels, a window of 3 x 3, stride 1.
# A number after it is the row's *number*: `["C3", [64], 2]` is `[-1, 2, "C3", [64]]`, a C3 of 64 output channels with two
# inner blocks. Without it the number is 1.

# %%
EVOLUTION = {
    "plain": ("VGG, YOLOv1", 2014, [["Conv", [64, 3, 1]], ["Conv", [64, 3, 1]]]),
    "Darknet-19": ("YOLOv2", 2016, [["Conv", [64, 3, 1]], ["Conv", [32, 1, 1]], ["Conv", [64, 3, 1]]]),
    "residual": ("Darknet-53, YOLOv3", 2018, [["Bottleneck", [64]], ["Bottleneck", [64]]]),
    "CSP": ("CSPNet, YOLOv4", 2019, [["BottleneckCSP", [64], 2]]),
    "C3": ("YOLOv5", 2020, [["C3", [64], 2]]),
    "RepConv": ("RepVGG, YOLOv6", 2021, [["RepConv", [64, 3, 1, None, 1, 1, True, True]]]),
    "ELAN": ("YOLOv7", 2022, [["ELAN", [64, 32, 32, 4, 2]]]),
    "C2f": ("YOLOv8", 2023, [["C2f", [64, True], 2]]),
    "RepNCSPELAN4": ("GELAN, YOLOv9", 2024, [["RepNCSPELAN4", [64, 64, 32, 1]]]),
    "C3k2": ("YOLO11", 2024, [["C3k2", [64, True], 2]]),
    "C2PSA": ("attention, YOLO11", 2024, [["C2PSA", [64]]]),
}

def with_block(rows):
    """A network around the rows of a block."""
    found = [[-1, number[0] if number else 1, kind, arguments] for kind, arguments, *number in rows]
    head = [[[-1], 1, "Detect", ["nc", "anchors"]]]
    return yl.create_model({"nc": 6, "anchors": 3, "backbone": [[-1, 1, "Conv", [64, 3, 2]], *found], "head": head})

# %%
def block_cost(rows):
    """Parameters, MFLOPs, and what the block's last row gives and sees."""
    first, *block = record_layers(with_block(rows).eval(), small[:, :, :160, :160])[:-1]
    before, after = first.receptive_field.size[0], block[-1].receptive_field.size[0]
    cells = "all" if after is None else (after - before) // 2 + 1
    shape = " x ".join(map(str, block[-1].output_shape[1:]))
    return [sum(b.parameters for b in block), f"{sum(b.flops for b in block) / 1e6:,.0f}", shape, cells]

lines = [[name, of, year, *block_cost(rows)] for name, (of, year, rows) in EVOLUTION.items()]
show_table(["block", "known from", "year", "parameters", "MFLOPs", "output", "sees cells"], lines)

# %% [markdown]
# **What to notice**
# - **Plain** 3 x 3 convolutions have the most weights: $2 \cdot 9 \cdot 64 \cdot 64$. **Darknet-19** puts a 1 x 1
#   convolution between them, which halves the channels first.
# - A **residual** block adds its input to its output: $x + f(x)$. The gradient has a way around $f$, so that networks
#   with many more layers can be trained: 53 after 19.
# - **CSP** has two branches, each with half as many channels as it reads; only one goes through the blocks, and both are
#   joined afterwards: a convolution of half the channels on both sides has a quarter of the weights. **C3** is the same
#   with one convolution fewer. The paper of both is **CSPNet** ([arXiv 1911.11929](https://arxiv.org/abs/1911.11929)).
#   Darknet-53 with such blocks in its stages is **CSPDarknet**, the backbone of YOLOv4 and v5.
# - **ELAN** and **C2f** join the output of *every* block in the chain, not only the last. The gradient reaches each
#   block by a short way. **RepNCSPELAN4** (GELAN) is an ELAN with CSP blocks in it, **C3k2** a C2f with
#   C3k, a kind of C3, in it (at strides 16 and 32; in the larger networks everywhere).
# - **RepConv** has branches while it is trained, and is a single 3 x 3 convolution afterwards: section 5.
# - **C2PSA** is the only one that sees all cells: attention. It has the fewest weights and does by far the most work here:
#   its price grows with the square of the number of cells, so YOLO11 uses it at stride 32 only.
#
# All widths were set to 64 here to have one table. A network chooses them, and with them the cost.
#
# ### A row of your own
#
# Change the row and run the cell again. What must the arguments be? `help(yl.family.blocks.ELAN)` says it.

# %%
mine = [["ELAN", [64, 16, 16, 6, 2]]]  # <- change me: half as wide as above, and longer
print("parameters {:,}, MFLOPs {}, output {}, sees {} cells across".format(*block_cost(mine)))

# %% [markdown]
# ## 3. The dials, and a network from them
#
# `Backbone` has one field for each choice. It writes the rows of a network, which `create_model` builds: you can print
# them, change one, and build again.

# %%
dials = Backbone(width=0.25, depth=0.33)  # those of yolov5n
spec = dials.spec(num_classes=6)
for index, line in enumerate(spec["backbone"]):
    print(index, line)

# %%
def cost(spec):
    """Parameters, and MFLOPs at 320 pixels."""
    summary = yl.create_model(spec).summary(320)
    return summary.parameters, round(summary.flops / 1e6)

edited = copy.deepcopy(spec)
edited["backbone"][6][2] = "C2f"  # <- change me: one row of stride 16
specs = {
    "as it was": spec,
    "row 6 edited": edited,
    "C2f in all stages": replace(dials, blocks="C2f").spec(6),
    "early grid": replace(dials, steps=(4, 1, 2, 2)).spec(6),
}
show_table(["network", "parameters", "MFLOPs at 320 pixels"], [[name, *cost(each)] for name, each in specs.items()])

# %% [markdown]
# Now turn them all. (The explorer counts at 256 pixels, the cell above at 320; what it calls *downsampling* is the
# field `steps`.) Block, width and depth are below the picture, the other dials under *14 more settings*. The table
# *what it costs* shows the network as it is. After your first change it has the columns *start*, *now* and *change*, so
# that you see what each dial costs. Click in the picture the place of a cell: the dashed box is what this cell can see.
# Unfold *the network* and click a layer to look at another one.

# %%
BackboneExplorer()

# %% [markdown]
# **What to notice**
# - *width* changes nothing about what cells see, but parameters grow with its square. *depth* changes both.
# - *pooling* "none": a cell of P5 sees much less. SPPF pools 5 x 5 cells three times, which adds
#   $3 \cdot 4 \cdot 32 = 384$ pixels at little cost.
# - *downsampling* "early" has no map of stride 4 at all, so P2 cannot be a tap. The explorer says so.
# - *norm* "GroupNorm": every cell sees the whole picture, by the mean and the variance of the whole map.
# - *depthwise*: far fewer operations. Does the time fall as much? A depthwise convolution does little work for each
#   number that it reads, so often it does not.
# - *taps* with P6 add a level of stride 64. Its maps are tiny, so it costs few operations, but many parameters.
#
# ## 4. SPP and SPPF: the same numbers, in less time
#
# SPP (YOLOv3-SPP, v4) pools a map with windows of 5, 9 and 13 cells. SPPF (YOLOv5) pools with 5 three times in a row. A
# maximum of maxima is the maximum: two 5-windows in a row see $5 + 4 = 9$ cells, three see 13. So with the same weights
# both give the same, and 5 x 5 windows three times compare fewer numbers than 5, 9 and 13.

# %%
def milliseconds(function, times=9):
    """Median time of a call."""
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        function()
        taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken[1:])  # the first one warms up

# %%
generator = torch.Generator().manual_seed(0)
x = torch.randn(1, 256, 20, 20, generator=generator)  # (N, C, H, W)
spp, sppf = SPP(256, 256, (5, 9, 13)).eval(), SPPF(256, 256, 5).eval()
sppf.load_state_dict(spp.state_dict())  # the pools have no weights
with torch.no_grad():
    differ = (spp(x) != sppf(x)).sum()
    times = {name: milliseconds(lambda block=block: block(x)) for name, block in (("SPP", spp), ("SPPF", sppf))}
print(f"{differ} of {x.numel():,} numbers differ;", ", ".join(f"{name} {approx(ms, '.1f')} ms" for name, ms in times.items()))
assert differ == 0

# %% [markdown]
# ## 5. RepConv: three branches in training, one convolution afterwards
#
# While it is trained, a RepConv adds a 3 x 3 convolution, a 1 x 1 convolution and the input itself, each with a
# BatchNorm of its own. In evaluation a BatchNorm is $y = s\,(x - \mu) + \beta$ with $s = \gamma / \sqrt{\sigma^2 +
# \varepsilon}$ for each channel, so all three are convolutions, and a sum of convolutions is one convolution:
#
# $$ K = s_3 K_3 + \text{pad}(s_1 K_1) + \text{pad}(s_0 I), \qquad
#    b = \sum_i (\beta_i - s_i \mu_i) $$
#
# A 1 x 1 kernel is padded with zeros to 3 x 3, and $I$ is the 1 x 1 kernel that copies each channel. First a block
# whose BatchNorms have seen some data, so that no $\mu$ is 0:

# %%
torch.manual_seed(0)
rep = RepConv(64, 64, 3, 1, identity=True)
with torch.no_grad():
    for _ in range(20):
        rep(torch.randn(8, 64, 16, 16) * 2 + 1)  # in training mode: the statistics follow
rep.eval()
x = torch.randn(1, 64, 80, 80)
with torch.no_grad():
    before = rep(x)
    slow = milliseconds(lambda: rep(x))

# %%
def folded(weight, norm):
    """Kernel and bias of a convolution with its BatchNorm: (out, in, K, K), (out,)."""
    s = norm.weight / (norm.running_var + norm.eps).sqrt()
    return weight * s[:, None, None, None], norm.bias - s * norm.running_mean

copying = torch.eye(64)[:, :, None, None]  # (64, 64, 1, 1)
branches = [(rep.conv1.conv.weight, rep.conv1.bn), (rep.conv2.conv.weight, rep.conv2.bn), (copying, rep.bn)]
with torch.no_grad():
    (wide, b3), (narrow, b1), (same, b0) = (folded(*branch) for branch in branches)
    kernel = wide + functional.pad(narrow + same, [1, 1, 1, 1])  # (64, 64, 3, 3)
    by_hand = functional.silu(functional.conv2d(x, kernel, b3 + b1 + b0, padding=1))
    rep.fuse()  # what the library does, in place
    after, fast = rep(x), milliseconds(lambda: rep(x))

# %%
scale = before.abs().max()
print(f"by hand differs by {approx((before - by_hand).abs().max(), '.0e')} of at most {approx(scale, '.1f')}")
print(f"fuse() differs by {approx((before - after).abs().max(), '.0e')}")
print(f"three branches {approx(slow, '.1f')} ms, one convolution {approx(fast, '.1f')} ms")
print("modules left:", [name for name, _ in rep.named_children()])
assert (before - after).abs().max() < 1e-4 * scale and (before - by_hand).abs().max() < 1e-4 * scale

# %% [markdown]
# **What to notice**
# - The outputs agree up to rounding. This is **re-parameterisation**: another way to write the same function. What
#   differs is training, where each branch gets a gradient and a BatchNorm of its own.
# - Fused, nothing can be trained further as before: the statistics are part of the kernel. So `fuse()` comes last.
#
# A whole network with such blocks is fused by one call, which returns a copy. Does that give the same maps?

# %%
model = yl.create_model(Backbone(width=0.25, depth=0.33, blocks="RepConv").spec(6)).eval()
with torch.no_grad():
    model.train()(small.repeat(2, 1, 1, 1))  # so that the statistics are no longer 0 and 1
    fused = model.eval().fuse()  # a copy
    pairs = list(zip(model(small), fused(small)))
difference = max((before - after).abs().max().item() for before, after in pairs)
for name, network in {"before": model, "after": fused}.items():
    print(f"{name}: {sum(parameter.numel() for parameter in network.parameters()):,} parameters")
print(f"raw maps differ by {approx(difference, '.0e')}")
assert difference < 1e-3

# %% [markdown]
# ## 6. Aliasing: shift the picture by one pixel
#
# A step of stride 2 keeps every second cell. If the picture moves by one pixel, other pixels are kept. A map of stride 8
# moves along exactly when the picture moves by 8, 16, ... pixels. In between it *cannot* move by a part of a cell, so it
# changes. How much?
#
# We cut windows out of one photograph, each shifted one pixel further, and compare their P3 with that of the first
# window, at the nearest whole number of cells. The change is counted relative to how much the map varies:
# $\lVert a - b \rVert / \lVert a - \bar a \rVert$, away from the borders.

# %%
windows = torch.cat([picture[:, :, 200:456, 200 - s : 456 - s] for s in range(17)])  # (17, 3, 256, 256)

def changes(maps):
    """P3 (17, C, 32, 32) of the shifted windows -> by how much each differs from the first."""
    first, found = maps[0, :, 8:-8, 8:-8], []
    for shift, other in enumerate(maps):
        # cells to either side
        moved = [other[:, 8:-8, 8 + k : 24 + k] for k in (shift // 8, -(-shift // 8))]
        found.append(min((first - m).norm() for m in moved) / (first - first.mean((1, 2), keepdim=True)).norm())
    return torch.stack(found)

def p3(images, stem, seed=0):
    """The map of stride 8 of an untrained backbone."""
    cut = Backbone(width=0.25, depth=0.33, taps=("P3",), pooling="none", stem=stem)
    return backbone_of(yl.create_model(cut.spec(6), seed=seed).eval())(images)[0].detach()

# %%
trained = yl.load("shapes-n").eval()  # a 6x6 stem
curves = {f"{stem}, untrained": changes(p3(windows, stem=stem)) for stem in ("6x6", "Focus", "3x3")}
curves["6x6, trained"] = changes(record_layers(trained, windows)[4].output)
soft = functional.avg_pool2d(windows, 5, 1, 2)  # each pixel the mean of 5 x 5
curves["6x6, untrained, blurred picture"] = changes(p3(soft, stem="6x6"))
for name, curve in curves.items():
    print(f"{name:32} shifted by 1: {approx(curve[1], '.0%')}, by 4: {approx(curve[4], '.0%')}, by 8: {curve[8]:.0%}")
    assert curve[[8, 16]].max() < 1e-3 < curve[1] < curve[4]
chart = show_series(curves, range(17), "how much P3 changes when the picture is shifted", "pixels", "relative change")
replace(chart, rows=((replace(chart.rows[0][0], legend="beside"),),))

# %% [markdown]
# Is one stem better than another? One network of random weights does not say. We shift by one pixel and try six seeds.

# %%
for stem in ("6x6", "Focus", "3x3"):
    tried = torch.stack([changes(p3(windows[:2], stem, seed))[1] for seed in range(6)])
    print(f"{stem:6} from {approx(tried.min(), '.0%')} to {approx(tried.max(), '.0%')}")
    assert tried.min() < 0.14 < 0.17 < tried.max() or stem == "Focus" and tried.min() < 0.15

# %% [markdown]
# **What to notice**
# - A shift by 8 or 16 pixels changes nothing: convolutions move along with the picture, by whole cells.
# - A shift by **one** pixel changes a P3 already, and half a cell most. A small object's score depends on where it
#   stands on the grid: boxes that flicker in a video come from this, too.
# - In the chart the 3x3 stem looks better. With other seeds it is not: the ranges overlap. The weights matter
#   more than the form of the stem, and training on shapes has not taught this network to be steady.
# - Blurring the picture helps, since what is finer than the grid can no longer be mistaken for something else. It also
#   takes away what a detector could have seen.
#
# ## 7. What do the choices bring? Ablations
#
# An **ablation** trains networks that differ in one choice, and are alike in everything else. `python
# benchmarks/ablations.py` does so on drawn shapes, with small networks (an eighth of the width) and a few hundred steps
# (1,000 with two pictures in a batch), each with several **seeds**: other random weights, other order of pictures. The results are recorded, with the command
# that made them. `python benchmarks/ablations.py --quick` runs one of them in about a minute.
#
# Where seeds of one network differ as much as the networks do, the ablation has decided nothing. We call a difference
# decided only if *every* seed of one is better than *every* seed of the other. Each variant is compared with the first
# of its ablation; a + means that the variant is better. All objects are of one class here, "object": to find things is
# learnt sooner than to tell them apart, and these trainings are short.

# %%
results = Path("../benchmarks/results/ablations.json")
if not results.is_file():  # the notebook alone, as on Colab
    source = "https://raw.githubusercontent.com/yolo-lite/yolo-lite/main/benchmarks/results/ablations.json"
    results, _ = urllib.request.urlretrieve(source)
ablations = json.loads(Path(results).read_text())["ablations"]
for name, found in ablations.items():
    seeds, budget = {each["seed"] for each in found["outcomes"]}, found["run"]["budget"]
    print(f"{name}: {found['size']} pixels, {budget['images']} scenes {budget['epochs']} times, seeds {sorted(seeds)}")
print("by:", *{found["run"]["command"] for found in ablations.values()})

# %%
def bars(found):
    """A bar for each seed of each variant."""
    variants = list(dict.fromkeys(each["variant"] for each in found["outcomes"]))
    variants = [name for name in found["batch"] if name in variants]
    of = {(each["variant"], each["seed"]): each["map50"] for each in found["outcomes"]}
    marks = []
    for seed in sorted({seed for _, seed in of}):
        heights = tuple(of.get((name, seed), 0.0) for name in variants)
        marks.append(Bars(tuple(variants), heights, name=f"seed {seed}", hatch=("", "/", ".", "x", "\\")[seed % 5]))
    chart = Chart(tuple(marks), found["question"], "", "", "mAP50", y_range=(0, 1), legend="beside")
    return Scene(((chart,),))

def summary(*names):
    """What the ablations decide, and their charts."""
    names = [name for name in names if name in ablations]
    for name in names:
        print(f"{name}:", *ablations[name]["verdict"].split("; "), sep="\n    ")
    return row(*(bars(ablations[name]) for name in names)) if names else print("not trained yet")

# %% [markdown]
# ### Activation, and pooling

# %%
summary("activation", "sppf")

# %% [markdown]
# ### Depth of C2f, and where the grid becomes coarser
#
# The numbers are the repeats in the four stages. "Early" has stride 8 after the first stage, "late" has one more stage
# at stride 2.

# %%
summary("depth", "downsampling")

# %% [markdown]
# ### Levels: P2 or a wider P3 for small objects, and P6

# %%
summary("small-objects", "p6")

# %% [markdown]
# ### Normalisation with two pictures in a batch
#
# BatchNorm takes mean and variance over the batch. With two pictures these are noisy, and differ from the running
# averages that evaluation uses. GroupNorm takes them over groups of channels of one picture, so the batch plays no
# part. (With batches of 2 there are four times as many steps as with 8, for the same number of pictures.)

# %%
summary("norm")

# %% [markdown]
# **What to notice**
# - Read the lines above the charts, not only the bars: they say whether every seed agrees. Five of the seven questions are
#   *not decided*: SiLU, SPPF, the depth of C2f, where to halve, and P6. One seed alone would have named a winner each time.
# - P2 makes small objects *worse* here, a wider P3 makes them better. Both see the same pictures equally often. A likely
#   reason: the map of P2 has four times as many cells as P3's, nearly all empty, and a few hundred steps to learn that.
#   So **when to expose P2**: when objects are smaller than about two cells of P3 (16 pixels in the network's input), a
#   larger input is not affordable, training is long, *and* a measurement on your own data says so.
# - P6 more than doubles the parameters, and at 128 pixels its map has 2 x 2 cells.
# - GroupNorm wins with two pictures, and with eight as well (compare their bars: every one of its seeds is higher), though
#   that pair differs less. All four were trained at a learning rate of .002, the other ablations at .004. BatchNorm's
#   running averages move by .03 in a step and may lag behind in a run this short.
# - These are small networks, short trainings, drawn pictures. What they show need not hold for 300 epochs of COCO, and
#   what papers report need not show here. That is a reason to measure on your own data.
# - What was changed costs something, too: compare the table with the bars.

# %%
rows = []
for name, found in ablations.items():
    for variant in found["batch"]:
        own = [each for each in found["outcomes"] if each["variant"] == variant]
        if own:
            mean = statistics.mean(each["map50"] for each in own)
            rows.append([name, variant, len(own), own[0]["parameters"], f"{own[0]['flops'] / 1e6:.1f}", f"{mean:.3f}"])
show_table(["ablation", "variant", "seeds", "parameters", "MFLOPs", "mean mAP50"], rows)

# %% [markdown]
# ## 8. A backbone without its last layer
#
# Backbones were made to classify pictures: average the last map over its cells, and put one linear layer on top. Take
# that last layer away, and what remains is a vector that describes a picture: `features`, (N, 3, H, W) to (N, F).
#
# Is it of use? We cut objects out of drawn scenes, take the mean vector of each kind on some of them, and give every
# other cut-out the kind of the nearest mean. No training at all. Once with the bundled detector's backbone, once with
# one of random weights.

# %%
def cut_outs(split, scenes=60, side=96):
    """Objects of drawn scenes, each in a square of its own: (m, 3, side, side), and their classes (m,)."""
    dataset, found, kinds = YoloDataset(Shapes(split, 256, scenes), 256), [], []
    for index in range(scenes):
        image = torch.from_numpy(dataset.image(index)).permute(2, 0, 1)[None].float() / 255
        objects = dataset.objects(index)
        for (x1, y1, x2, y2), kind in zip(objects.boxes.round().astype(int).tolist(), objects.cls.tolist()):
            crop = image[:, :, max(y1 - 4, 0) : y2 + 4, max(x1 - 4, 0) : x2 + 4]
            found.append(functional.interpolate(crop, size=(side, side), mode="bilinear", antialias=True))
            kinds.append(int(kind))
    return torch.cat(found), torch.tensor(kinds)

known, known_kinds = cut_outs("train")
asked, asked_kinds = cut_outs("val")
print(f"{len(known)} to learn the means from, {len(asked)} to ask about")
print("kinds:", ", ".join(trained.names))
show_image(torch.cat(list(known[:8]), 2))

# %%
@torch.no_grad()
def nearest_mean(model):
    """The fraction of cut-outs whose nearest mean is that of their own kind."""
    described, unknown = features(model, known), features(model, asked)  # (m, 256) each
    means = torch.stack([described[known_kinds == kind].mean(0) for kind in range(6)])  # (6, 256)
    return (torch.cdist(unknown, means).argmin(1) == asked_kinds).float().mean()

right = {"trained": nearest_mean(trained), "random": nearest_mean(yl.create_model("yolov5n", num_classes=6).eval())}
for name, fraction in right.items():
    print(f"{name} backbone: {approx(fraction, '.0%')} right; guessing: {1 / 6:.0%}")
assert right["trained"] > right["random"] + 0.15

# %% [markdown]
# With a last layer it is a classifier again, whose weights one trains as usual. Its layers are the detector's own.

# %%
classifier = Classifier(trained, num_classes=10).eval()
with torch.no_grad():
    logits = classifier(asked[:4])
    same = classifier.last(features(trained, asked[:4]))
print("logits", tuple(logits.shape), "from vectors of", classifier.last.in_features)
assert torch.allclose(logits, same, atol=1e-5)

# %% [markdown]
# ## 9. A transferred backbone
#
# A backbone that was trained in one detector can start another: other neck, other classes, other head. `load_backbone`
# takes every tensor that fits by name and shape, and says what it took. Here the bundled weights start a network with a
# BiFPN and two classes, and one whose stem is of another kind. (A **BiFPN** is a neck that goes up and down the levels as
# FPN and PAN do, and learns with which weight each of the joined maps counts: EfficientDet, 2019.)

# %%
start = Backbone(width=0.25, depth=0.33, neck="BiFPN")
another = yl.create_model(start.spec(2)).eval()
print(yl.load_backbone(another, trained))
assert torch.equal(features(another, asked[:4]), features(trained, asked[:4]))
partly = yl.create_model(replace(start, stem="Focus").spec(2)).eval()
print(str(yl.load_backbone(partly, trained)).replace("; ", ";\n").replace(" (", "\n    ("))

# %% [markdown]
# **What to notice**
# - The first takes all, and its vectors are the same to the last digit.
# - The second has another first layer, so that one stays random, and the message names it. What comes after was
#   trained for maps that this stem does not make: it has to be trained again, at least a little.
# - To train neck and head first and leave the backbone as it is, give `Trainer` the number of layers:
#   `freeze=10`.
#
# ## 10. A published backbone, read with these questions
#
# Code that explains YOLOv8's backbone is published in many places. One such note is widely read, and has four faults that
# the four questions of section 1 find in a minute. We show them on blocks of our own that have the same faults. A block
# gets four numbers: channels in, channels out, shortcut, and how many Bottlenecks.

# %%
class NoteC2f(nn.Module):
    """Called C2f in the note; channels, shortcut, number."""

    def __init__(self, c_in, c_out, shortcut, number):
        super().__init__()
        self.one, self.other = Conv(c_in, c_out // 2), Conv(c_in, c_out // 2)
        self.inner = Bottleneck(c_out // 2, c_out // 2, shortcut, expansion=1.0, kernels=(3, 3))
        self.last = Conv(c_out, c_out)

    def forward(self, x):
        return self.last(torch.cat((self.inner(self.one(x)), self.other(x)), 1))

def weights(module):
    return sum(parameter.numel() for parameter in module.parameters())

# %%
rows = []
for number in (1, 2, 6):
    theirs, real = NoteC2f(64, 64, True, number), C2f(64, 64, number, True)
    rows.append([number, weights(theirs), weights(real), theirs.last.conv.in_channels, real.cv2.conv.in_channels])
show_table(["fourth number", "the note's block", "C2f", "its last convolution reads", "C2f's reads"], rows)

# %% [markdown]
# **What to notice**
# - **The fourth number is never used**: with six Bottlenecks asked for there is still one, as the parameters tell.
# - **It is not a C2f.** That joins every output of its chain, so its last convolution reads $(2 + n)$ halves: 96, 128, 256
#   channels. This one reads two halves, whatever the number. It is built like a C3.
#
# Next its pooling. Inside, a 1 x 1 convolution leaves $c'$ channels; the map and three poolings of it are joined.

# %%
class NoteSPPF(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.first, self.pool = Conv(c_in, c_in // 2), nn.MaxPool2d(5, 1, 2)
        self.last = Conv(2 * (c_in // 2), c_out)  # declared: 2 c'

    def forward(self, x):
        maps = [self.first(x)]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        return self.last(torch.cat(maps, 1))  # given: 4 c'

try:
    NoteSPPF(256, 256)(torch.zeros(1, 256, 8, 8))
except RuntimeError as error:
    print(type(error).__name__, "- declared", NoteSPPF(256, 256).last.conv.in_channels, "channels, given", 4 * 128)

# %% [markdown]
# So it stops at the first picture. And where does it halve?

# %%
stages = nn.Sequential(
    Conv(3, 16, 3, 2),
    nn.Sequential(Conv(16, 32, 3, 2), NoteC2f(32, 32, True, 1)),
    nn.Sequential(Conv(32, 64, 3, 2), NoteC2f(64, 64, True, 2)),
    nn.Sequential(Conv(64, 128, 3, 2), NoteC2f(128, 128, True, 2)),
).eval()
x, strides = small, []
with torch.no_grad():
    for stage in stages:
        x = stage(x)
        strides.append(small.shape[2] // x.shape[2])
print("strides of what it passes on:", strides[1:])
print("a detector of 8, 16, 32 decodes boxes of twice their size with them")

# %% [markdown]
# The repair: the real blocks, which use their number; SPPF with $4 c'$; and one more stage. Then it is the backbone of
# YOLOv8n, and takes its weights:

# %%
repaired = nn.ModuleList([
    Conv(3, 16, 3, 2), Conv(16, 32, 3, 2), C2f(32, 32, 1, True), Conv(32, 64, 3, 2), C2f(64, 64, 2, True),
    Conv(64, 128, 3, 2), C2f(128, 128, 2, True), Conv(128, 256, 3, 2), C2f(256, 256, 1, True), SPPF(256, 256),
]).eval()  # fmt: skip
original = networks["yolov8n"].eval()
# strict: every name and every shape must fit
repaired.load_state_dict(original.layers[:10].state_dict())
x, maps = small, []
with torch.no_grad():
    for layer in repaired:
        x = layer(x)
        maps.append(x)
    theirs = {layer.index: out for layer, out in original.forward_layers(small) if layer.index in (4, 6, 9)}
for index, out in theirs.items():
    differ = (maps[index] != out).sum()
    print(f"layer {index}, stride {small.shape[2] // out.shape[2]:2}: {differ} of {out.numel():,} numbers differ")
    assert differ == 0

# %% [markdown]
# ## 11. Check: a backbone by hand
#
# Three things by hand, and compared: parameters of the whole backbone by formulas, the receptive field of its last map
# by a recursion, and a C2f by plain functions.
#
# A `Conv` has $k^2 \cdot c_\text{in} \cdot c_\text{out}$ weights and $2 c_\text{out}$ of its BatchNorm. A layer of kernel
# $k$ on a grid whose cells are $j$ pixels apart adds $(k - 1)\,j$ to the receptive field, and a stride multiplies $j$.

# %%
def conv(k, c_in, c_out):
    return k * k * c_in * c_out + 2 * c_out

def c3(c, n):
    return 2 * conv(1, c, c // 2) + conv(1, c, c) + n * (conv(1, c // 2, c // 2) + conv(3, c // 2, c // 2))

channels, repeats = [16, 32, 64, 128, 256], [1, 2, 3, 1]
total, sees, j = conv(6, 3, 16), 6, 2
for c_in, c_out, n in zip(channels, channels[1:], repeats):
    total, sees, j = total + conv(3, c_in, c_out), sees + 2 * j, 2 * j
    total, sees = total + c3(c_out, n), sees + n * 2 * j  # each Bottleneck has one 3x3
total, sees = total + conv(1, 256, 128) + conv(1, 512, 256), sees + 3 * 4 * j  # SPPF
records = [r for r in record_layers(yl.create_model(spec).eval(), small) if r.part == "backbone"]
print(f"by hand:        {total:,} parameters, sees {sees} pixels")
print(f"by the library: {sum(r.parameters for r in records):,} parameters, sees {records[-1].receptive_field.size[0]}")
assert (total, sees) == (sum(r.parameters for r in records), records[-1].receptive_field.size[0])

# %%
def layer(module, x):
    """A Conv by plain functions: convolution, BatchNorm with running statistics, SiLU."""
    y = functional.conv2d(x, module.conv.weight, padding=module.conv.padding)
    norm = module.bn
    y = functional.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return y * torch.sigmoid(y)

block = C2f(32, 32, number=2, shortcut=True).eval()
x = torch.randn(1, 32, 20, 20, generator=generator)
with torch.no_grad():
    parts = list(layer(block.cv1, x).chunk(2, 1))  # 2 x (1, 16, 20, 20)
    for bottleneck in block.m:
        parts.append(parts[-1] + layer(bottleneck.cv2, layer(bottleneck.cv1, parts[-1])))
    ours, theirs = layer(block.cv2, torch.cat(parts, 1)), block(x)
print(f"C2f: {len(parts)} maps joined, {tuple(ours.shape)}, differs by {approx((ours - theirs).abs().max(), '.0e')}")
assert torch.allclose(ours, theirs, atol=1e-5)

# %% [markdown]
# ## Your turn: write `my_fuse`
#
# A convolution and the BatchNorm behind it become one convolution. A RepConv needs it for kernels without a bias;
# some convolutions have one, and BatchNorm scales it as well. BatchNorm computes $s\,(x - \mu) + \beta$ with
# $s = \gamma / \sqrt{\sigma^2 + \varepsilon}$, one $s$ for each output channel.

# %%
import torch
from walkthrough import check

def my_fuse(conv, norm):
    """Kernel and bias of the one convolution that computes norm(conv(x)).

    conv: nn.Conv2d; its bias may be None. norm: nn.BatchNorm2d in evaluation mode.
    Returns: weight (out, in, K, K) and bias (out,).
    """
    ...

check(my_fuse)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_fuse(conv, norm):
#     s = norm.weight / (norm.running_var + norm.eps).sqrt()  # (out,)
#     bias = torch.zeros_like(s) if conv.bias is None else conv.bias
#     return conv.weight * s[:, None, None, None], norm.bias + (bias - norm.running_mean) * s
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>Twice the width: what happens to parameters, operations, and the receptive field?</summary>
#
# Parameters and operations of almost all layers become four times as many (channels in times channels out), the
# receptive field stays.
# </details>
#
# <details><summary>Twice the size of the picture: what happens to them?</summary>
#
# Parameters and receptive field stay, operations become four times as many. An object is then twice as large in pixels,
# so the same receptive field sees less of it.
# </details>
#
# <details><summary>Why do so many backbones halve at the very beginning?</summary>
#
# The first maps have the most cells, so every layer there is expensive. What is lost are details, and with them small
# objects.
# </details>
#
# <details><summary>C3 and C2f both have a chain of Bottlenecks. What differs?</summary>
#
# C3 joins the end of the chain with the other branch. C2f joins every output on the way, too. So its last convolution is
# wider, and each Bottleneck has a short way to the output. And a Bottleneck of C2f has two 3x3 windows, one of C3 a 1x1
# and a 3x3.
# </details>
#
# <details><summary>Can one continue to train a fused RepConv?</summary>
#
# As one convolution, yes; but the three branches and their BatchNorms are gone, and a fused network has no BatchNorm
# that could adapt. Keep the unfused checkpoint.
# </details>
#
# <details><summary>A paper reports that its new block gains 0.4 AP. What would you ask?</summary>
#
# With how many seeds? With the same parameters, operations and time? Was the learning rate tuned for the new one alone?
# Section 7 shows how far seeds of one network lie apart.
# </details>

# %% [markdown]
# **On to [13_anchor_free](13_anchor_free.ipynb)**: points instead of anchors, and distances as distributions.
