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
# # 8. The training loop: many small steps, and how not to fall
#
# [07_backpropagation](07_backpropagation.ipynb) ended with one gradient. One step along it makes the network a little better. Training repeats that step
# half a million times, and the art is to keep it from going wrong on the way. This notebook starts with a loop of
# five lines, asks what can go wrong with it, and adds one remedy after the other. At the end the whole loop stands on
# one page and trains, bit for bit, the same weights as the library's `Trainer`.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %% [markdown]
# ## 1. The loop in five lines
#
# Take a batch. Ask the network. Compare. Find out who is to blame. Take a step. Here it is, on drawn scenes of 96
# pixels, with nothing else.

# %%
import time
from itertools import pairwise

import torch
from torch import nn

import yolo_lite as yl
from walkthrough import LiveTraining, ScheduleExplorer, approx, row, show_bars, show_series, show_table
from yolo_lite.datasets.shapes import Shapes

torch.set_num_threads(1)  # networks as small as these are slower with two: section 15
SIZE = 96
scenes = yl.YoloDataset(Shapes("train", SIZE, count=16), SIZE, augment=True)
loader = yl.create_dataloader(scenes, batch_size=8, shuffle=True)
model = yl.create_model("yolov5n", names=scenes.names)
hyp = yl.Hyperparameters()
loss = model.criterion(hyp, SIZE)

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
for batch in loader:
    maps = model(batch.images / 255)  # what does the network predict?
    parts = loss(maps, batch.targets)  # how wrong is it?
    optimizer.zero_grad()
    parts.total.backward()  # which weight is to blame?
    optimizer.step()  # every weight a little better
    print("a step over", len(batch.images), "images; the loss was", approx(parts.total, ".1f"))
    assert 0.3 < parts.total < 6

# %% [markdown]
# One pass over all images is an **epoch**. Here it is two steps. On COCO, with batches of 64, it would be 1849.
#
# A number behind ≈ may end in other digits on your computer: processors do not all add up in the same order. The
# `assert` below such a number stops the notebook where it is not what the text says.
#
# Nothing is wrong with these five lines, but seven questions are open. Are all weights alike? How does a gradient become a
# step? How large is a step? What if a batch is too large for the memory? What if a gradient is huge? Could numbers be
# smaller? Which weights do we keep in the end, those of the last step?

# %% [markdown]
# ## 2. Three groups of parameters
#
# Not all weights are alike. The optimiser gets them in three groups:
#
# - **weights** of convolutions: they mix features. They get **weight decay**: every step makes them a little smaller;
# - **norms**, the scales of BatchNorm, and
# - **biases**: neither gets decay.
#
# Why decay at all? The usual reason is that a network which explains the images with small weights is less likely to have
# learnt them by heart. Before BatchNorm, as the next cell shows, the size of a weight changes nothing. There decay does
# something else: it keeps weights from growing, and the larger they are, the less a step turns them.

# %%
from yolo_lite.train.optim import parameter_groups

groups = parameter_groups(model)
counts = {name: sum(p.numel() for p in group) for name, group in groups._asdict().items()}
print("parameters in no group:", sum(p.numel() for p in model.parameters()) - sum(counts.values()))
show_table(["group", "tensors", "numbers"], [[n, len(getattr(groups, n)), counts[n]] for n in counts])

# %% [markdown]
# Why only the weights? A convolution that is followed by BatchNorm may be made three times as large, and nothing
# changes: BatchNorm divides by the size again. So decay does no harm there. Nothing behind the scale of BatchNorm
# makes up for it, and a bias only sets where zero is. Decay of these would change what the network predicts. See:

# %%
conv, norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
images = batch.images / 255
with torch.no_grad():
    conv.weight.normal_(generator=torch.Generator().manual_seed(0))
    before = norm(conv(images))
    conv.weight *= 3
    after_conv = (norm(conv(images)) - before).abs().max()
    norm.weight *= 3
    after_norm = (norm(conv(images)) - before).abs().max()
print("the output changes by up to", approx(after_conv, ".1g"), "with the convolution times 3,")
print("and by up to", approx(after_norm, ".1f"), "with the scale of BatchNorm times 3")
assert after_conv < 1e-2 and after_norm > 1

# %% [markdown]
# **What to notice**
# - Nearly all numbers are weights. Biases and norms are less than one in a hundred.
# - What decides is the kind of module that a parameter belongs to. Any model can be sorted so, not only YOLOv5.
# - 1,762,432 weights belong to *this* yolov5n, which knows six classes of shapes. The explorer of section 4 counts one for COCO's
#   80 classes: 1,861,888. The difference lies in the head alone: a class more costs three anchors times (64 + 128 + 256)
#   channels, 1,344 weights, and 74 of them are 99,456.

# %% [markdown]
# ## 3. From a gradient to a step: six optimisers
#
# A gradient says which way is down. What the **optimiser** makes of it is another matter. Imagine a long, narrow valley:
# steep across, nearly flat along. The gradient points across. A step that is short enough not to jump out of the valley
# is far too short to get along it. Six rules, each of two lines, with $g$ the gradient, $\eta$ the learning rate, and $v$
# and $s$ two running memories of each weight:
#
# | rule | memory | step |
# |---|---|---|
# | **SGD** | none | $w \leftarrow w - \eta\, g$ |
# | **momentum** | $v \leftarrow m v + g$ | $w \leftarrow w - \eta\, v$ |
# | **Nesterov** | $v \leftarrow m v + g$ | $w \leftarrow w - \eta\,(g + m v)$ |
# | **RMSprop** | $s \leftarrow a s + (1 - a)\, g^2$ | $w \leftarrow w - \eta\, g / \sqrt{s}$ |
# | **Adam** | both, $v \leftarrow b v + (1 - b)\, g$ | $w \leftarrow w - \eta\, \hat v / \sqrt{\hat s}$ |
# | **AdamW** | as Adam | first $w \leftarrow w - \eta \cdot \text{decay} \cdot w$, then as Adam |
#
# ($\hat v$ is $v / (1 - b^t)$ after $t$ steps, and $\hat s$ alike: both memories start at 0 and would be too small at first.)

