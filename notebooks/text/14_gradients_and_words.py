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
# # 14. Gradients and words: YOLOv9 and YOLO-World
#
# Two ideas of 2024.
#
# - YOLOv9 asks what becomes of a picture on its way through a deep network. **Programmable gradient information (PGI): in
#   training an auxiliary branch, with a loss of its own, gives the backbone further gradients; afterwards it is removed,
#   and costs nothing in use.**
# - **YOLO-World is a detector whose classes are words: it compares each region of a picture with the embeddings of texts
#   that are given when it is used, so a new class needs no training (open vocabulary).**
#
# In the library they are `yolo_lite.family.yolov9` and `yolo_lite.family.yolo_world`. Assignment and loss are YOLOv8's,
# see [notebook 13](13_anchor_free.ipynb).
#
# The last digits of a number behind ≈ may differ on your computer. The `assert` in the same cell checks what the text
# says about it.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
import json
import math
import urllib.request
from dataclasses import replace
from pathlib import Path
from textwrap import fill

import torch
from torch.nn import functional

import yolo_lite as yl
from walkthrough import approx, row, show_bars, show_image, show_series, show_table
from walkthrough.scene import Bars, Chart, Scene
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.datasets.shapes.coloured import ColouredShapes, colour_shape_pairs
from yolo_lite.family.blocks.words import ContrastiveHead
from yolo_lite.family.yolov8.network import named_spec
from yolo_lite.family.yolov9 import auxiliary_rows
from yolo_lite.family.yolov9.gradients import compare_gradients

# %%
def redrawn(scene, **changes):
    """The same panels with other fields: another window, other axes."""
    return replace(scene, rows=tuple(tuple(replace(panel, **changes) for panel in panels) for panels in scene.rows))

def recorded(name):
    """A file of benchmarks/results; the notebook alone, as on Colab, fetches it."""
    file = Path("../benchmarks/results") / name
    if not file.is_file():
        source = f"https://raw.githubusercontent.com/yolo-lite/yolo-lite/main/benchmarks/results/{name}"
        file = Path(urllib.request.urlretrieve(source)[0])
    return json.loads(file.read_text())

# %% [markdown]
# # First part: gradients
#
# ## 1. Does a deep network forget its picture?
#
# A layer computes something from what the layer before has computed, and from nothing else. So it cannot know more
# about the picture $X$ than the layer before knew. As a formula, with $I$ for mutual information and layers $f$, then
# $g$:
#
# $$ I(X, X) \;\ge\; I(X, f(X)) \;\ge\; I(X, g(f(X))) $$
#
# This is the *data processing inequality*, and the YOLOv9 paper ([arXiv 2402.13616](https://arxiv.org/abs/2402.13616))
# calls what follows from it the **information bottleneck**. The formula says that nothing is gained. It does not say
# how much is lost. We measure it.
#
# The experiment: a grey picture is cut into patches of 8 x 8 pixels, each patch is a list of 64 numbers. They go
# through layers of width 64 with random weights. Then we ask: **from the output of layer $d$, how well can the patch
# be recovered?** The readout is the best linear one (least squares), found on three other pictures. Each number it
# reads has 1 % of noise, so that it cannot amplify traces without limit.

# %%
grey = yl.tour_batch().images.double().mean(1, keepdim=True) / 255  # (4, 1, 640, 640)
small = functional.interpolate(grey, size=320, mode="area")
patches = functional.unfold(small, 8, stride=8).transpose(1, 2)  # (4, 1600, 64)
known, asked = patches[[0, 1, 3]].flatten(0, 1), patches[2]  # (4800, 64), (1600, 64)
average, spread = known.mean(0), known.std()
generator = torch.Generator().manual_seed(0)
# 32 layers
weights = torch.randn(32, 64, 64, generator=generator, dtype=torch.float64) * math.sqrt(2 / 64)

# %% [markdown]
# Three kinds of layers, from the same random numbers:
#
# - **plain**: $h \leftarrow \text{ReLU}(hW)$. ReLU throws away all that is negative.
# - **residual**: $h \leftarrow h + \tfrac12 \text{ReLU}(hW)$.
# - **reversible**: $h$ is two halves $a, b$. First $a \leftarrow a + F(b)$, then $b \leftarrow b + G(a)$. Whatever $F$
#   and $G$ are, both steps can be undone: $b \leftarrow b - G(a)$, then $a \leftarrow a - F(b)$.

