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
# # Start here: see a network find things, and teach one
#
# YOLO looks at a picture once and says **what** is in it and **where**. Run each cell with Shift + Enter.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
from dataclasses import replace

import yolo_lite as yl
from walkthrough import row, show_image

model, scenes = yl.load("shapes-n"), yl.YoloDataset("shapes", img_size=320, split="test")
pictures = [scenes.image(52), scenes.image(3)]
found = yl.predict(model, pictures)
words = " and ".join(f"a drawn scene with {len(boxes)} boxes" for boxes in found) + ", each with its name and confidence"
replace(row(*map(show_image, pictures, found)), words=words)

# %% [markdown]
# **What to notice**
# - A **box** says where, a **class** says what, and the number behind it, the **confidence**, how sure the network is.
# - Shapes that overlap or leave the picture are found as well. Colours and patterns are drawn by lot here: the network
#   had to learn the outline.
# - Nobody wrote down what a moon looks like. This network has learnt it from 2,000 other scenes. What it has learnt is
#   1.8 million numbers, its **weights**; they are bundled with the library.
#
# This notebook shows how the answer comes about (1 to 4), and how a network learns to give it (5 to 11). At the end you
# watch a new network learn to find cups, a cat and a horse in pictures, in less than a minute (11), and try a
# picture of your own (12). Everything you see is computed by the functions that training calls: change a number, run
# the cell again, and look.

# %% [markdown]
# ## 1. Numbers in, numbers out
#
# A picture is an array: height x width x 3 numbers from 0 to 255, for red, green and blue. An answer is a table: six
# numbers for each box.

# %%
import torch

from walkthrough import approx

answer = torch.cat((found[0].xyxy, found[0].conf[:, None], found[0].cls[:, None]), 1)
print(f"in:  {pictures[0].shape}, {pictures[0].size:,} numbers")
print(f"out: {tuple(answer.shape)}, {answer.numel()} numbers")
left, top, right, bottom, confidence, cls = answer[0].tolist()  # the surest box
sides = {"left": left, "top": top, "right": right, "bottom": bottom}
print(", ".join(f"{side} {approx(value, '.0f')}" for side, value in sides.items()))
print("confidence", approx(confidence), f"class {cls:.0f}, which is {model.names[int(cls)]!r}")
assert answer.shape == (9, 6)
assert confidence > 0.9

# %% [markdown]
# ## 2. Between them: 25 layers
#
# How do 307,200 numbers become 54? Step by step, and each step is called a **layer**. Most layers do one thing: a small
# window, of 3 x 3 places for example, slides over what the layer before has made. At each stop the numbers in the window
# are multiplied by weights and added up. The sums form a picture again, a **map**, bright where the window found what its
# weights look for. A layer has many such windows, so it makes many maps. Each of them is a **channel**, and one place of a
# map is a **cell**.
#
# The first layers find edges and colours. Later ones look at the maps of earlier ones, so they find what edges are part
# of. The 25 layers share three tasks:
#
# - the **backbone** (layers 0 to 9) makes ever smaller maps, which say ever less about *where* and more about *what*;
# - the **neck** (10 to 23) brings that back to the larger maps, and then down again (papers: **FPN** and **PAN**);
# - the **head** (24) reads three of the maps and makes the predictions.
#
# Below is the first **explorer** of this tour: a picture to click, to drag and to change. That needs a running notebook, in
# Jupyter, on Binder or on Colab. **On a saved page, on GitHub for example, it is a still picture**, and what is folded in
# the running one lies open below it. It shows layer 4 of the same network, looking at another drawn scene.

# %%
from walkthrough import LayerExplorer

LayerExplorer(model=model, layer=4)