# %%
def plain(g, memory):
    return g


def momentum(g, memory):
    memory["v"] = 0.9 * memory.get("v", 0) + g
    return memory["v"]


def nesterov(g, memory):
    return g + 0.9 * momentum(g, memory)


def rmsprop(g, memory):
    memory["s"] = 0.99 * memory.get("s", 0) + 0.01 * g**2
    return g / (memory["s"].sqrt() + 1e-8)


def adam(g, memory):
    t = memory["t"] = memory.get("t", 0) + 1
    memory["v"] = 0.9 * memory.get("v", 0) + 0.1 * g
    memory["s"] = 0.999 * memory.get("s", 0) + 0.001 * g**2
    return memory["v"] / (1 - 0.9**t) / ((memory["s"] / (1 - 0.999**t)).sqrt() + 1e-8)


# %% [markdown]
# The valley is $\frac{1}{2}\left(0.04\,(x - 6)^2 + (y - 1)^2\right)$: 25 times as steep across as along. A hundred steps of
# each, once by these rules and once by `torch.optim`:

# %%
lowest, curvature, begin = torch.tensor([6.0, 1.0]), torch.tensor([0.04, 1.0]), torch.tensor([-8.0, -2.5])
kit = torch.optim
optimisers = {  # the rule, its learning rate, its weight decay, PyTorch's own
    "SGD": (plain, 1.8, 0.0, lambda w: kit.SGD(w, lr=1.8)),
    "momentum": (momentum, 0.15, 0.0, lambda w: kit.SGD(w, lr=0.15, momentum=0.9)),
    "Nesterov": (nesterov, 0.15, 0.0, lambda w: kit.SGD(w, lr=0.15, momentum=0.9, nesterov=True)),
    "RMSprop": (rmsprop, 0.1, 0.0, lambda w: kit.RMSprop(w, lr=0.1)),
    "Adam": (adam, 0.3, 0.0, lambda w: kit.Adam(w, lr=0.3)),
    "AdamW": (adam, 0.3, 0.1, lambda w: kit.AdamW(w, lr=0.3, weight_decay=0.1)),
}


def walk(rule, lr, decay, make, steps=100):
    """Where a rule is after each step, by hand and by torch.optim, (steps + 1, 2) each."""
    w, memory, by_hand = begin, {}, [begin]
    moving, by_torch = begin.clone().requires_grad_(), [begin]
    optimiser = make([moving])
    for _ in range(steps):
        w = w - lr * decay * w - lr * rule(curvature * (w - lowest), memory)
        optimiser.zero_grad()
        (curvature * (moving - lowest) ** 2 / 2).sum().backward()
        optimiser.step()
        by_hand, by_torch = [*by_hand, w], [*by_torch, moving.detach().clone()]
    return torch.stack(by_hand), torch.stack(by_torch)


# %%
paths = {name: walk(*settings) for name, settings in optimisers.items()}
gap = max((by_hand - by_torch).abs().max() for by_hand, by_torch in paths.values())
print("largest difference between the rules and torch.optim:", approx(gap, ".0e"))
assert gap < 1e-4
rows = []
for name, (path, _) in paths.items():
    away = (path - lowest).norm(dim=1)
    # the first step after which it stays within 0.5
    inside = int((away > 0.5).nonzero().max()) + 1
    first = [f"{moved:.1f}" for moved in path[1] - path[0]]
    rows.append([name, *first, f"{path[:, 1].max():.1f}", inside if inside <= 100 else "not in 100", f"{away[-1]:.1f}"])
show_table(["optimiser", "first step in x", "in y", "highest y", "stays within 0.5 from step", "away in the end"], rows)

# %%
from walkthrough.images import heat
from walkthrough.scene import Line, Panel, Picture, Points, Scene

WIDTH, HEIGHT, UNIT = 360, 160, 18  # pixels of a panel; of one unit
y, x = torch.meshgrid(torch.linspace(-4.4, 4.4, HEIGHT), torch.linspace(-10, 10, WIDTH), indexing="ij")
depth = (curvature * (torch.stack((x, y), -1) - lowest) ** 2).sum(-1) / 2
bands = (depth.sqrt() * 3).floor()  # lines of equal height
ground = (0.45 * heat(-bands.clamp(max=9))).astype("uint8")


def panel(name, path):
    places = (path + torch.tensor([10.0, 4.4])) * torch.tensor([WIDTH / 20, HEIGHT / 8.8])
    way = (Line(places, "own", width=1.5), Points(places, "own", "o", 3), Points(places[:1], "object", "s", 6))
    goal = Points((lowest + torch.tensor([10.0, 4.4]))[None] * UNIT, "accent", "D", 7)
    return Panel((Picture(ground, (0, 0, WIDTH, HEIGHT)), *way, goal), WIDTH, HEIGHT, name)


panels = [panel(name, path) for name, (path, _) in paths.items()]
words = "six ways down one narrow valley, from the left to its lowest point on the right: " + ", ".join(paths)
Scene((tuple(panels[:3]), tuple(panels[3:])), words=words)

