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
# # 5. build_targets: which prediction is responsible for which object?
#
# The network makes 25,200 predictions for a picture. Its labels name seven objects. Before anything can be learnt,
# somebody has to say *which prediction is responsible for which object*. That is `build_targets`, the most puzzled-over
# function of YOLOv5. People read it with a debugger and a scratch notebook, printing one tensor after the other.
#
# We read it line by line too, but with a recorder: every line, every tensor, forward and back. Then we do it by hand.
#
# Two words are used by everybody who writes about this. A prediction that is responsible for an object is a
# **positive**: it is trained towards that object's box and class. All others are **negatives**: they are trained to say
# that nothing is there.
#
# It runs in about half a minute.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
import numpy as np
import torch

import yolo_lite as yl
from walkthrough import AnchorExplorer, Stepper, show_assignment, show_table, trace
from walkthrough.scene import Boxes, Panel, Picture, Scene, Text
from yolo_lite.loss.targets import assign_level, make_assignment, neighbour_cells, ratio_test, to_grid_units

# %% [markdown]
# ## 1. What goes in, what comes out
#
# In: the targets of a batch, one row for each object; the size of each grid; three anchors for each grid; the strides.
# Out, for each grid: a list of **matches**, the positives. A match says "this anchor in this cell of this picture is
# responsible for that object, and this is the box it should predict".
#
# A row of targets has six columns: the image's number in the batch, the class, and the box: $x, y$ of its centre,
# width and height, as fractions of the picture. So `targets[:, 2:]` is the boxes, and `targets[:, 4:]` their sizes.