# %% [markdown]
# **What to notice**
# - On the right are the first 16 maps of layer 4. Most light up at outlines: 7 at most of the moon's, 10 at its lower right
#   side only. Map 1 has the tiles of the ground as well.
# - On the left a small square marks one cell. The dashed frame is all that this cell *can* see. Orange is what its value
#   really depends on. Click elsewhere: another cell.
# - "Comes from the moon" in the running explorer ("of the gradient" in the table) means: from the moon's *box*. Much of the orange lies in the hollow of the crescent, and counts.
# - Choose layer 0 in the list below the picture: the frame gets tiny. Choose layer 9: it holds the whole picture. The
#   deeper the layer, the more a cell can see.
# - Unfold **the network** (on a saved page: the graph below the pictures): all 25 layers, backbone blue, neck brown, head
#   green, with the numbers that they have in YOLOv5's files. A Conv is one convolution, a C3 a block of several, SPPF
#   looks at wider and wider windows, Upsample repeats cells, and Concat lays two maps on each other. Click on one.

# %% [markdown]
# ## 3. The way down
#
# What becomes of the first picture of this page on its way down the backbone? Four of the layers, eight channels of each.
# Bright is a large value.

# %%
from walkthrough import show_feature_maps

boxed = yl.letterbox(pictures[0], 256, auto=False).image  # (256, 256, 3), as in training
image = torch.from_numpy(boxed).permute(2, 0, 1)[None] / 255  # (1, 3, 256, 256), from 0 to 1
with torch.no_grad():  # we only look: PyTorch keeps no notes for gradients
    outputs = [(layer, output) for layer, output in model.eval().forward_layers(image)]
show_feature_maps({f"after layer {k}, {outputs[k][0].kind}": outputs[k][1] for k in (0, 2, 4, 9)}, count=8)

# %% [markdown]
# **What to notice**
# - Channels of layer 0 answer to edges, and to colours: channel 1 to the pink tile. In layer 2 outlines are left, and in
#   layer 4 one cannot tell the heart's checks any more.
# - The maps shrink to a half, a quarter, an eighth and a thirty-second of the picture's side. What is lost in *where* is
#   meant to be won in *what*: layer 9 has 256 channels, but one cell of it stands for 32 x 32 pixels.

# %% [markdown]
# ## 4. Thousands of boxes, and a handful
#
# The head reads three maps, called P3, P4 and P5. A cell of them stands for a square of 8, 16 or 32 pixels of the picture:
# that is the map's **stride**. The fine map is for small objects, the coarse one for large ones.
#
# Each cell predicts three boxes. It does not have to guess them from nothing: three typical sizes are given for each map,
# the **anchors**, and a prediction only says how its box differs from one of them. It has 4 numbers for the box, one for
# "is there an object at all?" (the **objectness**), and one for each class.
#
# A network's raw number $t$ may be anything, -7 or 1000. The **sigmoid** $\sigma$ squeezes it into 0 to 1, and makes 0.5 of
# a 0. Then centre $x$ and width $w$ of the box are ($y$ and the height go the same way):
#
# $$ x = (2\sigma(t_x) - 0.5 + \text{column}) \cdot \text{stride} \qquad w = (2\sigma(t_w))^2 \cdot \text{anchor} $$
#
# Put in $t = 0$: the centre is the middle of the cell, and the width that of the anchor. From there a centre can move to
# half a cell outside its cell, and a box can grow to four times its anchor, no more. So wild predictions are impossible,
# and learning is calm. The cell below computes one such $x$ by hand.

# %%
maps = outputs[-1][1]  # one a stride: (1, 3 anchors, rows, columns, 4 + 1 + 6 classes)
boxes = model.decode(maps)[0]  # centre x, centre y, width, height, objectness, class scores
sizes = [f"3 x {raw.shape[2]} x {raw.shape[3]}" for raw in maps]
print(" + ".join(sizes), "=", f"{len(boxes):,} boxes, each of {boxes.shape[1]} numbers")
by_hand = (2 * maps[0][0, 0, 0, 7, 0].sigmoid() - 0.5 + 7) * 8  # row 0, column 7 of stride 8
print(f"x of box 7: by hand {approx(by_hand, '.3f')} pixels, by decode {approx(boxes[7, 0], '.3f')}")
assert torch.isclose(by_hand, boxes[7, 0])