# %% [markdown]
# **What to notice** (square: the start; diamond: the lowest point; a dot for each step)
# - SGD jumps from wall to wall. Its learning rate is limited by the steep direction: at 2.0 it would never calm down, and
#   above, it would climb.
# - **Momentum** adds up what stays the same (along) and cancels what changes sign (across). It rolls too far and swings
#   back. **Nesterov** looks at where the momentum is about to carry it, and swings less. YOLOv5's default is SGD with
#   Nesterov.
# - RMSprop and Adam divide each direction by the size of its own gradients: the first step is equally long in both, though
#   one gradient is six times the other. That is why they cope with weights whose gradients differ by orders of magnitude.
#   RMSprop divides by a mean that forgets slowly: after the steep first part it still remembers large gradients, so its
#   steps get short before it is there.
# - AdamW stops beside the goal: weight decay pulls towards (0, 0), as it should. In plain Adam the decay would be added to
#   the gradient and divided like it, so that weights with large gradients would hardly decay. AdamW keeps the two apart.
# - One valley without noise crowns no winner. In section 12 the choice decides whether a short run learns anything.

# %% [markdown]
# ## 4. The schedule: large steps first, small ones at the end
#
# Far from the goal, large steps save time. Near it they jump over it, back and forth. So the **learning rate** falls
# over the run, here on a straight line from `lr0` to `lr0 * lrf`:
#
# $$ \text{learning rate}(e) = \text{lr0} \cdot \left( \left(1 - \tfrac{e}{E}\right)(1 - \text{lrf}) + \text{lrf} \right) $$
#
# with $e$ the epoch and $E$ the number of all epochs.

# %%
from yolo_lite.train.schedule import Schedule

schedule = Schedule(hyp, epochs=30, batches=125, batch_size=16)
by_hand = [hyp.lr0 * ((1 - e / 30) * (1 - hyp.lrf) + hyp.lrf) for e in (10, 20, 29)]
library = [schedule.at(e * 125).other_lr for e in (10, 20, 29)]
print("learning rate in epochs 10, 20, 29:", [round(rate, 6) for rate in by_hand])
gap = max(abs(a - b) for a, b in zip(by_hand, library))
print("largest difference between by hand and the schedule:", approx(gap, ".1g"))
assert gap < 1e-12
ScheduleExplorer(schedule=schedule)

# %% [markdown]
# **What to notice**
# - Unfold **this iteration** and drag `iteration` through the run: the table is what the optimiser computes with at that
#   moment.
# - The first 375 iterations look different. That is the next section.
# - `cosine`, among the settings to be unfolded, keeps the learning rate high for longer, and lets it go down gently at the
#   end.

# %% [markdown]
# ## 5. Warm-up: why each group starts where it does
#
# The first batches meet a network that knows nothing. Its gradients are large and point to nowhere in particular. If
# they counted fully, they would throw it off course. So at first four things are different. This **warm-up** lasts three
# epochs, and at least 100 iterations where the epochs are short (`warmup_epochs`, `least_warmup`). Here three epochs are
# 375 iterations.
#
# | what | from | to | why |
# |---|---|---|---|
# | learning rate of weights and norms | 0 | `lr0` | early, random gradients must not spoil the features |
# | learning rate of biases | 0.1 | `lr0` | a bias only shifts, so it can follow quickly without spoiling a feature |
# | momentum | 0.8 | 0.937 | early gradients are soon out of date: forget them soon |
# | batches per step | 1 | 4 | many small steps first, calm ones later |