# %%
def halves(h, w, sign):
    """A reversible layer (sign 1), or the same layer undone (sign -1)."""
    a, b = h.chunk(2, 1)  # (n, 32) each
    f, g = (lambda b: (b @ w[:32, :32]).relu() / 2), (lambda a: (a @ w[32:, 32:]).relu() / 2)
    if sign > 0:
        a = a + f(b)
        return torch.cat((a, b + g(a)), 1)
    b = b - g(a)
    return torch.cat((a - f(b), b), 1)

LAYERS = {
    "plain": lambda h, w: (h @ w).relu(),
    "residual": lambda h, w: h + (h @ w).relu() / 2,
    "reversible": lambda h, w: halves(h, w, 1),
}

# %%
def readout(features, wanted, asked_features, noise=0.01):
    """The best linear way from features to what is wanted, used on other features."""
    mean, scale = features.mean(0), features.std()
    a, b = ((each - mean) / scale for each in (features, asked_features))  # (n, 64)
    ridge = noise**2 * len(a) * torch.eye(64, dtype=a.dtype)
    return b @ torch.linalg.solve(a.T @ a + ridge, a.T @ (wanted - average)) + average

def detail(recovered):
    """How much of the detail (what differs from each patch's mean) is recovered: 1 all, 0 nothing."""
    fine, found = (each - each.mean(1, keepdim=True) for each in (asked, recovered))
    return 1 - ((fine - found) ** 2).sum() / (fine**2).sum()

recovered = {}
for kind, layer in LAYERS.items():
    h, other = (known - average) / spread, (asked - average) / spread
    for depth, w in enumerate(weights, 1):
        h, other = layer(h, w), layer(other, w)
        recovered[kind, depth] = readout(h, known, other)
end, end_known = other, h  # of the reversible layers

# %%
curves = {kind: [detail(recovered[kind, depth]) for depth in range(1, 33)] for kind in LAYERS}
for kind, curve in curves.items():
    print(f"{kind:10}", ", ".join(f"depth {depth}: {approx(curve[depth - 1])}" for depth in (1, 4, 16, 32)))
assert 0.8 < curves["plain"][0] < 0.95 and curves["plain"][15] < 0.4 < 0.6 < curves["residual"][15]
chart = show_series(curves, range(1, 33), "Fine detail that a linear readout recovers", "layers", "fraction")
redrawn(chart, legend="beside", y_range=(0, 1))

# %% [markdown]
# The same as a picture: the recovered patches put together again. (A part of it, enlarged.)

# %%
def put_together(patches):
    picture = functional.fold(patches.T[None], 320, 8, stride=8)[:, :, 24:184, 128:288].clamp(0, 1)
    large = functional.interpolate(picture, scale_factor=3)[0]  # (1, 480, 480)
    return show_image((large * 255).round().byte().expand(3, -1, -1))

chosen = {"the picture": asked}
places = ("plain", 2), ("plain", 16), ("residual", 16)
chosen |= {f"{kind}, layer {depth}": recovered[kind, depth] for kind, depth in places}
row(*map(put_together, chosen.values()), titles=list(chosen))

# %% [markdown]
# **What to notice**
# - In the plain network a layer or two keep most of the detail, sixteen keep a quarter. What survives is each patch's
#   brightness: the recovered picture is made of tiles.
# - With residual additions far more survives at the same depth. That is one reason why all deep detectors have them.
# - In the reversible network the *linear* readout gets worse as well. But is the detail lost? We undo the layers:

# %%
h = end
for w in weights.flip(0):
    h = halves(h, w, -1)
error = (h * spread + average - asked).abs().max()
print(f"reversible, 32 layers undone: largest error {approx(error, '.0e')},",
      f"detail recovered {approx(detail(h * spread + average), '.4f')}")
assert error < 1e-6

# %% [markdown]
# - Nothing was lost. A readout that is not linear can have all of it. "Hard to read" and "lost" are different things,
#   and this experiment's curves show the first. (Weights are random. A trained network chooses what it keeps, and a
#   classifier should forget details. A detector needs some of them: edges of boxes.)
#
# ## 2. And the gradients?
#
# A gradient says how to change a weight for *this* input. If a slightly different picture asks for something else, the
# steps of two pictures cancel. So we compare the gradients of a patch and of the same patch with a little noise: the
# cosine between both, for networks of 1 to 31 layers. (It was measured in this way by Balduzzi et al. 2017,
# [arXiv 1702.08591](https://arxiv.org/abs/1702.08591), who speak of *shattered gradients*.)

# %%
def gradient(layer, depth, x):
    """The gradient of a random linear loss behind this many layers, with respect to the input."""
    h = x = x.clone().requires_grad_()
    for w in weights[:depth]:
        h = layer(h, w)
    return torch.autograd.grad((h @ weights[31, 0]).sum(), x)[0]  # (n, 64)