# %% [markdown]
# Nearly all of these boxes say "no object here". What is left after a threshold still names each object many times over,
# so **non-maximum suppression** (NMS) keeps the surest box and removes those that overlap it too much.

# %%
sure = boxes[:, 4] * boxes[:, 5:].amax(1) > 0.25  # confidence: objectness times class score
(after,) = yl.non_max_suppression(boxes[None], conf_thres=0.25)
print(f"{len(boxes):,} boxes;", approx(sure.sum(), "d"), f"of them are surer than 0.25; NMS leaves {len(after)}")
assert sure.sum() > 5 * len(after) == 45

# %% [markdown]
# These are the nine boxes of the first picture above, after one pass through the network: YOLO is a **one-stage**
# detector. A two-stage one, such as Faster R-CNN, first proposes regions and then looks at each of them again.
# [09_inference_and_map](09_inference_and_map.ipynb) has an explorer that shows who removed whom in NMS.

# %% [markdown]
# ## 5. How does one learn that? From photographs with labels
#
# So far the weights were given. Now we start with random ones. A network learns from pictures and, for each, a list of
# objects: a class and a box, drawn by people. The box is the smallest upright rectangle around what can be seen.
#
# Photographs come in all sizes, but a batch is *one* tensor, so its pictures must agree. Stretching them would turn
# circles into eggs. A **letterbox** shrinks or enlarges the picture until it just fits, and fills the rest with gray.

# %%
photos = yl.YoloDataset("photos")
photo, objects = photos.image(0), photos.objects(0)
letterboxed = yl.letterbox(photo, 640, auto=False)
print(f"{photo.shape} -> {letterboxed.image.shape}: times {letterboxed.ratio:.4f}")
left, top = letterboxed.pad
print(f"gray, in pixels: {left:g} left and right; {top:g} on average above and below, {2 * top:g} together")
print(f"in it: {len(objects.cls)} objects,", ", ".join(photos.names[int(cls)] for cls in objects.cls))

# %% [markdown]
# The ratio and the padding are kept: they carry boxes back to the photograph.

# %% [markdown]
# ## 6. A batch, and its targets
#
# Training looks at several pictures at once. Ours are **mosaics**: four photographs that meet at a random point, then
# moved and turned a little, and made smaller or larger. So every batch is new, and objects appear in every size. This
# batch is the same on every run (its seed is fixed), and most notebooks use it.

# %%
from walkthrough import show_batch, show_table

batch = yl.tour_batch()
print("images ", tuple(batch.images.shape), batch.images.dtype)
print("targets", tuple(batch.targets.shape), batch.targets.dtype)
show_batch(batch, photos.names, columns=2)

# %% [markdown]
# The 23 boxes of all four pictures lie in one table, the **targets**, because tables of different lengths do not stack.
# Centre and size are fractions of the picture's sides: the same row is right for 640 pixels and for 320.

# %%
rows = [[int(image), photos.names[int(cls)], *box] for image, cls, *box in batch.targets[:4].tolist()]
show_table(["image", "class", "centre x", "centre y", "width", "height"], rows)

# %% [markdown]
# ## 7. Which prediction is responsible for which object?
#
# A picture of 640 x 640 pixels has 25,200 predictions. Which of them must learn to say "cup"? YOLOv5 asks each anchor:
# is the object less than **four times** wider, narrower, higher or lower than you? The anchors that say yes are matched,
# in the cell that holds the object's centre, and in up to two neighbours that the centre is close to.

# %%
from walkthrough import AnchorExplorer

learner = yl.create_model("yolov5n", names=photos.names)
AnchorExplorer(images=batch, model=learner)