# %%
print("momentum remembers about", [round(1 / (1 - m)) for m in (0.8, 0.937)], "steps")
moments = (0, schedule.warmup_iterations // 2, schedule.warmup_iterations)
rows = []
for moment in moments:
    rates = schedule.at(moment)
    rows.append([moment, *(f"{rate:.4f}" for rate in rates[:3]), rates.accumulate])
show_table(["iteration", "learning rate of biases", "of the others", "momentum", "batches per step"], rows)

# %% [markdown]
# At the end of warm-up the learning rate is 0.0090, not `lr0`: it goes to what the schedule says for that epoch, and that
# has fallen for three epochs by then.
#
# What is there to follow for a bias? Not how rare objects are: the biases of the head start with a guess of that
# number ([04](04_grids_and_anchors.ipynb), section 5; a **prior**, but not the word for an anchor). But it was chosen for COCO, with 8 objects a picture. The 57 biases of BatchNorm
# start at 0 and know nothing yet.
#
# How does the optimiser know? Before each batch, the numbers are written into its groups. That is all
# `apply_rates` does.

# %%
from yolo_lite.train.optim import apply_rates, create_optimizer

optimizer = create_optimizer(model, hyp, "SGD", schedule.scaled_weight_decay)
apply_rates(optimizer, schedule.at(0))
keys = ("name", "lr", "momentum", "weight_decay")
show_table(["group", *keys[1:]], [[group[key] for key in keys] for group in optimizer.param_groups])

# %% [markdown]
# ## 6. Accumulation: large batches in a small memory
#
# YOLOv5's learning rates were found with steps over 64 images. Few machines hold 64 at once. But gradients *add up*:
# PyTorch adds each new gradient to what is already in `.grad`, until somebody sets it to zero. So four batches of 16
# and then one step are like one step over 64.

# %%
layer, many = nn.Linear(4, 1), torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
layer(many).square().sum().backward()
at_once = layer.weight.grad.clone()
layer.zero_grad()
for sixteen in many.split(16):
    layer(sixteen).square().sum().backward()  # adds to what is there
gap = ((at_once - layer.weight.grad) / at_once).abs().max()
print("4 x 16 gives the gradient of 64; largest relative difference:", approx(gap, ".1g"))
assert gap < 1e-4

# %% [markdown]
# When is a step due? The library asks how many batches have passed since the last one.

# %%
print("batches of 16, after warm-up: a step after", schedule.accumulate)
print("batches of 64: a step after", Schedule(hyp, 30, 125, batch_size=64).accumulate)
steps = list(schedule.steps())
gaps = {later - earlier for earlier, later in pairwise(steps)}
print(f"{len(steps)} steps in {schedule.iterations} iterations; from one to the next:", sorted(gaps), "batches")

# %% [markdown]
# **What to notice**
# - It is not *exactly* a batch of 64. BatchNorm has its mean over 16 images, and so has the loss over the objects of
#   16 images. Only the adding up of gradients is the same.
# - The loss is multiplied by the batch size for this reason: then sums of small batches weigh what a large one would.

# %% [markdown]
# ## 7. Clipping: one wild batch must not undo a thousand good ones
#
# Now and then a batch is odd and its gradient is enormous. A step along it could ruin the network. So the gradient of
# all weights together is seen as one long arrow, and if it is longer than 10 it is shortened to 10. Its direction
# stays.

# %%
arrow = torch.zeros(2, requires_grad=True)
arrow.grad = torch.tensor([30.0, 40.0])
length = nn.utils.clip_grad_norm_([arrow], max_norm=10.0)
print("it was", length.item(), "long; clipped:", [round(g, 3) for g in arrow.grad.tolist()])

# %% [markdown]
# ## 8. Mixed precision: smaller numbers, faster machines
#
# A number of type float32 has four bytes, float16 and bfloat16 have two. Networks hardly notice, and many graphics
# cards compute much faster with them. But each of the two has a weak side.

# %%
kinds = (torch.float32, torch.float16, torch.bfloat16)
limits = [(str(kind).removeprefix("torch."), torch.finfo(kind)) for kind in kinds]
gradient = torch.tensor(1e-8)
print("a gradient of 1e-8 in float16:", gradient.half().item(), "- multiplied by 65536 first:", end=" ")
print(f"{(gradient * 65536).half().item() / 65536:.1e}")
rows = [[name, f"{limit.max:.3g}", f"{1 + limit.eps:.8g}"] for name, limit in limits]
show_table(["type", "reaches", "the number after 1"], rows)

# %% [markdown]
# **What to notice**
# - float16 loses small gradients: they become 0. The remedy is `GradScaler`: multiply the loss by a large number before
#   `backward`, divide the gradients by it afterwards.
# - bfloat16 reaches as far as float32 but is coarse: after 1 comes 1.0078. It needs no scaler.
# - So only the pass through the network is computed in it. Weights, loss and steps stay float32: a step that changes a
#   weight of 1 by a thousandth would be lost in bfloat16. In the library: `Trainer(..., precision="bfloat16")`.

# %% [markdown]
# ## 9. The average of the weights
#
# With batches drawn at random, the weights jitter around a good place. Their **average over time** is calmer, and
# nearly always better. It costs one more copy of the network, which is never trained:
#
# $$ \bar w \leftarrow d\,\bar w + (1 - d)\,w, \qquad d = 0.9999\,\left(1 - e^{-\text{updates}/2000}\right) $$
#
# This is an exponential moving average, **EMA**. Early, $d$ is small and the average follows at once. Later it looks
# back over ten thousand steps. Validation and predictions use the average, not the weights that were trained last.

# %%
from yolo_lite.train.ema import ModelEma

walker = nn.Linear(1, 1, bias=False)
ema, chance = ModelEma(walker, decay=0.95, tau=20.0), torch.Generator().manual_seed(0)
average, seen = walker.weight.item(), {"weight": [], "average": []}
for update in range(1, 201):
    with torch.no_grad():
        walker.weight.fill_(1.0 + 0.3 * torch.randn((), generator=chance))
    ema.update(walker)
    decay = ema.decay_at(update)
    average = decay * average + (1 - decay) * walker.weight.item()
    seen["weight"].append(walker.weight.item())
    seen["average"].append(ema.model.weight.item())
print("the average by hand", approx(average, ".4f"), "and ModelEma's", approx(ema.model.weight, ".4f"))
assert abs(average - ema.model.weight.item()) < 1e-5
defaults = ModelEma(walker)
later = [round(defaults.decay_at(n), 4) for n in (10, 2000, 20_000)]
print("d by default, after 10, 2000 and 20,000 updates:", later)
show_series(seen, title="a weight that jitters around 1, and its average", x_label="step")

# %% [markdown]
# **What to notice**
# - In the first steps the average jumps with the weight, because $d$ is still small. Later it stays near 1, while the
#   weight jitters on as before.
# - Here $d$ ends near 0.95, so that the average looks back over about $1 / (1 - 0.95) = 20$ steps. With the default it
#   takes thousands of steps to become as calm.

# %% [markdown]
# ## 10. All of it, live
#
# **LiveTraining** drives a real `Trainer`, the object that also trains for days. To have something to see within
# seconds it takes a network that knows shapes, *forgets its last layer*, and learns that again from 32 drawn scenes.
#
# `step(24)` trains 24 iterations now. In a running notebook press **start** instead, move `lr0` or one of the folded
# settings while it runs, pause, go on, **reset**. Other cells can be run meanwhile. Data and network may be your own:
# `LiveTraining(train="data.yaml", model=yl.create_model("yolov5n", num_classes=3))`.
#
# Its gains differ from the default (box 0.1, obj 5, cls 4 instead of 0.05, 1 and 0.5): pictures are small here and classes
# few, and the default gains are made smaller for both ([06_loss](06_loss.ipynb)). Its warm-up lasts `least_warmup=20`
# iterations, not 100, as all of the run has 80.

# %%
w = LiveTraining()
w.step(24)
w

# %% [markdown]
# **What to notice**
# - The faint lines are single batches, and they jump: one batch is harder than another. Look at the smoothed ones.
# - Unfold **learning rate and mAP**: the learning rate of the biases comes down and that of the weights goes up, until
#   warm-up ends at iteration 20.
# - At first the lines hardly fall: in warm-up, the learning rate of the weights is still close to zero.
# - The boxes on the pictures are made by the averaged weights. Lower `conf_thres`, among the settings to be unfolded, to
#   see what it is still unsure of.

# %% [markdown]
# ## 11. Turning the wheel while driving
#
# What is changed holds from the next iteration on, and stays in the record of the run. Here the objectness loss gets
# three times its weight. In a running notebook the explorer above goes on with it, and marks the change with a dotted
# line: after *Run all cells* it shows 36 iterations. Here is the line of objectness alone:

# %%
w.obj = 15
w.step(12)
print(w.words().splitlines()[0])
print(w.trainer.changes)
curves = {"each batch": w.result.losses["obj"], "smoothed": w.result.smoothed["obj"]}
show_series(curves, title="objectness loss, three times its gain from iteration 24 on", x_label="iteration")

# %% [markdown]
# **What to notice**
# - The loss of the single batches jumps at iteration 24, and the smoothed one follows in a few iterations. The network
#   did not get worse: the *scale* changed. Curves of runs with different gains cannot be compared, mAP can.
# - The same in a program: `trainer.change(obj=15)`, or `w.as_code()` for the whole run.

# %%
history, losses = w.trainer.history, w.result.smoothed
for name in ("box", "cls"):
    print(f"{name} loss: at the start", approx(losses[name][0], ".3f"), "and now", approx(losses[name][-1], ".3f"))
    assert losses[name][-1] < 0.9 * losses[name][0]
print("mAP50: after the first epoch", approx(history[0]["mAP50"]), "and now", approx(history[-1]["mAP50"]))
assert history[-1]["mAP50"] > history[0]["mAP50"] + 0.1

# %% [markdown]
# **Reading curves.** Four pictures come again and again:
#
# | what you see | what it means | what to try |
# |---|---|---|
# | losses fall, mAP rises | all is well | wait |
# | losses fall, mAP falls again | it learns the images by heart | more images, more augmentation, stop earlier |
# | losses do not move | the learning rate is far too low, or the labels are wrong | look at a batch first, then raise `lr0` |
# | losses rise or jump | the learning rate is too high | a tenth of `lr0`, a longer warm-up |

# %% [markdown]
# ## 12. What goes wrong, on purpose
#
# Short runs that differ in one setting each. All begin with the same weights and see the same batches. The network to
# begin with is made once, as the explorer makes it: one that knows shapes, with a new last layer. (Each run trains a copy.)

# %%
beginner = yl.load("shapes-n")
beginner.detect.load_state_dict(yl.create_model("yolov5n", names=beginner.names).detect.state_dict())


def short_run(**settings):
    """20 iterations at 128 pixels."""
    run = LiveTraining(model=beginner, epochs=10, options={"img_size": 128, "validate_every": 4}, **settings)
    run.step(20)
    return run


def total(run):
    """Sum of the smoothed losses after each iteration."""
    return sum(run.result.smoothed.values())


good = short_run()
print("a good run: the loss at the start", approx(total(good)[0]), "and in the end", approx(total(good)[-1]))
assert total(good)[-1] < total(good)[0]

# %% [markdown]
# **Too high a learning rate.** Each step is so long that it lands on the other side of the valley, higher up than
# before.

# %%
too_fast = short_run(lr0=3.0)
start, end = too_fast.result.losses["cls"][:3].mean(), too_fast.result.losses["cls"][-3:].mean()
print("class loss: at the start", approx(start), "and in the end", approx(end))
slow_map50, fast_map50 = (run.trainer.history[3]["mAP50"] for run in (good, too_fast))
print("mAP50 after 16 iterations:", approx(fast_map50), "and in the good run", approx(slow_map50))
print("no number ran away; iterations done:", too_fast.trainer.iteration)
assert end > 1.1 * start and fast_map50 < slow_map50 / 2
show_series({"lr0 0.01": total(good), "lr0 3": total(too_fast)}, title="too high a learning rate", x_label="iteration")

# %% [markdown]
# **What to notice**
# - With the larger learning rate the loss ends higher than it began.
#
# It need not end in `nan`: here, clipping and BatchNorm keep the numbers finite. That makes the mistake harder to see.
# When it does end in `nan`, the Trainer stops and names the layer in which it began.

# %% [markdown]
# **Without warm-up.** At this learning rate, ten times the usual, the network can learn, if it is led to it slowly.
# Thrown into it at once, it falls faster at first, and then the large steps spoil features that later steps would have
# needed. Of these 20 iterations all are warm-up, where there is one.

# %%
with_warmup, without = short_run(lr0=0.1), short_run(lr0=0.1, warmup_epochs=0)
lower, higher = total(with_warmup)[-1], total(without)[-1]
print("loss in the end: with warm-up", approx(lower), "and without", approx(higher))
assert lower < 0.95 * higher
named = {"with warm-up": total(with_warmup), "without": total(without)}
show_series(named, title="lr0 0.1, with and without warm-up", x_label="iteration")

# %% [markdown]
# **What to notice**
# - With warm-up the loss does not fall at first, since the learning rate of the weights begins at 0. In the end it is
#   the lower one.

# %% [markdown]
# **One term dominates.** The box loss gets 200 times its weight. Gradients of the three terms add up, and the sum is
# clipped to length 10: almost all of that length now belongs to the box loss.

# %%
boxes_only = short_run(box=20)


def learnt(values):
    """The fraction by which a loss fell, whatever its gain."""
    return 1 - values[-1] / values[0]


parts_of, narrow = good.result.smoothed, boxes_only.result.smoothed
rows = {"total": (total(boxes_only), total(good))} | {k: (narrow[k], parts_of[k]) for k in ("box", "cls")}
for name, (ours, others) in rows.items():
    print(f"{name} loss fell by", approx(learnt(ours), ".0%"), "and in the good run by", approx(learnt(others), ".0%"))
assert learnt(total(boxes_only)) > 2 * learnt(total(good)) and learnt(narrow["box"]) > 0.1
assert learnt(narrow["cls"]) < learnt(parts_of["cls"]) / 2
both = {"good": parts_of, "box times 200": narrow}
bars = [show_bars({n: learnt(of[part]) for n, of in both.items()}, f"{part}: fraction learnt") for part in ("box", "cls")]
row(*bars)

# %% [markdown]
# **What to notice**
# - The total loss of that run falls beautifully. Only the parts, one by one, show that the class is not learnt.
# - So look at the parts, not only at the total, and at mAP, which no gain can flatter.
#
# **No objects anywhere.** The bad ending that is asked about most: the loss falls, nothing fails, and the network finds
# nothing. More than 99 of 100 predictions have no object, so "no object" everywhere is an answer that costs little. A new
# network begins with it (section 5), and it has to be led away. Here one learns four photographs, the tour's batch, in 30
# steps, which is a matter of seconds and ought to be easy. First with the defaults.

# %%
photos, small = yl.tour_batch(size=128), 128
photo_names = yl.YoloDataset("photos").names


def learn_photos(hyp, rule="SGD", least_warmup=100, steps=30):
    """Total loss and mean objectness of the matched predictions, step by step; boxes above 0.25 in the end."""
    model = yl.create_model("yolov5n", names=photo_names)
    loss, plan = model.criterion(hyp, small), Schedule(hyp, steps, 1, 4, nominal_batch=4, least_warmup=least_warmup)
    optimizer, totals, objectness = create_optimizer(model, hyp, rule, plan.scaled_weight_decay), [], []
    for iteration in range(steps):
        apply_rates(optimizer, plan.at(iteration))
        maps = model(photos.images / 255)
        parts, levels = loss(maps, photos.targets), loss.levels(maps, photos.targets)
        optimizer.zero_grad()
        parts.total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        places = [(level.matches.image, level.matches.anchor, level.matches.row, level.matches.col) for level in levels]
        matched = torch.cat([raw[place][:, 4] for raw, place in zip(maps, places)])
        totals, objectness = [*totals, parts.total.item()], [*objectness, matched.sigmoid().mean().item()]
    with torch.no_grad():
        found = yl.non_max_suppression(model.decode(model(photos.images / 255)), 0.25)
    return totals, objectness, sum(len(boxes) for boxes in found)


# %%
default = yl.Hyperparameters()
louder = default.replace(box=0.1, obj=5.0, cls=4.0, warmup_epochs=0)
runs = {
    "defaults": learn_photos(default),
    "no warm-up, larger gains": learn_photos(louder),
    "the same, AdamW at 0.002": learn_photos(louder.replace(lr0=0.002), "AdamW"),
}
for name, (totals, _, boxes) in runs.items():
    print(f"{name}: the loss fell to", approx(totals[-1] / totals[0], ".0%"), "and boxes found:", approx(boxes, "d"))
found = [boxes for *_, boxes in runs.values()]
assert found[0] == 0 and found[1] < 3 and found[2] > 4 and runs["defaults"][0][-1] < runs["defaults"][0][0]
curves = {name: objectness for name, (_, objectness, _) in runs.items()}
show_series(curves, title="mean objectness where there is an object", x_label="step", log=True)

# %% [markdown]
# **What to notice**
# - With the defaults the loss falls, and the objectness *where the objects are* does not rise at all. Not one box comes
#   above 0.25. All 30 steps lie in warm-up, where the learning rate of the weights is still on its way up, below a third of
#   `lr0`. And at 128 pixels the objectness gain is $(128 / 640)^2$ = 0.04 of the usual.
# - Longer is the plain remedy: the defaults were made for hundreds of thousands of steps. For a short run: no warm-up,
#   larger gains, and AdamW, whose steps are about equally long however small the gradients are. Here it is the optimiser
#   that makes the difference.
# - The same picture has other causes: labels that do not fit the images, one no-object term too many
#   ([07b](07b_nine_mistakes.ipynb), mistake 4). So look at objectness where objects are, before you wait for a night.

# %% [markdown]
# ## 13. When memory runs out
#
# Training keeps what every layer put out until `backward` has used it. That is what fills the memory, not the weights.


# %%
def bytes_put_out(model, size):
    """Of all modules without parts, for one image of that size, in float32."""
    sizes = []
    leaves = [module for module in model.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(lambda _, __, out: sizes.append(out.numel() * 4)) for leaf in leaves]
    with torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return sum(sizes)


at_640, at_320 = bytes_put_out(model, 640), bytes_put_out(model, 320)
weights = 4 * sum(p.numel() for p in model.parameters())
print(f"one image of 640 pixels: {at_640 / 1e6:.0f} MB; of 320 pixels: 1/{at_640 / at_320:.0f} of that")
print(f"weights, gradients, momentum and average together: {4 * weights / 1e6:.0f} MB, for any batch")
print(f"a batch of 64 at 640 pixels, about: {(64 * at_640 + 4 * weights) / 1e9:.0f} GB")

# %% [markdown]
# So memory grows with the batch, and with the *square* of the image's side. What to try, the best first:
#
# 1. **A smaller batch.** Accumulation keeps the step the same; only BatchNorm sees fewer images.
# 2. **bfloat16**: half of it.
# 3. **Smaller images**: a quarter at half the side, but small objects are lost.
# 4. **`freeze=10`**: the backbone is not trained, so that its outputs need not be kept.
#
# When a batch does not fit on a graphics card, the Trainer measures what one and two images need and says which batch
# would fit, with a reserve of a tenth. This is its arithmetic, for a card with 8 GB:

# %%
from yolo_lite.running.diagnose import Memory, batch_that_fits

one, two = 4 * weights + at_640, 4 * weights + 2 * at_640
print("batches of 64 do not fit into 8 GB; this one should:", batch_that_fits(Memory(8 * 10**9, one, two), 64))

# %% [markdown]
# ## 14. What caching buys
#
# A photograph is decoded from its file, and shrunk, every time it is needed: once per epoch, and four times that with
# mosaics. `cache="ram"` keeps the shrunk pictures. Here, both ways, the same photographs are read three times.


# %%
def seconds(dataset):
    """For three epochs of samples."""
    start = time.perf_counter()
    for epoch in range(3):
        for index in range(len(dataset)):
            dataset.sample(index, epoch)
    return time.perf_counter() - start


plain, cached = yl.YoloDataset("photos", 320), yl.YoloDataset("photos", 320, cache="ram")
times = {"decoded each time": seconds(plain), "cached": seconds(cached)}
print("on the computer that ran this last:", ", ".join(f"{name} {time:.3f} s" for name, time in times.items()))
needed = 118_287 * 640 * 480 * 3 / 1e9
print(f"COCO's 118,287 training images at 640 x 480 would need about {needed:.0f} GB")
show_bars(times, title="three epochs of samples, 320 pixels", y_label="seconds")

# %% [markdown]
# **What to notice**
# - A cache pays where decoding is what the network waits for: small networks, fast cards, few cores.
# - It must fit. For what does not fit into memory there is `cache="disk"`, which saves the decoding, not the reading.

# %% [markdown]
# ## 15. How long a full COCO run takes
#
# YOLOv5 is trained for 300 epochs on 118,287 images. A training step costs about three times the forward pass: once
# forward, about twice that backward. How long that takes depends on how many images a second pass through your machine.
# Measure it: every step of the Trainer reports `images_per_s`.

# %%
coco = yl.create_model("yolov5n")
images_seen = 118_287 * 300
work = images_seen * 3 * coco.summary(640).flops
print(f"batches of 64 in an epoch: {-(-118_287 // 64):,}; in 300: {-(-118_287 // 64) * 300:,}")
print(f"images seen: {images_seen:,}; work: {work:.1e} operations")
speeds = {"two cores of a CPU": 12, "a small card": 150, "a large card": 600, "eight large cards": 4800}
rows = [[name, speed, f"{images_seen / speed / 86400:.1f}"] for name, speed in speeds.items()]
show_table(["machine (speeds are examples)", "images a second", "days for 300 epochs"], rows)

# %% [markdown]
# **What to notice**
# - Nobody trains COCO on a laptop to learn how it works. Small drawn scenes teach the same.
# - For your own pictures start from weights that were trained already: notebook 10.
# - More threads are not always faster. In networks as small as these each operation is over before two threads have met:
#   on the two cores that made this page, running it took about one and a half times as long with two threads as with one
#   (`OMP_WAIT_POLICY=passive` both times). So the first cell of this notebook asks for one; larger networks gain from more.

# %% [markdown]
# ## 16. Check: the optimiser by hand, and the whole loop on one page
#
# First the step itself. SGD with Nesterov momentum $m$ keeps a running sum $v$ of gradients, and steps a little beyond
# it:
#
# $$ g \leftarrow g + \text{decay} \cdot w, \qquad v \leftarrow m\,v + g, \qquad
#    w \leftarrow w - \text{lr}\,(g + m\,v) $$


# %%
def nesterov_step(parameters, sums, lr, momentum, decay):
    """One step of SGD, without torch.optim."""
    for w in parameters:
        g = w.grad + decay * w
        sums[w] = momentum * sums[w] + g if w in sums else g
        w -= lr * (g + momentum * sums[w])


by_hand, by_torch, sums = nn.Linear(4, 1), nn.Linear(4, 1), {}
by_torch.load_state_dict(by_hand.state_dict())
optimizer = torch.optim.SGD(by_torch.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1)
for _ in range(5):
    for layer in (by_hand, by_torch):
        layer.zero_grad()
        layer(many).square().mean().backward()
    with torch.no_grad():
        nesterov_step(by_hand.parameters(), sums, 0.01, 0.9, 0.1)
    optimizer.step()
gap = (by_hand.weight - by_torch.weight).abs().max()
print("after 5 steps, largest difference between by hand and PyTorch:", approx(gap, ".1g"))
assert torch.allclose(by_hand.weight, by_torch.weight, atol=1e-6)

# %% [markdown]
# And now everything from above: groups, learning rates, accumulation, clipping, average.


# %%
def train_by_hand(model, loader, schedule, epochs):
    """The training loop on one page; returns the averaged network."""
    loss, ema = model.criterion(schedule.hyp, SIZE), ModelEma(model)
    optimizer = create_optimizer(model, schedule.hyp, "SGD", schedule.scaled_weight_decay)
    iteration, last_step = 0, -1
    for epoch in range(epochs):
        model.train().zero_grad()
        loader.set_epoch(epoch)
        for batch in loader:
            rates = schedule.at(iteration)
            apply_rates(optimizer, rates)
            parts = loss(model(batch.images / 255), batch.targets)
            parts.total.backward()  # adds to the gradients of the batches before
            if iteration - last_step >= rates.accumulate:
                nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
                optimizer.zero_grad()
                ema.update(model)
                last_step = iteration
            iteration += 1
    return ema.model


# %% [markdown]
# The same run twice: by hand, and by `yl.Trainer`. The two networks begin with the same weights, because the same seed
# made them.

# %%
options = {"epochs": 2, "batch_size": 4, "nominal_batch": 8, "least_warmup": 4}
brisk = hyp.replace(warmup_epochs=0.5)
ours, theirs = (yl.create_model("yolov5n", names=scenes.names) for _ in range(2))
trainer = yl.Trainer(theirs, scenes, hyp=brisk, auto_anchors=False, **options).fit()
loader = yl.create_dataloader(scenes, batch_size=4, shuffle=True)
our_average = train_by_hand(ours, loader, trainer.schedule, epochs=2)


def differing(one, other):
    """How many tensors of two networks differ in at least one bit."""
    return sum(not torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))