x = (asked[::4] - average) / spread  # (400, 64)
near = x + 0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype)
depths, cosines, norms = (1, 2, 4, 8, 12, 16, 24, 31), {}, {}
for kind, layer in LAYERS.items():
    pairs = [(gradient(layer, depth, x), gradient(layer, depth, near)) for depth in depths]
    cosines[kind] = [functional.cosine_similarity(one, two).mean() for one, two in pairs]
    norms[kind] = [one.norm(dim=1).mean() / pairs[0][0].norm(dim=1).mean() for one, _ in pairs]
print("cosine at depth 16:", ", ".join(f"{kind} {approx(values[5])}" for kind, values in cosines.items()))
assert cosines["plain"][5] < 0.7 < 0.85 < min(cosines["residual"][5], cosines["reversible"][5])
row(redrawn(show_series(cosines, depths, x_label="layers", y_label="cosine"), y_range=(0, 1)),
    redrawn(show_series(norms, depths, x_label="layers", y_label="norm, layer 1 = 1", log=True), legend="none"),
    titles=["Do two near inputs ask for the same?", "How large is the gradient at the input?"])

# %% [markdown]
# **What to notice**
# - Behind 16 plain layers two nearly equal inputs have gradients of different directions. Residual and reversible
#   layers keep them together.
# - The length says little: plain layers with this start (He) keep it in the same order of size, residual sums let it
#   grow. A gradient may have a good length and a bad direction.
#
# YOLOv9's argument is this one: what a loss at the end of a deep network cannot see any more, it cannot give reliable
# gradients for.
#
# ## 3. Programmable gradient information
#
# The remedy of the paper: **beside the main branch, training has an auxiliary branch** that keeps the information,
# because it starts from the picture again and *adds* maps of the main branch, as in the reversible layers above.
# It has a detection head and a loss of its own. Its gradients flow into the main branch where these maps come from,
# past everything that lies behind. After training it is dropped.
#
# The paper draws the idea and gives no list of layers. The library's rows are its own design, for YOLOv9-T:

# %%
spec = named_spec("yolov9t")
first = len(spec["backbone"]) + len(spec["head"])
rows = [[first + k, str(source), kind, str(arguments)]
        for k, (source, _, kind, arguments) in enumerate(auxiliary_rows(spec))]
show_table(["layer", "from", "kind", "arguments"], rows)

# %% [markdown]
# **What to notice**
# - Layers 23 to 25 (`CBLinear`) are 1x1 convolutions of layers 4, 6 and 9 of the main backbone, one per level (P3, P4,
#   P5). Each is cut into one map for its own level of the branch and one for every finer level: 1, 2 and 3 maps.
# - Layer 26 reads the **image**. What follows repeats the backbone. `CBFuse` adds the maps of its own level and of all
#   coarser ones, enlarged: so coarse layers of the main branch get gradients of fine levels, too.
# - The last row is a `Detect` on the branch's three levels. There is no neck in between.
#
# In training the network gives six maps instead of three, and the loss is
#
# $$ \text{loss} = \text{loss}_\text{main} + 0.25 \cdot \text{loss}_\text{auxiliary} $$
#
# The weight 0.25 is the library's choice, too (`settings.auxiliary`). Dropping the branch must not change anything:

# %%
pgi = yl.create_model("yolov9t-pgi", names=Shapes.names, seed=0)
slim = pgi.without_auxiliary()
batch = next(iter(yl.create_dataloader(yl.YoloDataset(Shapes("val", 128, 4), 128), 4)))
images, targets = batch.images.float() / 255, batch.targets  # (4, 3, 128, 128), (n, 6)
with torch.no_grad():
    both = [model.eval()(images) for model in (pgi, slim)]
    training = pgi.train()(images)
size = lambda model: sum(parameter.numel() for parameter in model.parameters())
print(f"parameters: training {size(pgi):,}, after dropping {size(slim):,}")
print("maps in training:", len(training), " in use:", len(both[0]))
differ = sum(int((a != b).sum()) for a, b in zip(*both))
print(f"with and without the branch {differ} of {sum(raw.numel() for raw in both[0])} numbers of the output differ")

# %% [markdown]
# The branch runs in training mode only, so in use the full network pays nothing for it either, except memory.
#
# What does it do to the gradients? `compare_gradients` computes the gradient of every main layer twice: for the main
# loss alone, and with a quarter of the branch's loss added.