# %% [markdown]
# **What to notice**
# - Choose an object, then lower `anchor_t`, the "four times" of the rule: anchors drop out, one after the other.
# - Drag the object over the border of a cell: another cell becomes responsible, and other neighbours.
# - Unfold **fit to a dataset** (on a saved page: the two curves): which fraction of the objects has an anchor, and how many
#   anchors an object has, for every `anchor_t`. Far enough to the left, objects are left without any.
#
# Here is the assignment of picture 2, of each grid the 20 x 20 cells where most happens:

# %%
from walkthrough import show_assignment

grids = [(80, 80), (40, 40), (20, 20)]  # 640 pixels / stride
matches = yl.build_targets(batch.targets, grids, learner.anchors, learner.strides)
windows = ((0, 170, 160, 330), (0, 100, 320, 420), (0, 0, 640, 640))  # left, top, right, bottom
row(*(show_assignment(batch, [m], [s], 2, window) for m, s, window in zip(matches, learner.strides, windows)))

# %% [markdown]
# **What to notice**
# - Small objects are matched on the fine grids, large ones on the coarse one: the spoon on the left, 14 x 46 pixels, at strides 8 and
#   16 (P3, P4), the cup at 16 and 32 (P4, P5), the cat and the horse at 32 (P5) alone.
# - Neighbours are hatched. These few predictions are the **positives**; all others are **negatives**, and only have to
#   learn to be silent.
# - The number of matches under each grid is that of the whole picture, not of the part that is shown.

# %% [markdown]
# ## 8. One number for "how wrong?"
#
# The **loss** has three parts:
#
# - **box**: how badly the boxes of the positives overlap with their objects, $1 - \text{CIoU}$. CIoU is the area that two
#   boxes share, as a part of the area that they cover together, less something for centres that are apart and for
#   another shape; 1 for equal boxes;
# - **obj**: for *every* prediction, whether it says "object" where there is one and nothing elsewhere;
# - **cls**: for positives, whether they name the right class.
#
# The three grids add up. On the fine grid 16 times as many cells as on the coarse one have to be silent; its part of
# the objectness is weighted up by 4, so that it is heard.

# %%
from walkthrough import show_bars

maps = learner(batch.images / 255)  # this time with notes, for the way back
criterion = learner.criterion(yl.Hyperparameters(), img_size=640)
loss, levels = criterion(maps, batch.targets), criterion.levels(maps, batch.targets)
print(f"box {approx(loss.box)} + obj {approx(loss.obj)} + cls {approx(loss.cls)},",
      "times 4 pictures:", approx(loss.total))  # fmt: skip
assert torch.isclose(loss.total, 4 * (loss.box + loss.obj + loss.cls))
assert levels[0].obj < levels[1].obj < levels[2].obj < 5 * levels[0].obj
by_part = {part: [getattr(level, part) for level in levels] for part in ("box", "obj", "cls")}
row(*(show_bars(dict(zip(("P3", "P4", "P5"), values)), part) for part, values in by_part.items()))

# %% [markdown]
# **What to notice**
# - Box and class: each grid contributes about as much as the others.
# - Objectness: P3 has the lowest bar, even times 4. A new network starts out saying "nothing here", and most firmly on the
#   fine grid, where the same few objects share many more cells. So there is little to be wrong about yet. Without the 4 its
#   bar would be a quarter of that.
#
# ## 9. Who is to blame?
#
# `backward` asks of every single weight: if you were a little larger, would the loss rise or fall, and how fast? The
# answer is the weight's **gradient**. It costs one pass through the network, from the last layer to the first.

# %%
loss.total.backward()
weights = {str(k): list(layer.parameters()) for k, layer in enumerate(learner.layers)}
norms = {name: torch.nn.utils.get_total_norm([w.grad for w in ws]) for name, ws in weights.items() if ws}
print(f"length of the gradient: layer 0 {approx(norms['0'])}, layer 24 {approx(norms['24'])}")
assert norms["0"] > 5 * norms["24"]
show_bars(norms, title="length of the gradient, layer by layer", y_label="gradient norm")