untrained = yl.create_model("yolov5n", names=scenes.names)
print("iterations:", trainer.iteration, "- optimiser steps:", trainer.ema.updates)
print("training changed", approx(differing(ours, untrained), "d"), "of", len(ours.state_dict()), "tensors")
print("tensors that differ between by hand and the Trainer:", differing(ours, theirs))
print("between the two averages:", differing(our_average, trainer.ema.model))
assert differing(ours, untrained) > 300 and differing(ours, theirs) == differing(our_average, trainer.ema.model) == 0

# %% [markdown]
# That is the Trainer: this loop, and around it what a run of days needs. It saves its state so that a killed run goes
# on (`Trainer.resume`), validates after each epoch, divides the batches among several cards, and explains what stopped
# it. Its own loop stands in `yolo_lite/train/trainer.py`, `Trainer.steps` and `Trainer.train_batch`, and reads like the
# one above.
#
# Two more options of YOLOv5's loop that you may meet. **Image weights** (`--image-weights`; here
# `Trainer(..., image_weights=True)`): images with classes of low mAP are sampled more often. **Quad** (`--quad`): four
# images of a batch are laid together to one of twice the side, or one is enlarged to it, so that every
# input of a training at 640 pixels has 1280, and a batch a quarter as many of them. This library does not have it: mosaic and `multi_scale` change the size of objects as well, and
# YOLOv8 dropped it, and image weights too.

