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
# # 2. Augmentation: how four photographs become a thousand
#
# A network that sees the same 100 photographs 300 times learns them by heart: *this* cup, at *this* place, in *this*
# light. Asked about another cup, it is lost. **Augmentation** changes a picture a little each time it is shown, in ways
# that leave the label right: a cup moved, mirrored or darkened is still a cup.
#
# This notebook shows every change that YOLOv5 makes, one picture each, and what becomes of the boxes. Half a dozen
# things that are often said about them are measured. At the end you make a training sample with your own hands.
#
# It runs in about half a minute.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
import itertools
import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F

import yolo_lite as yl
from walkthrough import AugmentationLab, approx, column, row, show_bars, show_feature_maps, show_histogram, show_image
from walkthrough import show_table
from yolo_lite.augment import colour, geometry, mixing
from yolo_lite.augment.box_filter import box_candidates
from yolo_lite.augment.objects import Objects
from yolo_lite.augment.warp import WarpDraw, apply_warp, draw_warp, map_points, warp_matrices

# %% [markdown]
# ## 1. Draw first, then apply
#
# Every augmentation here is two functions. `draw_...` draws a few random numbers: it needs no picture.
# `apply_...` gets a picture and these numbers, and nothing in it is random. So every sample can be made again,
# looked at half-way, and taken apart. The numbers to draw from are the **hyperparameters** (settings that are chosen,
# not learnt).

# %%
photos = yl.YoloDataset("photos", img_size=224)
cup = list(photos.stages(photos.draw(0)))[-1]  # letterboxed to 224 x 224, as in notebook 01
image, objects = cup.image, cup.objects
hyp = yl.Hyperparameters()

drawn = [geometry.draw_flip(hyp, 224, np.random.default_rng(seed)) for seed in range(4)]
print(*drawn, sep="\n")
again = [geometry.draw_flip(hyp, 224, np.random.default_rng(seed)) for seed in range(4)]
print(f"the same seeds again: {sum(a != b for a, b in zip(drawn, again))} of 4 draws differ")

# %% [markdown]
# ## 2. Colour: hue, saturation, value
#
# The same cup looks yellow under a lamp and blue in the shade. To change such things separately, a pixel is written as
# **hue** (which colour of the rainbow), **saturation** (how much colour, 0 is gray) and **value** (how bright). Each is
# multiplied by a gain $1 + U(-1, 1) \cdot g$, where $U(-1, 1)$ is any number between -1 and 1, all equally likely.