# %% [markdown]
# **What to notice**
# - Every layer that has weights gets a gradient. Layers 11, 12, 15, 16, 19 and 22 are missing: upsampling and
#   concatenation have nothing to change.
# - The early layers have the longest gradients here. The size of their maps is not why: layers 4 and 17 have maps
#   of the same size, and the gradient of layer 4 is several times as long. On the way back a gradient grows, above all at **BatchNorm**:
#   behind each convolution it moves and stretches every channel to mean 0 and standard deviation 1, and then by
#   two numbers that are learnt.
#   [Notebook 07](07_backpropagation.ipynb) measures it.

# %% [markdown]
# ## 10. One step
#
# Each weight moves a little against its gradient: $w \leftarrow w - \text{learning rate} \cdot \text{gradient}$. Then
# the same pictures again: the loss must be lower. The step is small because a gradient only gives the slope where we
# stand, not what comes behind the next hill.

# %%
torch.optim.SGD(learner.parameters(), lr=0.0003).step()
with torch.no_grad():
    lower = criterion(learner(batch.images / 255), batch.targets).total
print("the loss fell by", approx((loss.total - lower) / loss.total * 100, ".1f"), "percent")
assert 0.002 < loss.total - lower

# %% [markdown]
# That is all that training does. It only does it again and again.

# %% [markdown]
# ## 11. Sixty steps
#
# Now for real. A new network with random weights, the four pictures at 320 pixels, and a few settings that are made for
# a short run: AdamW, which chooses a step size for each weight, and other weights of the three parts of the loss.

# %%
small = yl.tour_batch(320)
images = small.images / 255  # (4, 3, 320, 320)
learner = yl.create_model("yolov5n", names=photos.names)
gains = yl.Hyperparameters(box=0.1, obj=5.0, cls=4.0)
criterion = yl.ComputeLoss(learner.anchors, learner.strides, learner.num_classes, gains)
optimizer = torch.optim.AdamW(learner.parameters(), lr=0.002)

# %% [markdown]
# What we want to see while it learns: two of the pictures with what the network finds in them, and the loss so far. And
# in the end, picture 2 as a film strip.

# %%
from walkthrough import column, show_series

LOOKS = (4, 8, 12, 16, 20, 24, 32, 40, 50, 60)  # steps: more often at first, when most changes
WORDS = "boxes on the pictures: a few wrong ones at first, far too many after 16 steps, "
WORDS += "nearly one for each object after 60"
losses, film = [], {}

def frame(step, picture):
    return show_image(small.images[picture], film[step][picture], names=photos.names, title=f"after {step} steps")

def look(step):
    film[step] = yl.non_max_suppression(learner.decode(learner(images)).detach())  # (n, 6) each
    return replace(row(frame(step, 2), frame(step, 3), show_series(losses, title="loss", x_label="step")), words=WORDS)

# %% [markdown]
# And the training itself. Run it, and **watch the boxes**. The first four lines in the loop are all that training is:
# forward and loss, backward, step. The rest writes down and draws.

# %%
screen = display(look(0), display_id=True)
for step in range(1, 61):
    parts = criterion(learner(images), small.targets)
    optimizer.zero_grad()
    parts.total.backward()
    optimizer.step()
    losses.append(parts.total.item())
    if step in LOOKS:
        screen.update(look(step))
strip = column(row(*(frame(step, 2) for step in (0, 8, 16))), row(*(frame(step, 2) for step in (24, 40, 60))))
screen.update(replace(strip, words=WORDS))

# %%
def is_found(target):  # image, class, centre x, centre y, width, height
    found = film[60][int(target[0])]
    overlap = yl.box_iou(yl.xywh_to_xyxy(target[None, 2:]) * 320, found[:, :4])[0]
    return bool(((overlap > 0.5) & (found[:, 5] == target[1])).any())

count, boxes = sum(map(is_found, small.targets)), sum(map(len, film[60]))
print(approx(count, "d"), f"of {len(small.targets)} objects are found, by", approx(boxes, "d"), "boxes")
assert count >= 20
assert boxes <= 40
assert len(film[16][2]) > len(film[60][2])
assert losses[-1] < losses[0] / 3
show_series(losses, title="the loss falls", x_label="step")