# %% [markdown]
# ## Your turn: write `my_warm_up`
#
# The learning rates of the first iterations: on a straight line the biases fall from `bias_start` to `lr`, and the weights
# rise from 0 to `lr`. Iteration `last` is the last one of the warm-up; after it both are `lr`. A run may also have none at
# all: then `last` is 0.

# %%
from walkthrough import check

def my_warm_up(iteration, last, lr, bias_start):
    """The two learning rates at an iteration.

    iteration: 0, 1, 2 ... last: of the warm-up.
    lr: where both end. bias_start: where the biases start.
    Returns: learning rate of the biases, learning rate of the weights.
    """
    ...

check(my_warm_up)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_warm_up(iteration, last, lr, bias_start):
#     if last == 0 or iteration > last:
#         return lr, lr
#     done = iteration / last
#     return bias_start + (lr - bias_start) * done, lr * done
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>Your batch size is 8. After how many batches is a step taken, after warm-up?</summary>
#
# After round(64 / 8) = 8 batches: `Schedule(hyp, 30, 125, batch_size=8).accumulate`.
# </details>
#
# <details><summary>You fine-tune a trained network for 50 iterations with the default settings. What is odd about its
# rates?</summary>
#
# Warm-up takes at least 100 iterations, so the run ends in the middle of it: the weights never reach `lr0`, and the
# biases are moved with up to ten times that. Set `least_warmup` lower, or take the preset "small-data".
# </details>
#
# <details><summary>Two runs with different gains for the box loss. One has the lower loss. Is it better?</summary>
#
# Nobody can know: the gain is a factor in the loss. Compare mAP, or each part divided by its gain.
# </details>
#
# <details><summary>Why is the average of the weights useless after ten steps with a fixed decay of 0.9999?</summary>
#
# It would still be 0.9999^10 = 99.9 % the random network of the beginning. That is why the decay itself grows:
# after 10 updates it is only 0.005.
# </details>
#
# <details><summary>The loss is nan after 200 iterations. Which of the remedies of this notebook would you try
# first?</summary>
#
# A lower learning rate. Clipping is already there and shortens long gradients, but it cannot repair a step in a wrong
# direction that is repeated 200 times. With float16, try bfloat16. The Trainer's message names the layer in which it
# began.
# </details>

# %% [markdown]
# **On to [09_inference_and_map](09_inference_and_map.ipynb)**: the network is trained. How do 25,200 boxes become a few,
# and how good are they?