# %%
table = compare_gradients(pgi, images, targets)
backbone = [line for line in table.rows if line.index <= 9]
behind = [line for line in table.rows if line.index > 9]
for line in backbone:
    ratio, cosine = line.norm_with / line.norm, line.cosine
    print(f"layer {line.index} {line.kind:13} norm with / without {approx(ratio, '.3f')},",
          f"cosine {approx(cosine, '.4f')}")
    assert 0.9 < ratio < 1.1 and 0.98 < cosine < 0.99999
changed = sum(line.norm != line.norm_with for line in behind)
print(f"neck and head: the norm differs in {changed} of {len(behind)} layers")

# %% [markdown]
# Only layers 0 to 9 change, the backbone: neck and head are not on the way to the branch. And in a new network they
# change very little. What about a trained one? The benchmark of the next section has recorded the same table when
# training begins and when it has ended (medians of three seeds):

# %%
record = recorded("programmable_gradients.json")
def median(when, index, value):
    """Of the three seeds, for one layer."""
    lines = [line for line in record["gradients"] if (line["when"], line["index"]) == (when, index)]
    return sorted(value(line) for line in lines)[len(lines) // 2]

indices = sorted({line["index"] for line in record["gradients"]})
def curves_of(value):
    return {when: [median(when, index, value) for index in indices] for when in ("start", "end")}

norms = curves_of(lambda line: line["norm_with"] / line["norm"])
directions = curves_of(lambda line: line["cosine"])
row(redrawn(show_series(norms, indices, x_label="main layer", y_label="ratio"), upright=(9.5,)),
    redrawn(show_series(directions, indices, x_label="main layer", y_label="cosine"), upright=(9.5,)),
    titles=["Norm with the branch / without", "Cosine, with and without"])

# %% [markdown]
# **What to notice** (the dotted line: left of it the backbone)
# - When training begins, the branch hardly changes a gradient: in all seeds the norms are within 7 %, the cosines above
#   0.98.
# - When it has ended, layers 5 to 9 (strides 16 and 32) have gradients that are longer by 17 to 32 %, and that point
#   somewhere else: cosines from 0.80 to 0.92, the lowest in layer 9, the deepest. In layers 0 to 4 they stay near 0.99.
# - These are medians, and the seeds lie far apart. In layers 5 to 9, at the end: seed 0 longer by 23 to 62 %, cosines
#   0.72 to 0.85; seed 1 by 11 to 38 %, 0.80 to 0.92; seed 2 by 11 to 23 %, 0.91 to 0.98. All three agree in the
#   direction, not in the size.
# - So the branch asks the deep half of the backbone for something that the main loss does not ask for. Is it something
#   useful? A gradient does not tell.
#
# ## 4. Does it help?
#
# `benchmarks/programmable_gradients.py` trains a small YOLOv9 with and
# without the branch: three seeds, and for each seed the same start of the main layers, the same scenes in the same
# order, and the same number of steps. It is measured without the branch.

# %%
budget, outcomes = record["budget"], record["outcomes"]
print(f"{outcomes[0]['steps']} steps of 8 scenes, {budget['size']} px, weight of the branch's loss {budget['weight']}")
table_rows = [[o["seed"], "with" if o["branch"] else "without", f"{o['map50']:.3f}", f"{o['map']:.3f}",
               f"{o['seconds']:.0f}"] for o in outcomes]
show_table(["seed", "branch", "mAP50", "mAP", "CPU seconds of training"], table_rows)

# %%
seeds = tuple(f"seed {o['seed']}" for o in outcomes if o["branch"])
marks = tuple(Bars(seeds, tuple(o["map50"] for o in outcomes if o["branch"] == branch), name=name, hatch=hatch)
              for branch, name, hatch in [(False, "without", ""), (True, "with the branch", "/")])
Scene(((Chart(marks, "Small YOLOv9 on drawn scenes, equal steps", "", "", "mAP50", legend="beside"),),))

# %% [markdown]
# **What to notice**
# - **No gain can be seen here.** With the branch mAP50 is 0.02 higher with seed 0, and 0.03 lower with seeds 1
#   and 2. The medians are equal (0.13). Seeds differ by 0.047 among themselves, so three of them cannot say
#   which sign the true difference has, only that it is not large in this budget.
# - Longer trainings do not decide it either: after 1100 steps `python benchmarks/family.py v9 v9-pgi` has mAP50 0.661,
#   0.681, 0.662 without and 0.661, 0.736, 0.651 with the branch ([results](../benchmarks/RESULTS.md)).
# - Training takes half as much time again.
# - This does not contradict the paper, which trains deeper networks for 500 epochs on COCO. Ours has ten rows in its
#   backbone and 400 steps, and is still early in training. And the rows of the branch and its weight of 0.25 are ours.
# - Try it: `python benchmarks/programmable_gradients.py --epochs 40 --weight 1` (half an hour).
#
# # Second part: words
#
# ## 5. A class is a direction
#
# Every detector so far ends with one output per class. "Zebra" is row 22 of the last weight, and for a new class a new
# row has to be trained. YOLO-World ([arXiv 2401.17270](https://arxiv.org/abs/2401.17270)) ends differently. At each
# cell the network gives an **embedding** $x$, a list of $D$ numbers, and a text encoder gives one, $t$, for every
# text. The score is how well their directions agree: the cosine.
#
# $$ s = \tau\,\frac{x \cdot t}{|x|\,|t|} + b, \qquad \tau = \frac{1}{0.07} = 14.2857, \qquad b = -10 $$
#
# $\tau$ is one over the *temperature*, 0.07, where CLIP's training starts
# ([arXiv 2103.00020](https://arxiv.org/abs/2103.00020)). $\tau$ is learned as its logarithm, and $b$ is learned as it
# is. Why a factor?
# A cosine lies between -1 and 1. Without a factor the sigmoid of it lies between 0.27 and 0.73: a network could never
# be sure.

# %%
x, t = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0])
cos = float(x @ t / (x.norm() * t.norm()))
print(f"cosine of (3, 4) and (1, 0): {cos:.1f}; of (3, 4) and (0, 2): {4 / 5:.1f}")
print(f"scale 1 / 0.07 = {1 / 0.07:.4f};  a cosine of 0.3 becomes {0.3 / 0.07:.6f}")
head = ContrastiveHead()  # with its start values
given, texts = torch.tensor([0.3, math.sqrt(1 - 0.3**2)]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])
logits = head(given.view(1, 2, 1, 1), texts[None])[0, :, 0, 0]  # (2,) one for each text
by_library = [round(value, 4) for value in logits.tolist()]
print("with the bias, by the library:", by_library, " the first by hand:", round(0.3 / 0.07 - 10, 4))