# %%
batch = yl.tour_batch()
model = yl.create_model("yolov5n")
grids = [(640 // stride, 640 // stride) for stride in model.strides]
matches = yl.build_targets(batch.targets, grids, model.anchors, model.strides, anchor_t=4.0)
print("targets:", tuple(batch.targets.shape), " grids:", grids)
print("row 6:", "image {:.0f}, class {:.0f}, x {:.4f}, y {:.4f}, w {:.4f}, h {:.4f}".format(*batch.targets[6]))
for match, grid in zip(matches, grids):
    print(f"{len(match.cls):4} matches among {4 * 3 * grid[0] * grid[1]:6,} predictions of four pictures")

# %% [markdown]
# A match is one row through nine columns; the table below has those that are one whole number each. Four say *where* the
# prediction stands in the raw map `(image, anchor, row, column)`: YOLOv5 calls them `indices`. The others say what it
# should predict, and for which object: the box (`tbox`), the anchor in cells (`anch`), the class (`tcls`); `target` is the
# object's row. `offset` says which cell this is: 0 the object's own, 1 to 4 a neighbour (section 5).

# %%
first = matches[2]
columns = ["image", "anchor", "row", "col", "cls", "target", "offset"]
show_table(columns, [[int(getattr(first, name)[k]) for name in columns] for k in range(6)])

# %% [markdown]
# ## 2. Record it, and step through
#
# `trace(f)(...)` calls `f(...)` and writes down each line that runs and each variable that it changes. `into=` names
# functions that should be entered as well. The result is not touched.

# %%
record = trace(yl.build_targets, into=[assign_level])(batch.targets, grids, model.anchors, model.strides)
pairs = [(a, b) for ours, theirs in zip(record.result, matches) for a, b in zip(ours, theirs)]
print(f"{len(record.steps)} steps of the recording;", sum(int((a != b).sum()) for a, b in pairs), "of",
      f"{sum(a.numel() for a, _ in pairs):,} numbers of the result differ from those above")  # fmt: skip

# %%
stepper = Stepper(record, images=batch.images)
stepper.step = record.at("boxes")[0].index  # now the targets are in grid units
stepper

# %% [markdown]
# **What to notice**
# - The source, with the line that just ran, and every variable; what this line changed stands out.
# - "back" and the slider go back as easily as "next" goes forward, which few debuggers can do.
# - Click a variable, and unfold **the open value**: boxes and cells are drawn on the picture, anything else opens as a
#   table, a histogram or an image.
# - `assign_level` is called three times, once for each grid, and it is five statements long. They are all there is.
#
# If you come from Python's debugger `pdb`, these keys do the same (click into the Stepper first):
#
# | pdb | Stepper | what it does |
# |---|---|---|
# | `s` (step) | `n`, the button "next" | one step on, into functions that were recorded |
# | `n` (next) | `o`, "over" | one step on, over calls |
# | `r` (return), `up` | `u`, "out" | until this call is over |
# | `b LINE` | a click on the line | sets a breakpoint, or removes it |
# | `c` (continue) | `b`, "to breakpoint" | on to the next breakpoint |
# | `until`, in a loop | `i`, "next time here" | the next time that this line runs |
# | `p NAME` | a click on the variable | shows its value |
# | `display NAME` | `c`, "next change" | on to where the value changes; `x` goes back to where it changed before |
# | there is none | `p`, "back" | one step back |
# | `run`, and again from the start | `f` and `l` | to the first and to the last step |
#
# From here on we take the steps one at a time, on the grid of stride 8.

# %% [markdown]
# ## 3. Step one: grid units
#
# A target's box is given in fractions of the picture. The grid of stride 8 has 80 x 80 cells. Times 80, the box is
# measured in **cells**: the whole parts of $x$ and $y$ say in which column and row the centre lies, their fractions
# where in the cell. (YOLOv5 calls the factor 80 `gain`.) A cell is named (row, column) here, as in `raw[image, anchor,
# row, column]`; so $y$ comes first.

# %%
grid, anchors = grids[0], model.anchors[0] / 8  # (3, 2) anchors in cells
boxes = to_grid_units(batch.targets, grid)  # (n, 4)
unlike = (boxes - batch.targets[:, 2:] * 80).abs().max().item()
print("by hand and by the library, largest difference:", unlike, "cells")
rows = [[k, *boxes[k].tolist(), f"({int(boxes[k, 1])}, {int(boxes[k, 0])})"] for k in (6, 9, 13)]
show_table(["target", "x", "y", "w", "h", "cell (row, column)"], rows, title="three objects in cells of stride 8")

# %% [markdown]
# ## 4. Step two: the ratio test
#
# Each object is compared with each of the three anchors, so 23 objects become 3 x 23 pairs. A pair passes when neither
# side is off by a factor of 4 or more, in either direction:
#
# $$ \max\left(\frac{w}{w_a}, \frac{w_a}{w}, \frac{h}{h_a}, \frac{h_a}{h}\right) < 4 $$
#
# Why not simply the anchor with the largest overlap, as earlier YOLOs did? One anchor would get one chance to learn.
# With the ratio test several similar anchors learn from the same object, and an anchor that is hopeless is spared.
# Matching by anchors at all is what makes YOLOv5 an **anchor-based** detector: a prediction is positive because its
# anchor, a box known beforehand, is like the object. (Detectors without them are **anchor-free**: notebook
# [13](13_anchor_free.ipynb).)

# %%
test = ratio_test(boxes[:, 2:], anchors, anchor_t=4.0)
print("ratios:", tuple(test.ratio.shape))
print("pairs:", test.passed.numel(), " pairs that pass:", int(test.passed.sum()))
verdicts = [["yes" if passed else "no" for passed in each] for each in test.passed.T.tolist()]
rows = [[k, *(f"{w:.2f}" for w in test.worst[:, k].tolist()), *verdicts[k]] for k in (6, 9, 13)]
show_table(["target", "worst, anchor 0", "anchor 1", "anchor 2", "matched to 0", "to 1", "to 2"], rows)

# %% [markdown]
# **What to notice**
# - The largest of four quotients decides. One bad side is enough to be rejected.
# - Most pairs fail here: the objects of these pictures are large, and the anchors of stride 8 are small. They pass on
#   the other grids.
#
# You may have read another rule: *positive above an IoU of 0.7, negative below 0.3*. It is not YOLO's. It belongs to
# Faster R-CNN, a **two-stage** detector: its first stage, the region proposal network (**RPN**), matches anchors in that
# way and proposes places where something may be, and a second stage looks at each of them again. YOLO is **one-stage**:
# one network gives boxes and classes at once. (Notebook [11](11_losses_through_time.ipynb), section 13, has more of
# such numbers.)
#
# ### The repeated targets, (3, n, 7)
#
# In YOLOv5's code the same step looks different, and stops many readers: there `targets` suddenly has the shape
# (3, n, 7), (3, 23, 7) here, or (3, 43, 7) in a batch with 43 objects. **The first number counts the anchors, the second
# the objects. The table of targets is written down three times, once for each anchor, and each row gets a seventh column
# that says for which: the anchor's index, 0, 1 or 2.** Then rows that fail are thrown away, and the seventh column still
# knows the anchor of those that are left.

# %%
n = len(batch.targets)
repeated = torch.stack([torch.cat((batch.targets, torch.full((n, 1), float(a))), 1) for a in range(3)])  # (3, n, 7)
left_over = repeated[test.passed]  # (p, 7)
anchor, target = test.passed.nonzero(as_tuple=True)  # the library's: (p,) each
differ = int((left_over[:, 6] != anchor).sum() + (left_over[:, :6] != batch.targets[target]).sum())
print(f"repeated {tuple(repeated.shape)} -> {tuple(left_over.shape)}")
print(f"seventh column: {left_over[:, 6].int().tolist()}")
print(f"the library: anchors {anchor.tolist()}; {differ} of {left_over.numel()} numbers differ")

# %% [markdown]
# Both in a drawing, for the first five objects. What is orange says which anchor it is.

# %%
def cells_of(left, top, rows, cols, side=18):
    """The cells of a table, as boxes (rows * cols, 4)."""
    at = torch.cartesian_prod(torch.arange(rows), torch.arange(cols)) * side
    corner = at.flip(1) + torch.tensor([left, top])
    return torch.cat((corner, corner + side), 1)

def digits(boxes, words):
    places = [(float(x1) + 9, float(y2) - 12.5) for x1, _, _, y2 in boxes]  # of a digit's upper end
    return [Text(x, y, word, anchor="center") for (x, y), word in zip(places, words)]

layers = [Picture(np.full((170, 660, 3), (24, 33, 43), np.uint8))]
for a in range(3):
    left = 16 + 140 * a
    column, last = cells_of(left + 108, 50, 5, 1), cells_of(left + 108, 32, 1, 1)
    layers += [Boxes(cells_of(left, 50, 5, 6), colours=("own",), fill=0.3, width=1), *digits(column, str(a) * 5)]
    layers += [Boxes(column, colours=("neighbour",), fill=0.5, width=1), Text(left, 18, f"for anchor {a}")]
    layers += digits(cells_of(left, 32, 1, 6), ("im", "cls", "x", "y", "w", "h")) + digits(last, ["a"])

# %%
three, sizes, pairs = cells_of(470, 86, 3, 1), cells_of(510, 50, 1, 5), cells_of(510, 86, 3, 5)
layers += [Boxes(three, colours=("neighbour",), fill=0.5, width=1), *digits(three, "012")]
layers += [Boxes(sizes, colours=("own",), fill=0.3, width=1), Boxes(pairs, colours=("accent",), fill=0.3, width=1)]
layers += [Text(510, 34, "objects (1, n, 2)"), Text(470, 154, "anchors (3, 1, 2)  ->  ratios (3, n, 2)")]
layers += [Text(16, 154, "each row of 7 numbers: an object and an anchor")]
titles = "left, as in YOLOv5: repeated targets (3, n, 7); right, as here: broadcasting"
sheets = "three sheets of five rows; their seventh column holds 0, 1 and 2; beside them 3 anchors against 5 objects"
Scene(((Panel(tuple(layers), 660, 170, titles),),), words=sheets)

# %% [markdown]
# **What to notice**
# - Left: 3 x n rows are written, and most of them are thrown away again.
# - Right: nothing is repeated. A column of three anchors against a row of n objects gives 3 x n ratios
#   (**broadcasting**), and the place of a ratio says which anchor and which object it is.

# %% [markdown]
# ## 5. Step three: neighbours
#
# The centre lies in one cell, but perhaps close to its edge, and the cell beyond would do nearly as well. So each pair
# is assigned to up to two neighbours too: left or right, up or down, whichever is *less than half a cell away*. Three
# cells instead of one means three times as many chances to learn.

# %%
anchor, target = test.passed.nonzero(as_tuple=True)  # (p,) each
cells = neighbour_cells(boxes[target, :2], grid)  # (5, p): own, left, up, right, down
x, y = boxes[target[0], :2].tolist()
names = ("own", "left", "up", "right", "down")
assigned = [name for name, near in zip(names, cells[:, 0].tolist()) if near]
print(f"pair 0: centre at x {x:.2f}, y {y:.2f}; assigned to:", ", ".join(assigned))
print(f"{cells.shape[1]} pairs are assigned to {int(cells.sum())} cells")

# %% [markdown]
# ## 6. Step four: indices
#
# Every cell that a pair is assigned to becomes a match: its indices in the raw map, and its box target (`tbox`),
# measured from *its own* corner. For a neighbour the centre lies outside the cell, so x and y may run from -0.5 to 1.5.
# That is why the decoding $2\sigma(t) - 0.5$ reaches exactly that far.

# %%
by_steps = make_assignment(batch.targets, boxes, test.passed, cells, anchors, grid)
differ = sum(int((a != b).sum()) for a, b in zip(by_steps, matches[0]))
print(f"four steps and build_targets: {differ} of {sum(a.numel() for a in by_steps)} numbers differ")
low, high = by_steps.box[:, :2].min().item(), by_steps.box[:, :2].max().item()
print(f"x and y targets lie between {low:.2f} and {high:.2f}")
show_assignment(batch, matches, model.strides, image_index=0)

# %% [markdown]
# **What to notice**
# - Blue cells hold a centre, hatched ones are neighbours, dashed boxes are the anchors that are matched to an object.
# - Objects whose two sides are short are matched on the fine grid (stride 8, P3), large ones on the coarse one (stride 32,
#   P5). One long side is enough to be rejected: of 129 x 91 pixels an object is matched on the fine grid, of 34 x 137 it
#   is not. Most objects of this picture are matched on two grids, one on all three:

# %%
per_grid = torch.stack([torch.bincount(match.target, minlength=n) for match in matches], 1)  # (n, 3)
here = batch.targets[:, 0] == 0
rows = [[k, f"{w:.0f} x {h:.0f}", *per_grid[k].tolist()] for k, (w, h) in enumerate(batch.targets[here, 4:] * 640)]
show_table(["object", "pixels", "matches at stride 8", "at 16", "at 32"], rows, title="the objects of picture 0")

# %% [markdown]
# ## 7. A worked example to compare with
#
# Nine objects of one picture of 640 pixels, whose numbers are known from the reference implementation: 9 pairs pass at
# stride 8 and become 25 matches, 6 become 18 at stride 16, and 10 become 30 at stride 32. Three matches a pair would make
# 27 at stride 8: two neighbours lie outside of the grid, as the centre is less than one cell from its border.
#
# (A published walkthrough of this function has 43 objects, so its repeated targets are (3, 43, 7). 35 rows pass, and
# become 103 matches. You cannot run these two numbers again: only nine of the 43 rows were published, those below. With
# the nine it is 9 and 25.)

# %%
nine = torch.tensor(
    [
        [0, 53, 0.396669, 0.479963, 0.793338, 0.588065],
        [0, 0, 0.321526, 0.212996, 0.643052, 0.16726],
        [0, 60, 0.420099, 0.496443, 0.840199, 0.563289],
        [0, 0, 0.97439, 0.539114, 0.0512177, 0.469156],
        [0, 0, 0.62153, 0.994613, 0.0269818, 0.0107708],
        [0, 0, 0.21751, 0.992081, 0.076763, 0.0158359],
        [0, 6, 0.37533, 0.892184, 0.75066, 0.215629],
        [0, 6, 0.781094, 0.986248, 0.0703293, 0.0275012],
        [0, 0, 0.927958, 0.812408, 0.0307235, 0.0600933],
    ]
)

# %%
found = yl.build_targets(nine, grids, model.anchors, model.strides)
rows = []
for match, stride, size, anchor_px in zip(found, model.strides, grids, model.anchors):
    pairs = ratio_test(to_grid_units(nine, size)[:, 2:], anchor_px / stride).passed.sum()
    rows.append([stride, 3 * len(nine), int(pairs), len(match.cls), f"{3 * size[0] * size[1]:,}"])
show_table(["stride", "pairs", "pass the ratio test", "matches", "predictions"], rows)

# %% [markdown]
# Take the eighth object (row 7), 5.63 x 2.20 cells large on the 80 x 80 grid. It is matched to anchors 1 and 2, in three
# cells each: six matches.

# %%
x, y, w, h = to_grid_units(nine, grids[0])[7].tolist()
print(f"centre ({x:.5f}, {y:.5f}), size {w:.5f} x {h:.5f} cells")
mine = found[0].target == 7
rows = torch.stack((found[0].anchor, found[0].row, found[0].col), 1)[mine].tolist()
show_table(["anchor", "row", "column"], rows, title=f"{len(rows)} matches at stride 8")

# %% [markdown]
# **What to notice**
# - x = 62.49 is less than half way through column 62, so the left neighbour, column 61, is positive too, not the right
#   one.
# - y = 78.90 is more than half way through row 78, so the lower neighbour, row 79, is positive too.
# - Of 19,200 predictions at stride 8, 25 learn something about a box. All others only learn to be silent.

# %% [markdown]
# ## 8. A centre exactly on a line
#
# What if x is a whole number? Then the centre is as far from the left cell's middle as from its own. The rule looks at
# the fraction from both sides: $x \bmod 1 = 0 < 0.5$ adds the left cell. And $(W - x) \bmod 1 = 0 < 0.5$ adds the
# right one too ($W$ is the number of columns), but the right one is found by stepping half a cell to the right:
# $\lfloor x + 0.5 \rfloor = x$, the object's *own* cell again. So that match is listed twice.

# %%
on_line = torch.tensor([[0, 0, 0.5, 0.53, 0.1, 0.12]])  # x = 0.5 * 20 = 10 exactly
match = assign_level(on_line, grids[2], model.anchors[2] / 32)
seen = [[int(match.anchor[k]), names[match.offset[k]], int(match.row[k]), int(match.col[k])] for k in range(len(match.cls))]
show_table(["anchor", "as", "row", "column"], seen, title=f"x = {to_grid_units(on_line, grids[2])[0, 0]:.2f} cells")

# %% [markdown]
# **What to notice**
# - "own" and "right" are the same cell: its prediction counts twice in the mean of the box loss.
# - It is an accident of the rule, not an intention. The library keeps it, because equal numbers are the point.
# - It is not rare. Where boxes have whole pixels as corners, one in sixteen has its x on a line of the stride-8 grid:

# %%
corners = torch.arange(0, 640)
x1, x2 = torch.meshgrid(corners, corners, indexing="ij")
centres = ((x1 + x2) / 2)[x1 < x2]  # of all boxes with whole pixels as corners
print(f"centres on a line of the grid of 8 pixels: 1 in {1 / (centres % 8 == 0).float().mean():.1f}")

# %% [markdown]
# ## 9. Two objects, one cell
#
# Two objects may be assigned to the same anchor in the same cell. Both stay in the list, both teach the box and the
# class. But a prediction has only one objectness target (`tobj`), and the *last* match in the list sets it.

# %%
twins = torch.tensor([[0, 0, 0.51, 0.51, 0.20, 0.22], [0, 1, 0.515, 0.515, 0.24, 0.20]])
match = assign_level(twins, grids[2], model.anchors[2] / 32)
places = torch.stack((match.anchor, match.row, match.col), 1)  # (m, 3)
unique, count = places.unique(dim=0, return_counts=True)
print(f"{len(places)} matches on {len(unique)} predictions; {int((count > 1).sum())} of them are assigned to both objects")

# %%
place = unique[0]
assigned_to = match.target[(places == place).all(1)].tolist()  # in the order of the list
print(f"anchor, row, column {place.tolist()} is assigned to objects {assigned_to}")
print(f"object {assigned_to[-1]}, the last, sets its objectness target")

# %% [markdown]
# ## 10. Objects that no anchor is matched to
#
# An object far from every anchor's shape is in the label file, but no prediction is responsible for it: a flagpole, a
# horizon. It then teaches nothing at all, and the cells under it even learn that nothing is there.

# %%
pole = torch.tensor([[0, 0, 0.5, 0.5, 0.008, 0.9]])  # 5 x 576 pixels
counts = [len(match.cls) for match in yl.build_targets(pole, grids, model.anchors, model.strides)]
worst = ratio_test(pole[:, 4:] * 640, model.anchors.flatten(0, 1)).worst.min()
print("matches on the three grids:", counts, f"- the best anchor is off by a factor of {worst:.1f}")
looser = [len(match.cls) for match in yl.build_targets(pole, grids, model.anchors, model.strides, anchor_t=16.0)]
print("with anchor_t = 16:", looser)

# %% [markdown]
# Raising `anchor_t` lets it in, but then large anchors are asked for tiny objects too. Move it yourself: drag an object,
# change an anchor, and read for each why it is rejected.

# %%
anchors_of_tour = AnchorExplorer(images=batch, names=yl.YoloDataset("photos").names)
anchors_of_tour.show_story("why was it rejected?")
anchors_of_tour

# %% [markdown]
# **What to notice**
# - Large type says how well the chosen anchor fits. Unfold **every anchor**: the table gives the reason for each of the
#   nine, which side is too large or too small, and how many times. **objects** has every object at this stride.
# - With `anchor_t` near 1 hardly an anchor is matched to anything; with 4, every object of these pictures is matched
#   (the cell below counts).
# - Drag an object over a grid line: its neighbours jump to the other side at half a cell.

# %%
for anchor_t in (1.1, 1.5, 2.0, 4.0):
    found = yl.build_targets(batch.targets, grids, model.anchors, model.strides, anchor_t)
    matched = len(set().union(*(match.target.tolist() for match in found)))
    count = sum(len(m.cls) for m in found)
    print(f"anchor_t {anchor_t}: {matched:2} of {len(batch.targets)} objects matched, {count:3} matches")

# %% [markdown]
# ## 11. Check: build_targets by hand, in plain Python
#
# No tensors, just loops over objects, anchors and neighbours.

# %%
def matches_by_hand(targets, size, anchors_in_cells, anchor_t=4.0):
    found = set()
    for k, (image, cls, xc, yc, w, h) in enumerate(targets.tolist()):
        x, y, w, h = xc * size, yc * size, w * size, h * size
        cells = [(int(x), int(y))]
        if x % 1 < 0.5 and x > 1: cells.append((int(x - 0.5), int(y)))
        if y % 1 < 0.5 and y > 1: cells.append((int(x), int(y - 0.5)))
        if (size - x) % 1 < 0.5 and size - x > 1: cells.append((int(x + 0.5), int(y)))
        if (size - y) % 1 < 0.5 and size - y > 1: cells.append((int(x), int(y + 0.5)))
        for a, (aw, ah) in enumerate(anchors_in_cells.tolist()):
            if max(w / aw, aw / w, h / ah, ah / h) < anchor_t:
                found |= {(int(image), a, row, col, k) for col, row in cells}
    return found

# %%
for match, stride, size in zip(matches, model.strides, grids):
    theirs = set(zip(*(getattr(match, name).tolist() for name in ("image", "anchor", "row", "col", "target"))))
    mine = matches_by_hand(batch.targets, size[0], model.anchors[model.strides.index(stride)] / stride)
    both = len(mine & theirs)
    print(f"stride {stride:2}: {len(mine):3} matches by hand, {len(theirs):3} by the library, {both:3} in both lists")

# %% [markdown]
# ## Your turn: write `my_ratio_test`
#
# Which anchor is matched to which object? Write step two for all pairs at once, without a loop: `wh[None]` has the shape
# (1, n, 2), `anchor_wh[:, None]` has (A, 1, 2), and their quotient has (A, n, 2).

# %%
import torch
from walkthrough import check

def my_ratio_test(wh, anchor_wh, anchor_t):
    """Which pairs of anchor and object pass.

    wh: (n, 2) sizes of the objects. anchor_wh: (A, 2) sizes of the anchors, in the same unit.
    anchor_t: no side may be off by this factor or more. Returns: (A, n) bool.
    """
    ...

check(my_ratio_test)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_ratio_test(wh, anchor_wh, anchor_t):
#     ratio = wh[None] / anchor_wh[:, None]  # (A, n, 2)
#     worst = torch.maximum(ratio, 1 / ratio).amax(2)  # (A, n)
#     return worst < anchor_t
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>An object has its centre at x = 17.98, y = 18.59 cells. Which neighbours is it assigned to?</summary>
#
# The right one (0.98 is more than half way) and the lower one (0.59). Set it up in the explorer, or ask
# `neighbour_cells(torch.tensor([[17.98, 18.59]]), (20, 20))`.
# </details>
#
# <details><summary>Why is an object never assigned to both its left and its right neighbour?</summary>
#
# Its fraction is either below or above one half. Only a whole number satisfies both rules, and there the "right" cell is
# its own.
# </details>
#
# <details><summary>Can one object be matched on all three grids?</summary>
#
# Yes. The anchors of neighbouring grids overlap in reach: an object of 129 x 91 pixels passes with anchors of stride 8,
# 16 and 32.
# </details>
#
# <details><summary>The centre of an object is in the very first cell, x = 0.3. Which neighbour is it assigned to in x?</summary>
#
# None: left of the first cell there is nothing (x must be greater than 1), and the right one is more than half a cell
# away.
# </details>

# %% [markdown]
# **On to [06_loss](06_loss.ipynb)**: what the matched predictions are trained towards.