# %% [markdown]
# **What to notice**
# - First a few wrong boxes, then far too many: the network learns *that* there is something before it learns *where* it
#   ends. Then boxes drift onto the objects, and doubles go.
# - It has learnt four pictures **by heart**. Nothing says that it finds a cup in a fifth. Real training shows other mosaics at every step:
#   the official weights come from 300 rounds through 118,287 photographs.
# - BatchNorm used the mean of these four pictures all the time. The averages that it keeps for later, for single
#   pictures, follow slowly, and are not ready after 60 steps. [08_training_loop](08_training_loop.ipynb) has the rest:
#   warm-up, averages, and what goes wrong without.

# %% [markdown]
# ## 12. Your own picture, and trained weights
#
# Drag a photograph into the list of files on the left, and write its name here. The bundled network knows drawn shapes
# only. For photographs, fetch weights that know the 80 classes of COCO: in a terminal (in JupyterLab: File, New, Terminal), in the
# folder of this notebook,
#
# ```
# yolo-lite fetch yolov5n --folder downloads
# ```
#
# and write `"downloads/yolov5n.pt"`. Nothing here downloads behind your back; these official weights are AGPL-3.0, and
# `fetch` says so.

# %%
my_picture = None  # "my photo.jpg"
my_weights = "shapes-n"  # "downloads/yolov5n.pt", or what your own training wrote

trained = yl.load(my_weights)
picture = my_picture or scenes.image(4)
(mine,) = yl.predict(trained, picture, conf_thres=0.25)
print(mine)
show_image(picture, mine)

# %% [markdown]
# [10_real_weights_and_your_data](10_real_weights_and_your_data.ipynb) goes on from here: how good are the official
# weights, and how do you teach them something new?

# %% [markdown]
# ## 13. Check: the loss of one prediction, by hand
#
# Take one positive of section 8, and compute its box with nothing but the formula of section 4. Its overlap with the
# object must be what the loss used.

# %%
level, match = levels[1], matches[1]
t = maps[1][match.image[0], match.anchor[0], match.row[0], match.col[0], :4].sigmoid()
width, height = ((2 * t[2:]) ** 2 * match.anchor_wh[0]).tolist()
x, y = (2 * t[:2] - 0.5).tolist()
overlap = yl.bbox_iou(torch.tensor([[x, y, width, height]]), match.box[:1])
print(f"the overlap (CIoU): by hand {approx(overlap, '.4f')}, in the loss {approx(level.overlap[0], '.4f')}")
assert torch.allclose(overlap, level.overlap[:1], atol=1e-6)

# %% [markdown]
# ## Your turn: write `my_decode`
#
# Raw numbers become boxes by two short formulas. Write them for many predictions at once, in pixels of the picture: with
# `s` the sigmoid of `t`, the centre is `(2 s - 0.5 + cell) * stride`, the size `(2 s)² * anchor`.
#
# Each notebook from 00 to 14 has one such step for you, right before its questions. Put your lines in place of the `...` and run the
# cell. `check` compares your function with the library's, on the objects of the tour batch and on random numbers. Where they
# differ, it shows the first number that does, and says which usual mistake has the same numbers. `check(my_decode).step()`
# opens the Stepper on your own lines.

# %%
import torch
from walkthrough import check

def my_decode(t, cell, anchor, stride):
    """Raw numbers to boxes.

    t: (m, 4) raw numbers. cell: (m, 2) column and row. anchor: (m, 2) width and height in pixels.
    stride: pixels per cell. Returns: (m, 4) x, y (centre), w, h in pixels.
    """
    ...