# %%
angles = torch.linspace(-1, 1, 81)
sharp = {f"scale {scale:.4g}": (scale * angles).sigmoid() for scale in (1, 4, 1 / 0.07, 50)}
shifted = {f"bias {bias}": (angles / 0.07 + bias).sigmoid() for bias in (0, -5, -10)}
row(show_series(sharp, angles, x_label="cosine", y_label="score"),
    show_series(shifted, angles, x_label="cosine", y_label="score"),
    titles=["temperature, bias 0", "bias, scale 14.29"])

# %% [markdown]
# **What to notice**
# - The larger the scale (the lower the temperature), the sharper the decision.
# - With $b = -10$ even a cosine of 0.5 has a score of only 0.05. At the start nearly all pairs of a region and a text
#   are wrong, so scores should start low: the same idea as RetinaNet's prior.
# - CLIP puts a softmax over all texts. YOLO-World takes a sigmoid for each text, in YOLOv8's loss: an object may be
#   both "dog" and "animal", and a region may be nothing.
#
# ## 6. The gradient of the cosine
#
# With unit vectors $\hat x = x / |x|$, $\hat t = t / |t|$ and $c = \hat x \cdot \hat t$:
#
# $$ \frac{\partial c}{\partial x} = \frac{\hat t - c\,\hat x}{|x|}, \qquad
# \frac{\partial c}{\partial t} = \frac{\hat x - c\,\hat t}{|t|} $$
#
# By hand for $x = (3, 4)$, $t = (1, 0)$: $c = 0.6$, $\hat x = (0.6, 0.8)$, so
# $\partial c / \partial x = ((1, 0) - 0.6 \cdot (0.6, 0.8)) / 5 = (0.128, -0.096)$.

# %%
leaf, words = x.clone().requires_grad_(), t.clone().requires_grad_()
by_autograd = torch.autograd.grad(functional.cosine_similarity(leaf, words, dim=0), (leaf, words))
unit_x, unit_t = x / x.norm(), t / t.norm()
by_hand = (unit_t - cos * unit_x) / x.norm(), (unit_x - cos * unit_t) / t.norm()
for name, hand, auto in zip(("x", "t"), by_hand, by_autograd):
    print(f"d cos / d {name}: by hand {[round(v, 4) for v in hand.tolist()]},",
          f"by autograd {[round(v, 4) for v in auto.tolist()]}")
    assert torch.allclose(hand, auto, atol=1e-6)
print(f"gradient times x: {abs(float(by_hand[0] @ x)):.6f}")