# %%
cat = cv2.resize(photos.image(2), None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
gains = {"hue": (hyp.hsv_h, 0, 0), "saturation": (0, hyp.hsv_s, 0), "value": (0, 0, hyp.hsv_v)}
rows = []
for sign in (-1, 1):
    changed = [colour.apply_hsv(cat, colour.HsvDraw(tuple(1 + sign * g for g in change))) for change in gains.values()]
    titles = [f"{name} x {1 + sign * max(change):g}" for name, change in gains.items()]
    rows.append(row(*map(show_image, changed), titles=titles))
column(*rows)

# %% [markdown]
# These are the two ends of the default range. Do you see a difference in the first column? For the hue, g is only .015,
# because a cup may be darker, but hardly ever green. How far does a hue move at most? OpenCV counts the colour circle
# in 180 steps of 2 degrees.

# %%
hues = np.arange(180)
for gain in (1 - hyp.hsv_h, 1 + hyp.hsv_h):
    moved = colour.hsv_tables(colour.HsvDraw((gain, 1, 1)))[0][:180].astype(int)
    steps = np.minimum(abs(moved - hues), 180 - abs(moved - hues))  # the short way round the circle
    print(f"gain {gain:.3f}: at most {2 * steps.max()} of 360 degrees; red (hue 0) moves {2 * steps[0]}")

# %% [markdown]
# **What to notice**
# - The default changes hue by 6 degrees at most: nothing that you would see. It is saturation and brightness that it
#   really changes.
# - Hue is *multiplied*, not turned: pure red has hue 0 and stays as it is, whatever the gain.
# - No box changes: colour moves nothing.

# %% [markdown]
# ## 3. Blur, median blur, gray, CLAHE, and three more
#
# Cameras shake, lenses smear, some films have no colour. Each of these comes with a small probability of its own, 1 %
# or 0.
#
# - **blur**: each pixel becomes the mean of its neighbourhood, 3, 5 or 7 pixels wide;
# - **median blur**: the middle value instead of the mean: edges stay sharp, small details go;
# - **gray**: three equal colours;
# - **CLAHE**: contrast is stretched in each small tile by itself, which brings out what lies in the shade;
# - **brightness and contrast**, **gamma** (brightness along a curve), **JPEG** (the blocks of strong compression).

# %%
effects = {
    "as it was": colour.PhotometricDraw(),
    "blur, 5 px": colour.PhotometricDraw(blur=5),
    "median blur, 5 px": colour.PhotometricDraw(median_blur=5),
    "gray": colour.PhotometricDraw(to_gray=True),
    "CLAHE, 4": colour.PhotometricDraw(clahe=4.0),
    "brighter, less contrast": colour.PhotometricDraw(brightness_contrast=(0.2, -0.2)),
    "gamma 0.8": colour.PhotometricDraw(gamma=0.8),
    "JPEG, 75": colour.PhotometricDraw(jpeg=75),
}
panels = [show_image(colour.apply_photometric(cat, drawn), title=name) for name, drawn in effects.items()]
column(row(*panels[:4]), row(*panels[4:]))

# %% [markdown]
# **What to notice**
# - Blur removes the whiskers and the edges, median blur only the whiskers: an outline stays a jump.
# - CLAHE changes most: each tile gets its own bright and dark.
# - JPEG at 75 is the strongest that is ever drawn, and hardly to be seen. It is meant to be mild.
#
# How often does that happen? By default four of them have a probability of 0.01 and three of 0, so a picture is spared
# by all with probability $0.99^4$.

# %%
generator = np.random.default_rng(0)
touched = [any(s is not None for s in colour.draw_photometric(hyp, 224, generator)) for _ in range(10_000)]
print(*(f"{name} {getattr(hyp, name)}" for name in colour.PhotometricDraw._fields), sep="\n")
print(f"expected {1 - 0.99**4:.3f}, of 10,000 draws {sum(touched) / 10_000:.3f}")

# %% [markdown]
# ## 4. Flips
#
# A mirrored cup is a cup. The picture is mirrored, and its boxes must be mirrored with it, or the network learns that
# the cup is where it is not. In a picture $W$ pixels wide, $x$ becomes $W - x$; left and right edge change places.

# %%
left_right = geometry.apply_flip(image, objects, geometry.FlipDraw(left_right=True))
up_down = geometry.apply_flip(image, objects, geometry.FlipDraw(up_down=True))
x1, y1, x2, y2 = objects.boxes.T
by_hand = np.stack((224 - x2, y1, 224 - x1, y2), 1)
print("boxes by hand, largest difference in pixels:", np.abs(by_hand - left_right.objects.boxes).max())
again = geometry.apply_flip(*left_right, geometry.FlipDraw(left_right=True))
print(f"flipped twice: {(again.image != image).sum()} of {image.size:,} numbers of the image differ")
moved = np.abs(again.objects.boxes - objects.boxes).max()
print("and of the boxes, largest difference in pixels:", approx(moved, ".0e"))
assert moved < 1e-4
print(f"chances: left-right {hyp.fliplr}, up-down {hyp.flipud}")

# %% [markdown]
# A classic slip is to mirror the pixels and forget the boxes: then half of all samples teach the wrong place.
#
# Photographs have an up, so up-down is off. For pictures from above (satellites, microscopes) both make sense; for text
# or traffic signs, neither. The next picture shows both flips beside the other changes of place.

# %% [markdown]
# ## 5. Moving things: translate, scale, rotate, shear, perspective, crop
#
# An object may be anywhere, of any size, and the camera may be held at an angle. Five changes of place, each alone.
# They are the **warp**. A sixth stands apart, the **random resized crop**: cut out a window of 80 to 100 % of the area
# and enlarge it to the full size. By default it is off; the zoom of the warp does much the same.

# %%
warps = {
    "as it was": WarpDraw(),
    "translate 10 %": WarpDraw(translate=(0.6, 0.6)),
    "scale, zoom 0.6": WarpDraw(scale=0.6),
    "rotate, 15 degrees": WarpDraw(angle=15),
    "shear, 15 degrees": WarpDraw(shear=(15, 0)),
    "perspective 0.002": WarpDraw(perspective=(0.002, 0)),
}
warped = {name: apply_warp(image, objects, drawn) for name, drawn in warps.items()}
warped |= {"flip left-right": left_right, "flip up-down": up_down}
x, y, w, h = window = geometry.draw_crop(hyp.replace(random_resized_crop=1), 224, np.random.default_rng(46))
warped["random resized crop"] = geometry.apply_crop(image, objects, window)
left, top, right, bottom = (224 * side for side in (x, y, x + w, y + h))
panels = [show_image(w.image, w.objects.boxes, title=name) for name, w in warped.items()]
panels.insert(-1, show_image(image, [[left, top, right, bottom]], title="window of the crop"))
print(f"the window has {w * h:.0%} of the area, and is {right - left:.0f} x {bottom - top:.0f} px")
column(row(*panels[:5]), row(*panels[5:]))

# %% [markdown]
# **What to notice**
# - Wherever cup, spoon and table go, their boxes go along. In the left-right flip the spoon changes sides.
# - What no pixel lands on is filled with gray 114, as in a letterbox.
# - Rotation, shear and perspective turn an upright box into a tilted one, which a label cannot say. The new box is the
#   upright box around it.
# - Perspective makes what is near large and what is far small: the right side shrinks.
#
# Where objects have outlines, as here, the new box goes around the *turned outline*. Where only boxes are known, it
# goes around the four *turned corners*, and there is more air in it. How much more?

# %%
def boxes_only(objects):
    return Objects.build(objects.cls, objects.boxes)

def area(objects, index):
    return np.prod(objects.boxes[index, 2:] - objects.boxes[index, :2])

loose = [apply_warp(image, boxes_only(objects), WarpDraw(angle=a)).after for a in (10, 20)]
tight = [apply_warp(image, objects, WarpDraw(angle=a)).after for a in (10, 20)]
for angle, a, b in zip((10, 20), loose, tight):
    print(f"{angle} degrees: the spoon's box is {area(a, 1) / area(b, 1):.2f} times as large as it has to be")

# %% [markdown]
# That is one reason why rotation is off by default: with boxes alone it teaches loose boxes.

# %% [markdown]
# ## 6. One matrix for all: M = T S R P C
#
# Five changes, one after the other, would blur the picture five times (each asks for colours *between* pixels). So they
# are multiplied into one matrix first, and the pixels are moved once.
#
# Why 3 x 3? A 2 x 2 matrix can turn, stretch and shear, but never shift: it keeps $(0, 0)$ where it is. With a third
# number, $(x, y, 1)$, a shift is a product too. The result is divided by its own third number; that division is what
# makes perspective.
#
# $$ M = T \, S \, R \, P \, C $$
#
# Read it from the right, as it acts on a point: **C** brings the middle of the picture to $(0, 0)$, **P** tilts, **R**
# rotates and zooms, **S** shears, **T** carries the middle to its place in the output.

# %%
drawn = WarpDraw(angle=30, scale=0.6, shear=(15, 0), translate=(0.6, 0.5), perspective=(0.001, 0))
T, S, R, P, C = matrices = warp_matrices(drawn, canvas=224, size=224)
M = T @ S @ R @ P @ C
print(f"by hand and by the library: {(M != matrices.combined).sum()} of 9 numbers differ")
names = ("M", "T translation", "S shear", "R rotation, zoom", "P perspective", "C centre")
blocks = []
for name, factor in zip(names, (M, *matrices)):
    numbers = ["".join(f"{v:8.4g}" for v in line) for line in factor + 0.0]  # 0.0: no -0
    blocks.append([f"{name:>24}", *numbers, ""])
for three in (blocks[:3], blocks[3:]):
    print(*("   ".join(lines) for lines in zip(*three)), sep="\n")

# %%
x, y, w = M @ (100, 50, 1)  # a point, by hand
print(f"(100, 50) goes to ({x / w:.2f}, {y / w:.2f})")
print("in the library to ({:.2f}, {:.2f})".format(*map_points(np.array([100.0, 50]), M)))

# %% [markdown]
# ## 7. Why the order matters
#
# $3 \cdot 5 = 5 \cdot 3$, but "turn, then step forward" is not "step forward, then turn". Let us swap factors and
# look. Over each picture stands where its middle, (112, 112), has gone.

# %%
from yolo_lite.augment.warp import warp_image

factors = dict(zip("TSRPC", matrices))
middle = np.array([112.0, 112])
horse = list(photos.stages(photos.draw(4)))[-1].image

def product(order):
    return np.linalg.multi_dot([factors[name] for name in order])

orders = ["TSRPC", "TRSPC", "STRPC", "RTSPC", "TSCRP", "TSRCP"]
panels = []
for order in orders:
    x, y = map_points(middle, product(order))
    swapped = warp_image(horse, product(order), (224, 224))
    panels.append(show_image(swapped, title=f"{order}: {x:.0f}, {y:.0f}"))
row(*panels)

# %% [markdown]
# **What to notice**
# - `TSRPC` puts the middle where T says: at 0.6 and 0.5 of 224, that is (134.4, 112). Zoom and angle do not move it.
# - `TRSPC`, shear and rotation swapped: the middle is right, the horse leans differently.
# - `STRPC` and `RTSPC`: the shift itself is sheared, or turned and shrunk. A `translate` of 0.1 would no longer mean
#   10 % of the side.
# - `TSCRP`, perspective and rotation before centring: it turns around the corner, and the horse moves out at the
#   top in part.
# - `TSRCP`, perspective before centring: the tilt is measured from the corner, and the middle shifts.
#
# Five factors can stand in 120 orders. How many different warps are that?

# %%
def distinct(names):
    """How many different matrices all orders of some factors give, up to a common factor."""
    found = [product(order) for order in itertools.permutations(names)]
    return len({tuple((m / m[2, 2]).round(6).ravel().tolist()) for m in found})

print(f"{math.factorial(5)} orders, {distinct('TSRPC')} different warps")
print(f"rotation and shear alone: {distinct('RS')}; translation and centring alone: {distinct('TC')}")

# %% [markdown]
# Two shifts may be swapped, they just add up. Nearly nothing else may. So an order is a *decision*; a project with
# another order makes other samples from the same settings.

# %% [markdown]
# ## 8. Mosaic: four photographs in one sample
#
# A photograph of a cup on a table always has the cup on the table. A **mosaic** lays four photographs around one point,
# so objects meet new neighbours, are cut, and come four times as many in a sample. The canvas is twice as wide and high
# as the network's input; its four parts meet somewhere in its middle half. Then the warp cuts an input out of it.

# %%
train = yl.YoloDataset("photos", img_size=224, augment=True, seed=63)
draw = train.draw(0)
print("the steps:", [stage.name for stage in train.stages(draw)])
print(draw.mosaic.mosaic)
mosaic, _, warp, *_ = train.stages(draw)
for name, stage in {"mosaic": mosaic, "warp": warp}.items():
    print(f"{name}: {stage.image.shape}, {stage.objects.num_objects} objects")
pair = [show_image(stage.image, stage.objects, names=photos.names) for stage in (mosaic, warp)]
row(*pair, titles=["mosaic, 448 x 448", "after the warp, 224 x 224"])

# %% [markdown]
# **What to notice**
# - The photographs are *not* shrunk to a quarter. Each has its full size, touches the centre with a corner, and is cut
#   where the canvas ends.
# - The warp sees the canvas through a window that is half as wide and high. Its zoom decides how large things come out.
# - The three partners are drawn with replacement: a photograph may come twice.

# %%
rows = [[number, *(" x ".join(f"{side:g}" for side in np.subtract(part[2:], part[:2])) for part in (p.source, p.canvas))]
        for number, p in enumerate(mosaic.result.placements)]
assert all(taken == placed for _, taken, placed in rows)
show_table(["photograph", "taken from it, px", "in the canvas, px"], rows)

# %% [markdown]
# **What to notice**
# - Both columns say the same: what is taken is as large as where it goes, so nothing is scaled. What lies outside the canvas
#   is lost: a part of photographs 0 and 2, one row of 3, nothing of 1.
#
# ## 9. Mixup: two samples on top of each other
#
# Two finished mosaics are blended, $\text{ratio} \cdot a + (1 - \text{ratio}) \cdot b$, and the sample has the objects
# of both. It keeps the network from being too sure. Where does the ratio come from? From a Beta(32, 32) distribution,
# which nearly always says "about half".

# %%
other = list(train.stages(train.draw(4)))[2]
mixed = mixing.apply_mixup(warp.image, warp.objects, other.image, other.objects, mixing.MixupDraw(0.5))
generator = np.random.default_rng(0)
ratios = np.array([mixing.draw_mixup(hyp, 224, generator).ratio for _ in range(10_000)])
print(f"the smallest and the largest ratio: {approx(ratios.min())} and {approx(ratios.max())}")
print(f"objects: {warp.objects.num_objects} + {other.objects.num_objects} = {mixed.objects.num_objects}")
print(f"of 10,000 ratios, between 0.35 and 0.65: {approx(np.mean(abs(ratios - 0.5) < 0.15), '.1%')}")
assert abs(ratios - 0.5).max() < 0.3 and np.mean(abs(ratios - 0.5) < 0.15) > 0.97
picture, chart = show_image(mixed.image, mixed.objects, names=photos.names), show_histogram(ratios, x_label="ratio")
row(picture, chart, titles=["mixup, half and half", "10,000 ratios"])

# %% [markdown]
# **What to notice**
# - Every object keeps its full box, though it is half transparent. Its label is not "half a cup".
# - A ratio near 0 or 1, where one picture would vanish and its labels be wrong, is not to be found in 10,000 draws.

# %% [markdown]
# ## 10. Copy-paste: an object at a second place
#
# Cut an object out along its outline, mirror it, and paste it on the other side of the canvas. It needs outlines: with
# boxes, background would be copied too. It is only pasted where it hides less than 30 % of every box that is there.

# %%
paste = yl.YoloDataset("photos", img_size=224, hyp=hyp.replace(copy_paste=1), augment=True, seed=10)
before, after, *_ = paste.stages(paste.draw(0))
new = after.objects.cls[before.objects.num_objects :]
print("pasted:", [photos.names[cls] for cls in new], "of", before.objects.num_objects, "objects")
marked = after.objects.select(np.arange(before.objects.num_objects, after.objects.num_objects))
show_image(after.image, marked, names=photos.names, title="the pasted objects")

# %% [markdown]
# **What to notice**
# - Each pasted thing has its original opposite: the mirror of the *whole canvas* says where it lands.
# - Pasted things look pasted: mirrored, in front of the wrong background, with hard edges. Others had pasted objects
#   at places that suit them; [arXiv 2012.07177](https://arxiv.org/abs/2012.07177) pasted them at random places and found
#   that this is good enough: the scene need not make sense.

# %% [markdown]
# ## 11. Which boxes are dropped, and why
#
# After a warp, part of an object may be outside. Should its box stay? A box with three pixels of a person's sleeve
# asks the network for the impossible, and it would learn to see persons in sleeves. So a **box filter** (YOLOv5:
# `box_candidates`) keeps a box only if all four are true:
#
# | rule | number | what it keeps out |
# |---|---|---|
# | wide enough | $w > 2$ px | slivers at the left and right border |
# | high enough | $h > 2$ px | slivers at the top and bottom |
# | not too thin | longer side / shorter side < 100 | lines |
# | enough of it left | area > 0.10 of the area before (0.01 with outlines) | what has nearly left the picture |
#
# Five boxes, four of which fail by one rule each. The warp shifts everything 60 pixels to the left.

# %%
five = {  # in a picture of 224 x 224; what is left of x = 60 will be outside
    "stays": [105, 80, 182, 165],
    "narrow": [49.5, 35, 61.5, 70],
    "flat": [90, 200, 150, 201.5],
    "thin": [208, 2, 210.15, 222],
    "gone": [0, 105, 65.5, 160],
}
shift = WarpDraw(translate=(0.5 - 60 / 224, 0.5))
view = apply_warp(horse, Objects.build(range(5), list(five.values())), shift)
reasons = [reason.split(":")[0] or "stays" for reason in view.box_filter.reasons]
left = show_image(horse, list(five.values()), list(five))
row(left, show_image(view.image, view.after.boxes, reasons), titles=["before", "after: 60 px to the left"])

# %%
before, after = (objects.boxes.astype(float) for objects in (view.before, view.after))
sizes, old = after[:, 2:] - after[:, :2], before[:, 2:] - before[:, :2]
w, h = sizes.T
fraction, aspect = sizes.prod(1) / old.prod(1), np.maximum(w / h, h / w)
stays = (w > 2) & (h > 2) & (aspect < 100) & (fraction > 0.10)
print(f"by hand and by the library: {(stays != view.box_filter.kept).sum()} of 5 verdicts differ")
verdicts = ["stays" if each else "dropped" for each in stays]
rows = list(zip(five, w, h, aspect, fraction, verdicts))
show_table(["box", "w", "h", "aspect", "fraction of its area", "verdict"], rows)

# %% [markdown]
# **What to notice**
# - *narrow* has 12.5 % of its area left, enough for the last rule, but 1.5 pixels are nothing to look at.
# - *thin* is all there, and 220 pixels high. But a box 102 times as high as wide is a slip in the labels more often
#   than an object.
#
# Why must the area before be multiplied by the square of the zoom? Because a shrunken object is all there. Without it,
# a zoom of 0.3 would drop *every* box that has no outline:

# %%
box = Objects.build([0], [[80, 80, 150, 150]])
small = apply_warp(image, box, WarpDraw(scale=0.3))
print(f"area left: {area(small.after, 0) / area(box, 0):.2f} of what it was")
for name, zoom in {"with the zoom taken into account": 0.3, "without": 1}.items():
    print(f"{name}: {'kept' if box_candidates(box.boxes * zoom, small.after.boxes).kept.item() else 'dropped'}")

# %% [markdown]
# With outlines the last rule is milder, 0.01, because a box around the visible part of an outline hugs what is really
# there. Here is one view of the cup that keeps it with its outline and drops it without. Nearly all of it is outside.

# %%
aside = WarpDraw(translate=(-0.15, 0.5))  # 146 pixels to the left
outlined, boxed = apply_warp(image, objects, aside), apply_warp(image, boxes_only(objects), aside)
for name, view in {"outline": outlined, "box": boxed}.items():
    left = area(view.after, 0) / area(view.before, 0)
    print(f"{name}: {left:.3f} of its area left; the cup {'stays' if view.box_filter.kept[0] else 'is dropped'}")

# %% [markdown]
# What do the rules do to real samples? That is what **AugmentationLab** is for: all stages of a sample, the window of
# the warp, and each lost box. Change `seed` below the picture, or drag a box of the photograph. Unfold *boxes dropped,
# what chance decided* for the reasons and the matrix; `degrees`, `scale` and the others are under *25 more settings*.
# *upload a picture* takes one of your own.

# %%
lab = AugmentationLab(size=256)
lab

# %% [markdown]
# **What to notice**
# - Two boxes are lost, for different reasons (unfolded): one lies outside altogether, of the other a sliver is left.
# - The dash-dotted frame in the mosaic is what the network will get to see.

# %% [markdown]
# ## 12. Why translation helps, although convolutions share weights
#
# A convolution uses the same weights at every place. Move the object, and the response moves along. So what is there to
# learn from a moved picture?
#
# The catch is the border. A 3 x 3 convolution at the edge needs pixels that do not exist, and uses zeros for them:
# **padding**. Zeros are unlike anything in the picture. The edge looks special, and the network can see from it where
# it is.
#
# Let us see it. The picture is all gray: one number, 114 / 255, nothing else. Weights are random but fixed. For
# comparison the same stack *without* a border: there the left neighbour of the first column is the last one
# ("circular").

# %%
def stack(image, padding, layers, channels=8):
    """Convolutions 3 x 3 with fixed random weights, a ReLU after each."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(layers):
        scale = (4.5 * image.shape[1]) ** 0.5  # keeps the numbers at about the same size
        weight = torch.randn(channels, image.shape[1], 3, 3, generator=generator) / scale
        image = F.relu(F.conv2d(F.pad(image, (1, 1, 1, 1), mode=padding), weight))
    return image  # (n, channels, H, W)

gray = torch.full((1, 1, 32, 32), 114 / 255)
rows = []
for layers in range(1, 6):
    maps = {padding: stack(gray, padding, layers)[0] for padding in ("constant", "circular")}
    special = [int(((m - m[:, 16:17, 16:17]).abs() > 1e-3).any(0).sum()) for m in maps.values()]
    rows.append([layers, *special, 32**2 - (32 - 2 * layers) ** 2])
show_table(["layers", "special cells, zeros around", "special cells, no border", "frame as wide as layers"], rows)

# %%
show_feature_maps({"zeros around": stack(gray, "constant", 4), "no border": stack(gray, "circular", 4)}, count=8)

# %% [markdown]
# **What to notice**
# - The input has no content at all. Yet with zeros around it a frame appears, and it grows by one cell per layer.
# - A cell in the frame can know: "I am at the left", "I am in a corner". Its response depends on its place.
# - Without a border all cells are equal: these are the shared weights one has in mind.
#
# Does it matter for objects? Put one bright dot into the gray, move it, move the response back, and compare with the
# response to the dot in the middle. With four layers, the largest difference is:

# %%
def response(column, padding):
    """What the dot changes, moved back to the middle."""
    picture = gray.clone()
    picture[..., 16, column] = 1
    change = stack(picture, padding, 4) - stack(gray, padding, 4)
    return change.roll(16 - column, dims=3)

def difference(column, padding):
    """The largest difference to the response in the middle."""
    return (response(column, padding) - response(16, padding)).abs().max().item()

rows = [[column, difference(column, "constant"), difference(column, "circular")] for column in (16, 12, 8, 6, 4, 2, 0)]
assert all(zeros < 1e-4 if column >= 8 else zeros > 0.03 for column, zeros, _ in rows)
assert all(circular < 1e-4 for *_, circular in rows)
show_table(["column of the dot", "difference, zeros around", "difference, no border"],
           [[column, approx(zeros, ".3f"), approx(circular, ".3f")] for column, zeros, circular in rows])  # fmt: skip

# %% [markdown]
# **What to notice**
# - The same dot, the same weights, another response: whenever the dot's reach (four cells) meets the frame (four
#   cells). From column 8 on it is safe.
# - In a deep network the frame is everywhere. Here is the real one, untrained, with the same gray picture:

# %%
model = yl.create_model("yolov5n").eval()
unlike = {}
with torch.no_grad():
    for layer, maps in model.forward_layers(torch.full((1, 3, 320, 320), 114 / 255)):
        if layer.index in (0, 2, 4, 6, 9):
            middle = maps.shape[-1] // 2
            difference = (maps - maps[..., middle, middle][..., None, None]).abs().amax(1) / maps.abs().max()
            unlike[f"layer {layer.index}"] = (difference > 0.001).float().mean().item()
for name, part in unlike.items():
    print(f"{name}: {approx(part, '.0%')} of the cells are unlike the middle one")
assert all(later > 1.3 * earlier for earlier, later in itertools.pairwise(unlike.values()))
assert unlike["layer 9"] > 0.9
show_bars(unlike, title="cells unlike the middle one, gray picture of 320 px", y_label="fraction")

# %% [markdown]
# **What to notice**
# - Deep cells look at much of the picture, so more and more of them see the zeros beside it.
# - In layer 9 a cell is 32 pixels wide, and nearly all of its 10 x 10 cells can know where they are.
#
# So a network *can* learn "objects are in the middle", if all its pictures have them there. Does it? A small network
# with zeros around is to find a bright dot in noise. Once it trains on dots in the middle only, once on dots anywhere:
# that is translation. Then both are asked about dots in the middle and at the border.

# %%
def dots(columns, generator):
    """Pictures (n, 1, 16, 16) of noise, one brighter pixel in each; and where it is."""
    images = 114 / 255 + 0.07 * torch.randn(len(columns), 1, 16, 16, generator=generator)
    lines, which = torch.randint(16, (len(columns),), generator=generator), torch.arange(len(columns))
    truth = torch.zeros_like(images)
    truth[which, 0, lines, columns] = 1
    return images + 0.4 * truth, truth

def forward(weights, images, padding):
    for weight in weights[:-1]:
        images = F.relu(F.conv2d(F.pad(images, (1, 1, 1, 1), mode=padding), weight))
    return F.conv2d(images, weights[-1]) - 4  # a dot is rare: start by saying no

def confidence(weights, column, padding):
    """How sure it is, on average, where a dot is in that column."""
    images, truth = dots(torch.full((500,), column), torch.Generator().manual_seed(9))
    with torch.no_grad():
        return forward(weights, images, padding)[truth > 0].sigmoid().mean().item()

# %%
def trained(low, high, padding="constant"):
    """Three layers, 200 steps, on dots in columns low to high - 1."""
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(8, c, 3, 3, generator=generator) / (4.5 * c) ** 0.5 for c in (1, 8, 8)]
    weights = [w.requires_grad_() for w in (*weights, torch.zeros(1, 8, 1, 1))]
    optimizer = torch.optim.Adam(weights, lr=0.03)
    for _ in range(200):
        images, truth = dots(torch.randint(low, high, (32,), generator=generator), generator)
        loss = F.binary_cross_entropy_with_logits(forward(weights, images, padding), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weights

sureness = {}
runs = {"middle only": (6, 10, "constant"), "anywhere": (0, 16, "constant")}
runs["no border"] = (6, 10, "circular")
for name, (low, high, padding) in runs.items():
    weights = trained(low, high, padding)
    sureness[name] = confidence(weights, 0, padding) / confidence(weights, 8, padding)
for name, value in sureness.items():
    print(f"{name}: at the border {approx(value, '.1%')} as sure as in the middle")
assert sureness["middle only"] < 0.5 and sureness["anywhere"] > 0.75 and sureness["no border"] > 0.75
show_bars(sureness, title="how sure at the border, compared with the middle", y_label="ratio")

# %% [markdown]
# **What to notice**
# - Same weights at every place, and yet blind at the border: it has learnt that there is never anything there.
# - Translation removes that lesson. It is not there to teach the convolution about other places; it breaks the link
#   between place and prediction.
# - Without a border there is no such link, and training in the middle is enough.

# %% [markdown]
# ## 13. What is often said, measured
#
# **"`translate: 0.1` shifts by 10 %, `scale: 0.5` halves the picture."** They are the *ends* of a range.

# %%
generator = np.random.default_rng(0)
draws = [draw_warp(hyp, 640, generator) for _ in range(10_000)]
shift, zoom = np.array([d.translate for d in draws]) - 0.5, np.array([d.scale for d in draws])
print(f"shift: {shift.min():.2f} to {shift.max():.2f} of the side, usually {abs(shift).mean() * 640:.0f} of 640 pixels")
print(f"zoom: {zoom.min():.2f} to {zoom.max():.2f}, on average {zoom.mean():.2f}; enlarged: {np.mean(zoom > 1):.0%}")
row(show_histogram(shift[:, 0] * 640, x_label="shift, px"), show_histogram(zoom, x_label="zoom"))

# %% [markdown]
# **What to notice**
# - All values in the range are equally likely; half of the samples are enlarged, half are shrunk.
# - 10 % and 0.5 are as rare as no shift and no zoom at all.
#
# **"The defaults rotate and shear."** They do neither: in a default draw S and P are the identity (the matrix that
# changes nothing), and R only zooms.

# %%
T, S, R, P, C = warp_matrices(draws[0], canvas=1280, size=640)
print("degrees, shear, perspective:", hyp.degrees, hyp.shear, hyp.perspective)
zoom_alone = np.diag([draws[0].scale, draws[0].scale, 1])
print(f"S and the identity: {(np.eye(3) != S).sum()} of 9 numbers differ")
print(f"P and the identity: {(np.eye(3) != P).sum()} of 9 numbers differ")
print(f"R and the zoom alone: {(zoom_alone != R).sum()} of 9 numbers differ")

# %% [markdown]
# **"114 is a normalised zero."** It is a padding value. Pixels are divided by 255 and nothing is subtracted, so the
# network gets 0.447. It would be about zero in networks that subtract ImageNet's average; YOLOv5 does not. And in the
# finished sample it is not even 114: colour comes after the padding.

# %%
average = np.mean([0.485, 0.456, 0.406])  # of ImageNet's photographs, red, green, blue
print(f"as the network gets it: {114 / 255:.3f}; were ImageNet's average subtracted: {114 / 255 - average:.3f}")
padding = np.full((1, 1, 3), 114, np.uint8)
for gain in (1 - hyp.hsv_v, 1 + hyp.hsv_v):
    changed = colour.apply_hsv(padding, colour.HsvDraw((1, 1, gain)))
    print(f"after a brightness gain of {gain:.1f} the padding is", changed[0, 0])

# %% [markdown]
# **"Mosaic makes the batch four times as large."** The batch has as many pictures, of the same size. It has more
# *objects*, and each sample reads four photographs instead of one: that costs loading time, not memory on the device.
#
# **"Augmentation makes the dataset larger."** Its length stays. Each *epoch* shows other samples.

# %%
options = dict(batch_size=6, img_size=64, augment=True, seed=0)
batches = {p: next(iter(yl.create_dataloader("photos", hyp=hyp.replace(mosaic=p), **options))) for p in (0, 1)}
for p, batch in batches.items():
    print(f"mosaic {p}: images {tuple(batch.images.shape)}, {len(batch.targets)} objects")
print("length with and without augmentation:", len(train), len(photos))
first, second, again = train.sample(0, epoch=0), train.sample(0, epoch=1), train.sample(0, epoch=0)
differ = (first.image != second.image).float().mean()
print(f"another epoch: {approx(differ, '.0%')} of the numbers differ")
print(f"the same epoch again: {(first.image != again.image).sum()} of {again.image.numel():,} differ")
assert differ > 0.5 and torch.equal(first.image, again.image)

# %% [markdown]
# ## 14. Check: a sample by hand
#
# One draw, all five factors of the warp, no colours. The dataset gets boxes without outlines, so four corners are all
# there is to map. First what goes in: a photograph with its longest side at 640, and its boxes in pixels.

# %%
from yolo_lite.data.labels import LabelStore
from yolo_lite.datasets.photos import Photos

source = Photos()
labels = [source.labels.of(index) for index in range(len(source))]
source.labels = LabelStore.build([one._replace(polygons=(None,) * len(one.cls)) for one in labels])
plain = {name: 0 for name in ("hsv_h", "hsv_s", "hsv_v", "blur", "median_blur", "to_gray", "clahe", "fliplr")}
hard = hyp.replace(degrees=10, shear=5, perspective=0.0003, **plain)
dataset = yl.YoloDataset(source, hyp=hard, augment=True, seed=10)
draw = dataset.draw(0).mosaic

def loaded(index):
    picture = source.read(index)
    height, width = (-(-side * 640 // max(picture.shape[:2])) for side in picture.shape[:2])  # rounded up
    x, y, w, h = labels[index].boxes.T
    corners = np.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 1)
    return cv2.resize(picture, (width, height)), corners * np.float32([width, height, width, height])

# %%
def mosaic_by_hand(draw):
    canvas, boxes = np.full((1280, 1280, 3), 114, np.uint8), []
    four = [loaded(index) for index in (draw.index, *draw.mosaic.partners)]
    x, y = draw.mosaic.centre
    for corner, which in enumerate(draw.mosaic.order):  # two above, two below
        picture, corners = four[which]
        height, width = picture.shape[:2]
        left, top = x - width * (corner in (0, 2)), y - height * (corner in (0, 1))  # of its (0, 0)
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + width, 1280), min(top + height, 1280)
        canvas[y1:y2, x1:x2] = picture[y1 - top : y2 - top, x1 - left : x2 - left]
        boxes.append(corners + np.float32([left, top, left, top]))
    boxes = np.concatenate(boxes).clip(0, 1280)
    return canvas, boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]

canvas, boxes = mosaic_by_hand(draw)
mosaic, _, warp, *_, last = dataset.stages(dataset.draw(0))
print(f"canvas: {(canvas != mosaic.image).sum()} of {canvas.size:,} numbers differ")
print(f"{len(boxes)} boxes, largest difference: {np.abs(boxes - mosaic.objects.boxes).max()}")

# %% [markdown]
# Then the matrix, factor by factor, the pixels, the corners, the clipping, and the four rules.

# %%
def warp_by_hand(canvas, boxes, drawn):
    turn, (a, b) = math.radians(drawn.angle), (math.tan(math.radians(degrees)) for degrees in drawn.shear)
    c, s = drawn.scale * math.cos(turn), drawn.scale * math.sin(turn)
    x, y = 640 * drawn.translate[0], 640 * drawn.translate[1]
    T, S = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]), np.array([[1, a, 0], [b, 1, 0], [0, 0, 1]])
    R, P = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]), np.array([[1, 0, 0], [0, 1, 0], [*drawn.perspective, 1]])
    M = T @ S @ R @ P @ np.array([[1, 0, -640], [0, 1, -640], [0, 0, 1]])
    image = cv2.warpPerspective(canvas, M, (640, 640), borderValue=(114, 114, 114))

    x1, y1, x2, y2 = boxes.astype(float).T
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])  # (4, 2, n)
    mapped = np.insert(corners, 2, 1, axis=1).transpose(2, 0, 1) @ M.T  # (n, 4, 3)
    mapped = mapped[..., :2] / mapped[..., 2:]
    after = np.concatenate((mapped.min(1), mapped.max(1)), 1).clip(0, 640)  # (n, 4)
    w, h = (after[:, 2:] - after[:, :2]).T
    fraction = w * h / ((x2 - x1) * (y2 - y1) * drawn.scale**2)
    thin = np.maximum(w, h) >= 100 * np.minimum(w, h)
    return image, after, (w > 2) & (h > 2) & (fraction > 0.10) & ~thin, M

# %%
image, after, kept, M = warp_by_hand(canvas, boxes, draw.warp)
sample = dataset.sample(0)
labelled = yl.xywh_to_xyxy(sample.labels[:, 2:].numpy()) * 640  # 0.001 px off the edge
theirs = {"matrix": warp.result.matrix, "boxes": warp.result.after.boxes, "labels": labelled}
for (name, other), mine, most in zip(theirs.items(), (M, after, after[kept]), (1e-9, 1e-3, 1e-2)):
    print(f"{name}: largest difference {approx(np.abs(mine - other).max(), '.0e')}")
    assert np.abs(mine - other).max() < most
for name, picture in {"warped picture": warp.image, "sample": sample.image.permute(1, 2, 0).numpy()}.items():
    differ = (image != picture).any(2).mean()
    print(f"pixels that differ in the {name}: {approx(differ, '.1%')}")
    assert differ < 0.001
print(f"kept: {kept.sum()} of {len(kept)} boxes; {(kept != warp.result.box_filter.kept).sum()} verdicts differ")

# %% [markdown]
# ## Your turn: write `my_flip_boxes`
#
# The picture is mirrored, left becomes right. What happens to its boxes? It takes two lines, and the usual
# mistake in it is easily overlooked: drawn on the picture, its boxes look right. Only their width is negative.

# %%
import numpy as np
from walkthrough import check

def my_flip_boxes(boxes, width):
    """The boxes of a picture whose left and right are exchanged.

    boxes: (n, 4) float32 array, left, top, right, bottom in pixels. width: of the picture.
    Returns: (n, 4) array in the same form, left side smaller than right side.
    """
    ...

check(my_flip_boxes)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_flip_boxes(boxes, width):
#     left, top, right, bottom = boxes.T
#     return np.stack((width - right, top, width - left, bottom), 1)
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>A box is 100 x 40 pixels. After a warp with zoom 0.5 it is 12 x 20 pixels. Does it stay?</summary>
#
# Yes. It is wider and higher than 2, its aspect is 1.7, and of the 50 x 20 pixels that the zoom leaves, 12 x 20 are
# left: 24 %.
# </details>
#
# <details><summary>Your pictures are X-rays, always upright, in gray. Which settings would you change?</summary>
#
# `hsv_h` and `hsv_s` do nothing to gray pixels; 0 saves the work. `fliplr` swaps left and right lung: set it to 0 if
# that matters. A little `degrees` may help, patients do not stand straight.
# </details>
#
# <details><summary>Why does M start with C, and why does it stand last in T S R P C?</summary>
#
# A point is multiplied from the right, so the rightmost matrix acts first. Without C, rotation and zoom would be around
# the top-left corner of the picture.
# </details>
#
# <details><summary>With padding by zeros, on what background would the frame of section 12 not appear?</summary>
#
# On a black one: there the zeros look like more of the picture. Try `gray = torch.zeros(1, 1, 32, 32)`. A bright dot
# near the border still shows where it is, because the layers behind the first cut its response off.
# </details>
#
# <details><summary>Copy-paste is set to 0.5 and nothing is ever pasted. Why?</summary>
#
# The labels are boxes, not outlines. Or half of the outlined objects is less than one when rounded, or they would hide
# too much of other boxes.
# </details>

# %% [markdown]
# **On to [03_model_layer_by_layer](03_model_layer_by_layer.ipynb)**: what the network does with these pictures.