check(my_decode)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_decode(t, cell, anchor, stride):
#     s = t.sigmoid()
#     centre = (2 * s[:, :2] - 0.5 + cell) * stride
#     size = (2 * s[:, 2:]) ** 2 * anchor
#     return torch.cat((centre, size), 1)
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>A picture is 960 x 480 pixels and the network takes 640 x 640. What are ratio and padding?</summary>
#
# The ratio is 640 / 960 = 0.667, so the picture becomes 640 x 320, and 160 rows of gray go above and below it.
# `yl.letterbox` with `auto=False` says the same: try it with `numpy.zeros((480, 960, 3), "uint8")`.
# </details>
#
# <details><summary>An object is 100 pixels wide and 5 high. Is an anchor of 30 x 61 matched to it?</summary>
#
# No: the width is only 3.3 times the anchor's, but the height is 12.2 times smaller. One side too far off is enough.
# </details>
#
# <details><summary>Why does the loss not compare all 25,200 boxes with the objects?</summary>
#
# Most of the picture is background. Its boxes have nothing to be compared with; they only have to say "no object", and
# that is what the objectness loss asks of them.
# </details>
#
# <details><summary>Why is "23 of 23 found" no proof that the network is good?</summary>
#
# It was asked about the pictures that it learnt from. Only pictures that it has never seen tell whether it has learnt
# what a cup is, or what these four pictures are. [09_inference_and_map](09_inference_and_map.ipynb) measures that.
# </details>

# %% [markdown]
# ## The tour
#
# Each of the others takes one step apart, answers the questions that people ask about it, and lets you touch it. Each
# runs in under a minute; the time is for reading and trying. They can be read in any order; this is the usual one.
#
# | notebook | what it answers | time |
# |---|---|---|
# | [01_data](01_data.ipynb) | How does a folder of pictures become a batch? Why is the padding gray? What if a label is wrong? | 30 min |
# | [02_augmentation](02_augmentation.ipynb) | What happens to a picture before the network sees it, and which boxes are lost? | 40 min |
# | [03_model_layer_by_layer](03_model_layer_by_layer.ipynb) | What do the 25 layers do, and what does each cost? | 60 min |
# | [04_grids_and_anchors](04_grids_and_anchors.ipynb) | What is an anchor, and where do 25,200 boxes come from? | 40 min |
# | [05_build_targets](05_build_targets.ipynb) | Which prediction is responsible for which object, and why is this anchor rejected? | 40 min |
# | [06_loss](06_loss.ipynb) | What is each prediction trained towards, and what do the loss weights do? | 50 min |
# | [07_backpropagation](07_backpropagation.ipynb) | How does one number become a change of every weight? | 40 min |
# | [07b_nine_mistakes](07b_nine_mistakes.ipynb) | How do people get training wrong, and how does one notice? | 40 min |
# | [08_training_loop](08_training_loop.ipynb) | Why warm-up, accumulation, averages? What goes wrong without? | 40 min |
# | [09_inference_and_map](09_inference_and_map.ipynb) | How do thousands of boxes become a few, and what is mAP? | 40 min |
# | [10_real_weights_and_your_data](10_real_weights_and_your_data.ipynb) | How do I use it: photographs, official weights, my own data? | 40 min |
# | [11_losses_through_time](11_losses_through_time.ipynb) | Why square roots, anchors, logistic classes, CIoU? YOLOv1 to v5 on one object | 60 min |
# | [12_backbones](12_backbones.ipynb) | Which choices make a backbone, and what does each of them change? | 50 min |
# | [13_anchor_free](13_anchor_free.ipynb) | What replaces anchors: points, task-aligned assignment, distances as distributions? | 50 min |
# | [14_gradients_and_words](14_gradients_and_words.ipynb) | What does YOLOv9's auxiliary branch change, and how can a class be a word? | 50 min |
# | [90_gallery](90_gallery.ipynb) | What can I touch? All tools, one line each | 10 min |
# | [91_what_you_may_have_read](91_what_you_may_have_read.ipynb) | Which widely read statements about YOLO are not so, and what is? | 30 min |
#
# **On to [01_data](01_data.ipynb)**: from a folder of pictures to a batch.