# %% [markdown]
# **What to notice**
# - The gradient is at a right angle to $x$ (their product is 0): the loss turns an embedding and does not ask for
#   another length.
# - It is divided by $|x|$. Long embeddings turn slowly.
# - Where $x$ and $t$ agree already, $\hat t - c\,\hat x$ is 0. Where they are *opposite*, too. In between, at a
#   right angle, it is largest.
#
# The second version of YOLO-World replaces $|x|$ by BatchNorm: in use that is a fixed factor, which section 8 needs.
# Only $t$ has unit length then, so the product is no cosine any more, and may be larger than 1. Its factor starts at
# $e^{-1} = 0.37$ instead of 14.29.
#
# ## 7. A vocabulary given as text
#
# The published networks take CLIP's text encoder, which has read 400 million captions. The library's small one
# (`TextEncoder`) has one learned vector for each word of its training phrases. **The embedding of a phrase is the sum
# of its words'.** It is trained together with the detector.
#
# `"yolo-world"` below is a small network of the library with that encoder and two levels, of strides 8 and 16; it is none
# of the published sizes, which are `"yolov8s-worldv2"` and others.

# %%
world = yl.create_model("yolo-world", names=["red circle", "blue square"], seed=0)
picture = images[:1]
with torch.no_grad():
    # untrained, but BatchNorm has seen pictures: otherwise all features are close to 0
    for _ in range(60):
        world(images)
    two = world.eval()(picture)
    # nothing is trained
    world.set_vocabulary(["square", "red circle", "red square", "blue circle"])
    four = world(picture)
    phrase, red, square = world.embeddings(["red square", "red", "square"])
print("P3 with two classes", tuple(two[0].shape), "with four", tuple(four[0].shape))
print("the last number: 4 sides x 16 bins + classes")
gap = (phrase - red - square).abs().max()
print("'red square' - ('red' + 'square'): largest difference", approx(gap, ".0e"))
assert gap < 1e-6
try:
    world.set_vocabulary(["green square"])
except ValueError as problem:
    print(fill(str(problem), 84))

# %% [markdown]
# **What to notice**
# - The number of classes is a property of the vocabulary and no longer of the weights.
# - "red square" was in no training phrase, and has an embedding all the same, made of two known words.
# - "green" was in none. This encoder has nothing to say about it, and the error says so. CLIP's would have something:
#   it has read of nearly everything. *Open* vocabulary means as open as the text encoder.
#
# Words enter a second time: in the neck, `C2fAttn` weights each place of the map by its largest similarity to **any**
# of the texts. So what is found for one text depends a little on which other texts are asked for:

# %%
with torch.no_grad():
    # "red circle" in both
    change = max((a[..., 64:65] - b[..., 65:66]).abs().max() for a, b in zip(two, four))
print(f"logits of 'red circle' in the two vocabularies differ by up to {approx(change, '.1e')}")
assert 0 < change < 1

# %% [markdown]
# ## 8. Words as weights
#
# For a fixed vocabulary the text encoder is not needed in use. The texts' embeddings are constants, and comparing
# with constants is a 1x1 convolution whose rows are the texts: $\tau\, \hat t_k$ is row $k$ of the weight, $b$ the
# bias. With BatchNorm in front, all of it merges into the last convolution, and the head **is** YOLOv8's. The paper
# calls this *re-parameterisation*; here it is `fixed()`.

# %%
fixed = world.fixed()
with torch.no_grad():
    pairs = zip(world(picture), fixed(picture))
    error = max((a - b).abs().max() for a, b in pairs)
print(f"largest difference of the outputs: {approx(error, '.0e')}")
print(f"parameters with text encoder {size(world):,}, as weights {size(fixed):,}")
print("does the second one read texts?", "no" if fixed.is_fixed else "yes")
for name, model in {"before": world, "after": fixed}.items():
    print(f"last layer of the classes {name}:", model.layers[-1].cv3[0][-1])
assert error < 1e-4

# %% [markdown]
# ## 9. LVIS: why words pay
#
# COCO has 80 classes, most of them with thousands of examples. **LVIS**
# ([arXiv 1908.03195](https://arxiv.org/abs/1908.03195)) names what is in COCO's pictures more finely: 1,203 classes in
# version 1, from frequent to rare. How many training images has a class? Published counts:

# %%
groups = {"frequent: more than 100 images": 405, "common: 11 to 100": 461, "rare: 1 to 10": 337}
rare, count = groups["rare: 1 to 10"], sum(groups.values())
print(f"{count:,} classes; {rare / count:.0%} of them have at most ten images")
show_bars(groups, "LVIS v1: classes by the number of training images", "classes")

# %% [markdown]
# **What to notice**
# - Two thirds of the classes have at most 100 training images, and more than a quarter have at most ten.
#
# A class output of its own, learned from three images? A word has an embedding without any image of LVIS.
# YOLO-World-L has **35.4 AP on LVIS minival, zero-shot** (published, not measured here;
# [arXiv 2401.17270](https://arxiv.org/abs/2401.17270)).
# *Zero-shot* means here:
#
# - It was not trained on LVIS, and the class names were given as texts.
# - It was trained on other pictures with boxes and words: Objects365 (365 classes), GoldG (boxes with captions), and
#   CC3M (captions, boxes made by another network). Many of LVIS's classes occur there under the same word. So it is
#   zero-shot for the *data set*, and not for each *object*.
# - It is no number of COCO, and cannot be compared with the APs of YOLOv8 or v9 (notebook 13): other classes.
#
# ## 10. Pairs that were never seen
#
# Can we see open vocabulary happen, with nothing hidden in 400 million captions? Drawn scenes, whose classes are
# pairs of six colours and six shapes. Six of the 36 pairs are left out of training, and asked for by their words.
# Every colour and every shape is left out once, and each seed leaves out others.

# %%
record = recorded("open_vocabulary.json")
outcomes = record["outcomes"]
# of seed 0
unseen = ["red ring", "yellow tile", "green triangle", "blue star", "purple heart", "black moon"]
trained = ColouredShapes("train", 128, 100, 0, [pair for pair in colour_shape_pairs() if pair not in unseen])
tested = ColouredShapes("test", 128, 100, 0)
def scene_of(source, index):
    """A scene with its boxes; pairs that seed 0 has not seen stand in capitals."""
    labels = source.labels.of(index)
    names = [source.names[cls] for cls in labels.cls]
    names = [name.upper() if name in unseen else name for name in names]
    return show_image(source.read(index), yl.xywh_to_xyxy(torch.from_numpy(labels.boxes) * 128), names)

asked_for = next(k for k in range(100) if sum(tested.names[c] in unseen for c in tested.labels.of(k).cls) >= 2)
scenes = scene_of(trained, 0), scene_of(trained, 1), scene_of(tested, asked_for)
row(*scenes, titles=["training", "training", "test, unseen in CAPITALS"])

# %% [markdown]
# **What to notice**
# - Two of the pairs on the right stand in capitals: no training scene has a green triangle or a blue star. But green,
#   blue, triangles and stars do occur in training, each with other partners.
#
# Two **controls** stand beside the measurement. Without them a good number might have other reasons.
#
# - *No words*: every phrase is one word of its own ("red-ring"). An unseen one has a random vector that nothing has
#   trained. It should find nothing.
# - *Permuted*: the trained network, but each colour's vector becomes that of the next colour, each shape's that of the
#   next shape. If the network reads the words, it finds the wrong things.

# %%
def chart_of(control):
    own = [outcome for outcome in outcomes if outcome["control"] == control]
    bars = [Bars(tuple(f"seed {o['seed']}" for o in own), tuple(o[key] for o in own), name=f"{key} pairs", hatch=hatch)
            for key, hatch in (("seen", ""), ("unseen", "/"))]
    legend = "inside" if control == "permuted" else "none"
    return Chart(tuple(bars), control, "", "", "AP50", y_range=(0, 1), legend=legend)

print(f"{record['budget']['images']} scenes, {record['budget']['epochs']} times; medians of three seeds:")
for control, median in record["medians"].items():
    print(f"{control:9} seen {median['seen']:.3f}, unseen {median['unseen']:.3f}")
assert record["medians"]["words"]["ratio"] > 0.5 > 0.2 > record["medians"]["no words"]["ratio"]
Scene((tuple(map(chart_of, ("words", "no words", "permuted"))),))

# %% [markdown]
# **What to notice**
# - With shared words, unseen pairs are found nearly as well as seen ones, in all three seeds.
# - Without shared words the network is as good on what it has seen, and finds next to nothing else. With permuted
#   words it finds next to nothing at all: it does read the words.
#
# **What it shows**: known words, *recombined*, are understood. "Red" learned from red stars means the same in "red
# ring". **What it does not show**: a new colour, a new shape, a synonym ("crimson"), or a phrase whose order matters
# ("red on blue"). A sum of word vectors cannot tell "red on blue" from "blue on red". And six colours on drawn scenes
# are not the world.
#
# Training and measuring again takes two to three CPU minutes a seed:
# `python benchmarks/open_vocabulary.py --seeds 0 1 2`.
#
# ## 11. Check: both ideas by hand
#
# The loss with the branch is the main loss plus a quarter of the branch's, and so are the gradients. And all class
# logits of YOLO-World's head follow from embeddings, BatchNorm, unit vectors and one factor.

# %%
loss = pgi.criterion(yl.Hyperparameters())
# three main ones, three of the branch
maps = [raw.detach().requires_grad_() for raw in training]
total = loss(maps, targets).total
main, branch = loss(maps[:3], targets).total, loss(maps[3:], targets).total
ours, theirs = torch.autograd.grad(main + 0.25 * branch, maps), torch.autograd.grad(total, maps)
error = max((a - b).norm() / b.norm() for a, b in zip(ours, theirs))
print(f"loss by hand {approx(main + 0.25 * branch)}, by the library {approx(total)};",
      f"gradients differ by {approx(error, '.0e')}")
assert torch.isclose(main + 0.25 * branch, total, rtol=1e-5) and error < 1e-5

# %%
detect, features = world.layers[-1], {}
hook = detect.register_forward_pre_hook(lambda module, inputs: features.update(maps=inputs[0]))
with torch.no_grad():
    outputs, t = world(picture), world.embeddings()  # t (4, 64)
    hook.remove()
    for level, raw in enumerate(outputs):
        x = detect.cv3[level](features["maps"][level])[0].flatten(1).T  # (H W, 64) embeddings of regions
        norm, scale, bias = detect.cv4[level].norm, detect.cv4[level].logit_scale.exp(), detect.cv4[level].bias
        x = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        by_hand = scale * x @ (t / t.norm(dim=1, keepdim=True)).T + bias  # (H W, 4)
        difference = (by_hand - raw[0, 0, ..., 64:].flatten(0, 1)).abs().max()
        print(f"level {level}: {by_hand.numel()} logits, largest difference {approx(difference, '.0e')}")
        assert difference < 1e-4

# %% [markdown]
# ## Your turn: write `my_contrastive_score`
#
# How well does each region fit each text? The cosine of their embeddings, times a factor, plus a bias. The factor is
# learnt as a logarithm, so that it stays positive: it is $e^{\text{logit scale}}$.

# %%
import math
import torch
from walkthrough import check

def my_contrastive_score(x, text, logit_scale, bias):
    """Logits of regions and texts.

    x: (n, D) embeddings of regions. text: (K, D) embeddings of texts.
    logit_scale, bias: numbers.
    Returns: (n, K) logits.
    """
    ...

check(my_contrastive_score)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_contrastive_score(x, text, logit_scale, bias):
#     x = x / x.norm(dim=1, keepdim=True)
#     text = text / text.norm(dim=1, keepdim=True)
#     return math.exp(logit_scale) * x @ text.T + bias
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>Can a layer know more about the picture than the layer before?</summary>
#
# No, if it reads that layer alone. A skip connection or YOLOv9's branch, which reads the image again, is a second way
# in (section 1).
# </details>
#
# <details><summary>A linear readout recovers little from a reversible network. Is the information lost?</summary>
#
# No. The layers can be undone, and everything is there. It is only hard to read (section 1).
# </details>
#
# <details><summary>What does the auxiliary branch cost in use?</summary>
#
# Nothing. It is dropped, and no number of the output differs. It costs time and memory in training (sections 3 and 4).
# </details>
#
# <details><summary>Why do the neck's gradients not change with the branch?</summary>
#
# The branch reads layers 4, 6 and 9. Nothing of its loss depends on the neck (section 3).
# </details>
#
# <details><summary>Why is a cosine multiplied by 14?</summary>
#
# Otherwise its sigmoid stays between 0.27 and 0.73 (section 5).
# </details>
#
# <details><summary>Region and text have opposite directions. How large is the gradient of the cosine?</summary>
#
# Zero, as for equal directions: $\hat t - c\,\hat x = \hat t + \hat x = 0$ for $\hat t = -\hat x$. It is a maximum
# or minimum (section 6).
# </details>
#
# <details><summary>Does 35.4 AP zero-shot mean that YOLO-World had never seen those objects?</summary>
#
# No. It had not seen LVIS. Other data sets with many of the same words, and pictures of them, it had (section 9).
# </details>
#
# <details><summary>Why are the two controls needed?</summary>
#
# Perhaps the scenes are so easy that any vector finds the one pair left, or the network finds objects without
# reading. Then the controls would find unseen pairs as well. They do not (section 10).
# </details>

# %% [markdown]
# **On to the [gallery](90_gallery.ipynb)**: every explorer on one page, with your pictures and your model.
