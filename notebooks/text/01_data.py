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
# # 1. Data: from a folder of pictures to a batch
#
# A network cannot open a folder. It takes one block of numbers for the pictures and one table for the objects, again
# and again, quickly, and in a different order each time. This notebook builds that, step by step: a label file, a
# dataset, a loader. At the end you put a batch together with your own hands, and compare it with the library's.
#
# It runs in about half a minute.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
from pathlib import Path
from tempfile import mkdtemp

import cv2
import numpy as np
import torch

import yolo_lite as yl
from walkthrough import approx, row, show_bars, show_batch, show_image, show_table

# %% [markdown]
# ## 1. A label file
#
# Somebody looked at a photograph and wrote down what is in it and where. In the YOLO format that is a text file with
# one row for each object:
#
# `class  x-centre  y-centre  width  height`
#
# The four numbers are *fractions* of the picture's width and height, between 0 and 1. Why not pixels? Because then the
# same file is right for the picture at any size. Let us write such a pair, a photograph and its label file.

# %%
folder = Path(mkdtemp())  # new and empty; look into it, or put your own pictures there
(folder / "images").mkdir()
(folder / "labels").mkdir()
photos = yl.YoloDataset("photos")  # six free photographs that come with scikit-image
photo = photos.image(0)
cv2.imwrite(str(folder / "images" / "breakfast.png"), photo[..., ::-1])  # to blue, green, red
print("height, width, colours:", photo.shape)

# %%
text = """0 0.4842 0.4075 0.3917 0.7250
1 0.6258 0.4900 0.1617 0.6450
"""
(folder / "labels" / "breakfast.txt").write_text(text)
(folder / "data.yaml").write_text("train: images\nval: images\nnames: [cup, spoon]\n")
print(*sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")), sep="\n")

# %% [markdown]
# The label file is found by its name: the folder `images` becomes `labels`, the ending becomes `.txt`. `data.yaml` says
# where the pictures are and what the classes are called. Class 0 is the first name.
#
# From fractions to pixels it is one multiplication, and from a centre to corners one subtraction and one addition:
#
# $$ x_1 = (x_c - w / 2) \cdot W \qquad x_2 = (x_c + w / 2) \cdot W $$

# %%
height, width = photo.shape[:2]
rows = np.array([line.split() for line in text.splitlines()], float)  # (2, 5)
xc, yc, w, h = rows[:, 1:].T
x1, x2, y1, y2 = (xc - w / 2) * width, (xc + w / 2) * width, (yc - h / 2) * height, (yc + h / 2) * height
corners = np.stack([x1, y1, x2, y2], 1)  # (2, 4)
library = yl.xywh_to_xyxy(rows[:, 1:]) * [width, height, width, height]
for name, mine, theirs in zip(["cup", "spoon"], corners, library):
    print(f"{name:5} x1, y1, x2, y2 by hand:       ", *mine.round(1))
    print(f"{name:5} x1, y1, x2, y2 by the library:", *theirs.round(1))
show_image(photo, corners, ["cup", "spoon"], title="a cup of coffee, with a spoon, from above")

# %% [markdown]
# **What to notice**
# - A box is upright and holds all that can be seen of the object, and some of what is behind it.
# - Nothing in the file says how sure the person was, or what is hidden. The network learns from this and no more.
# - The two boxes overlap, as the things do. That is allowed.
#
# A row may also be an outline: `class x1 y1 x2 y2 x3 y3 ...`. Its box is the outline's extent. Every row is judged by
# itself, so both kinds may stand in one file.

# %%
from yolo_lite.datasets.files.label_rows import parse_row

outline = parse_row([1, 0.2, 0.3, 0.6, 0.3, 0.4, 0.9])  # class 1, three corners
print("box of the outline, xc yc w h:", [round(float(value), 3) for value in outline.box])

# %% [markdown]
# ## 2. A dataset: how many, and which one?
#
# PyTorch asks a dataset for two things only. `len(dataset)`: how many samples are there? `dataset[i]`: give me sample
# `i`. Whether it comes from a disk, from memory or is drawn on the spot is the dataset's own business.

# %%
dataset = yl.YoloDataset(folder / "data.yaml", img_size=640)
print(len(dataset), "sample;", dataset.names)
sample = dataset[0]
print("image  ", tuple(sample.image.shape), sample.image.dtype)
print("labels ", tuple(sample.labels.shape), sample.labels.dtype)

# %% [markdown]
# Three things changed on the way from the file to the sample:
#
# - **the axes**: a picture file is height x width x colour, PyTorch's convolutions take colour x height x width;
# - **the size**: the photograph was not square, the sample is;
# - **the labels**: the box is the same object in a larger picture, so its fractions are different now.
#
# A row of `sample.labels` has six columns: `image, class, x-centre, y-centre, width, height`. The first is 0 here; a loader
# will write into it which picture of a batch the row belongs to (section 5). So `labels[:, 2:]` are the four numbers of the
# box, and `labels[:, 1]` is the class.
#
# The values are still whole numbers from 0 to 255. Dividing by 255 happens later, on the device that trains: bytes are
# four times smaller to move than floats.

# %% [markdown]
# ## 3. Letterbox: one size without stretching
#
# Pictures in a batch must agree in size. Stretching would turn round things into eggs, and the network would learn
# eggs. So the picture is scaled by *one* ratio until it fits, and the rest is filled with gray.

# %%
boxed = yl.letterbox(photo, 640, auto=False)
ratio = min(640 / height, 640 / width)
print("ratio by hand and by the library:", round(ratio, 4), round(boxed.ratio, 4))
print(f"{photo.shape[:2]} becomes {(round(height * ratio), round(width * ratio))}")
print("pad (w, h) per side:", boxed.pad)
row(show_image(photo), show_image(boxed.image), titles=["as it was", "letterboxed"])

# %% [markdown]
# The box goes the same way: its fractions of the picture become fractions of the 640 x 427 pixels, and the padding is
# added. Divided by 640 it must be the sample's label.

# %%
fitted = np.array([640, 427, 640, 427])
moved = rows[:, 1:] * fitted + [*boxed.pad, 0, 0]  # (2, 4) xc yc w h in the letterboxed picture
difference = np.abs(moved / 640 - sample.labels[:, 2:].numpy()).max()
print("labels by hand and the sample's, largest difference:", approx(difference, ".0e"))
assert difference < 1e-6
show_image(sample.image, yl.xywh_to_xyxy(sample.labels[:, 2:]) * 640, ["cup", "spoon"])

# %% [markdown]
# **What to notice**
# - The boxes lie on the cup and on the spoon, as before. Whoever forgets to add the padding gets boxes that
#   lie too far up.
# - As fractions, x and width are what they were: the photograph fills the square from side to side. y and height are
#   others, because the gray counts too.
#
# ## 4. Why gray, and why 114?
#
# A convolution sees an edge wherever neighbouring numbers differ. The border between picture and padding is such an
# edge, and it means nothing. So the **padding value** should be as close to an average picture as possible. How large
# is the jump at the border, for black, gray and white, over the six photographs?

# %%
def jump(value):
    """How far a padding value is from the outermost pixels of the photographs, on average."""
    pictures = [photos.image(i) for i in range(6)]
    edges = [p[[0, -1]].ravel() for p in pictures] + [p[:, [0, -1]].ravel() for p in pictures]
    return float(np.mean([np.abs(edge.astype(float) - value).mean() for edge in edges]))

jumps = {f"value {value}": jump(value) for value in (0, 57, 114, 171, 255)}
show_bars(jumps, title="jump at the border", y_label="gray levels")

# %%
imagenet_mean = np.array([0.485, 0.456, 0.406])  # of 1.2 million photographs
print(f"as one gray: {imagenet_mean.mean():.3f}, of 255: {255 * imagenet_mean.mean():.1f}")

# %% [markdown]
# **What to notice**
# - Gray makes a much smaller jump than black or white. But six photographs are few: their own average need not be 114.
# - 114 is the average of a very large number of photographs. It is *not* zero for the network: pixels are divided by 255
#   and nothing is subtracted, so the padding arrives as 0.447.

# %% [markdown]
# ## 5. A loader: from samples to batches
#
# The dataset gives one sample at a time. Training takes several at once: the device is busy with many sums side by
# side, and a gradient averaged over several pictures is less shaky than that of one.
#
# Pictures stack easily: four of (3, 640, 640) become (4, 3, 640, 640). Labels do not, because each picture has another
# number of objects. So they are laid one under the other, and a first column says whose they are.

# %%
samples = [photos[i] for i in range(4)]
images = torch.stack([sample.image for sample in samples])  # (4, 3, 640, 640)
tables = []
for index, sample in enumerate(samples):
    table = sample.labels.clone()
    table[:, 0] = index
    tables.append(table)
targets = torch.cat(tables)  # (n, 6)
print(tuple(images.shape), tuple(targets.shape), "objects per picture:", [len(table) for table in tables])

# %%
loader = yl.create_dataloader(photos, batch_size=4)
batch = next(iter(loader))
print(f"numbers that differ: {(images != batch.images).sum()} of {images.numel():,} in the images,",
      f"{(targets != batch.targets).sum()} of {targets.numel()} in the targets")  # fmt: skip
show_batch(batch, photos.names)

# %% [markdown]
# **What to notice**
# - That is all a loader's `collate` does: stack what can be stacked, number what cannot.
# - A picture without objects is a good example too: it has no row, and the network learns to be silent.

# %% [markdown]
# ## 6. Shuffling
#
# If cats always came before cups, the network would spend the morning learning cats and the afternoon forgetting them.
# So each **epoch** (one pass over all pictures) has an order of its own. The order depends on the seed and the epoch and
# on nothing else: the same seed gives the same training, on any machine.

# %%
from yolo_lite.data.loader import EpochSampler

sampler = EpochSampler(num_images=6, batch_size=2, shuffle=True, seed=0)
for epoch in range(3):
    print("epoch", epoch, [[index for _, index in keys] for keys in sampler])

# %% [markdown]
# ## 7. Workers and prefetching
#
# Reading, resizing and augmenting a picture takes the CPU longer than you would think. If training waited for it, an
# expensive GPU would idle. So **workers** (other processes) prepare the next batches while this one is trained on, a few
# of them ahead: that is **prefetching**.
#
# How much it buys is arithmetic. Say loading a batch takes 30 ms and training on it 50 ms:

# %%
load, train = 30, 50  # ms for a batch
table = [["one after the other", load + train]]
for workers in (1, 2, 4):
    table.append([f"{workers} worker{'s' * (workers > 1)} ahead", max(train, load / workers)])
show_table(["way of loading", "ms for a batch"], table)

# %% [markdown]
# **What to notice**
# - As soon as loading is hidden behind training, more workers buy nothing.
# - Here the limit is 50 ms. With a faster device it would be the loading: then more workers do help.
#
# Workers must not change *what* is loaded. In many projects they do: each has its own stream of random numbers, so two
# workers give other pictures than four. Here randomness is derived from seed, epoch and index, and one worker gives
# exactly what none gives:

# %%
options = dict(batch_size=2, img_size=64, augment=True, seed=3, shuffle=True)
alone = next(iter(yl.create_dataloader("photos", **options)))
helped = next(iter(yl.create_dataloader("photos", workers=1, **options)))
differ = (alone.images != helped.images).sum()
print(f"with and without a worker: {differ} of {alone.images.numel():,} numbers differ")

# %% [markdown]
# ## 8. Caching
#
# A picture is read from disk, unpacked from JPEG and resized in every epoch, although the result is always the same.
# With `cache="ram"` it is kept. What does that cost? One byte for each pixel and colour:

# %%
def megabytes(count, height, width):
    return count * height * width * 3 / 1e6

sides = [photos.sizes[i] * 640 / photos.sizes[i].max() for i in range(6)]
print(f"six photographs, longer side 640: {sum(megabytes(1, *pair) for pair in sides):.1f} MB")
print(f"COCO's 118,287 training pictures at 640 x 480: {megabytes(118_287, 640, 480) / 1000:.0f} GB")

# %%
import time

def seconds_for_an_epoch(**options):
    dataset, times = yl.YoloDataset("photos", **options), []
    for _ in range(4):  # the best of several passes: something else may run on this computer too
        start = time.perf_counter()
        [dataset[i] for i in range(len(dataset))]
        times.append(time.perf_counter() - start)
    return min(times)

disk, memory = seconds_for_an_epoch(), seconds_for_an_epoch(cache="ram")
print(f"an epoch from the disk: {1000 * disk:.1f} ms, from memory: {1000 * memory:.1f} ms")
assert memory < disk

# %% [markdown]
# **What to notice**
# - For a small dataset the cache is free. COCO does not fit into most computers; `cache="disk"` keeps it unpacked on
#   disk.
# - Only the resized picture is kept. What augmentation does to it (next notebook) is done anew each time.

# %% [markdown]
# ## 9. The batch of this tour
#
# Most notebooks from here on use one batch: four **mosaics** of the photographs, nearly as training would see
# them, but turned by up to 3 degrees and with calmer colours
# ([02_augmentation](02_augmentation.ipynb) makes some). Its size and its number of pictures describe it, and it is the
# same on every machine.

# %%
batch = yl.tour_batch()
print("images ", tuple(batch.images.shape), batch.images.dtype)
print("targets", tuple(batch.targets.shape), batch.targets.dtype)
show_batch(batch, photos.names, columns=2)

# %%
names = [[int(image), photos.names[int(cls)], *box] for image, cls, *box in batch.targets.tolist()]
show_table(["image", "class", "x centre", "y centre", "width", "height"], names[:8], title="the first targets")

# %% [markdown]
# **What to notice**
# - Image 0 has seven objects, so the eighth row is the first of image 1. The table does not say where a picture ends; the
#   first column does.
# - Four photographs meet in each picture, and things are cut at its edge. The second row is such a thing: of that cup a
#   strip is left, 31 pixels wide, and the box goes around the strip alone.
#
# ## 10. Rectangular batches
#
# When nothing is shuffled, in validation for example, the gray can be saved. The pictures are sorted by their shape, and
# each batch gets a small input that holds its pictures and a little room, in steps of 32 pixels (the network halves five times, and
# $2^5 = 32$).

# %%
def gray_fraction(**options):
    loader = yl.create_dataloader("photos", batch_size=2, **options)
    sizes = [tuple(batch.images.shape[2:]) for batch in loader]
    pixels = sum(2 * height * width for height, width in sizes)
    used = sum(np.prod(photos.sizes[i] * 640 / photos.sizes[i].max()) for i in range(6))
    return sizes, 1 - used / pixels

for rect in (False, True):
    sizes, gray = gray_fraction(rect=rect)
    print(f"rect={rect!s:5}: inputs {sizes}, of which gray {gray:.0%}")

# %% [markdown]
# **What to notice**
# - In squares a fifth of the work goes into gray, with rectangles an eighth.
# - A square of 640 becomes 672: half a step of 32 is added before rounding up, so that objects at the edge have room.
#   The reference does the same, and figures are only comparable when both sides do.
# - Training in random order cannot have this: the shapes in a batch would not agree.

# %% [markdown]
# ## 11. A broken dataset
#
# Real folders have slips in them. What should happen then? Stopping at the first one is tiresome, and saying nothing is
# worse. Here every bad row is left out, everything else is kept, and a report says what, where and why. Let us break our
# folder.

# %%
bad = {
    "class_too_high": "7 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2",
    "outside": "0 1.5 0.5 0.2 0.2",
    "four_numbers": "0 0.5 0.5 0.2",
    "twice": "1 0.3 0.3 0.2 0.2\n1 0.3 0.3 0.2 0.2",
    "words": "cup 0.5 0.5 0.2 0.2",
}
small = cv2.resize(photo, (96, 64))[..., ::-1]
for name, labels in bad.items():
    cv2.imwrite(str(folder / "images" / f"{name}.png"), small)
    (folder / "labels" / f"{name}.txt").write_text(labels)

# %%
import textwrap
import warnings

# what a download may leave:
(folder / "images" / "no_picture.jpg").write_text("<html>404 Not Found</html>")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would warn; we print its report instead
    broken = yl.YoloDataset(folder / "data.yaml")
report = str(broken.report).replace(f"{folder}/", "").replace(f"{folder.resolve()}/", "")
for line in report.splitlines():
    print(textwrap.fill(line, 80, subsequent_indent=6 * " "))

# %% [markdown]
# **What to notice**
# - Each line names the file, the row, the value and what became of it.
# - Good rows beside bad ones stay: `class_too_high` keeps its second object.
# - `strict=True` turns the warning into an error, for those who would rather stop. `yolo-lite info --data data.yaml`
#   prints the same report.

# %% [markdown]
# ## 12. Check: a batch by hand
#
# From two files to a batch, with nothing but OpenCV, NumPy and the formulas above, compared with the library's.

# %%
def sample_by_hand(picture, rows, index):
    height, width = picture.shape[:2]
    ratio = 640 / max(height, width)
    new_w, new_h = round(width * ratio), round(height * ratio)
    left, top = (640 - new_w) // 2, (640 - new_h) // 2
    canvas = np.full((640, 640, 3), 114, np.uint8)
    canvas[top : top + new_h, left : left + new_w] = cv2.resize(picture, (new_w, new_h), interpolation=cv2.INTER_LINEAR)
    pad = (640 - new_w) / 2, (640 - new_h) / 2  # half a pixel counts for labels
    xywh = rows[:, 1:] * [new_w, new_h, new_w, new_h] + [*pad, 0, 0]
    table = np.column_stack([np.full(len(rows), index), rows[:, 0], xywh / 640])
    return torch.from_numpy(canvas).permute(2, 0, 1), torch.from_numpy(table).float()

mine, table = sample_by_hand(photo, rows, 0)
theirs = next(iter(yl.create_dataloader(dataset, batch_size=1)))
print(f"images: {(mine != theirs.images[0]).sum()} of {mine.numel():,} numbers differ")
difference = (table - theirs.targets).abs().max()
print("targets: largest difference", approx(difference, ".0e"))
assert difference < 1e-6

# %% [markdown]
# ## Your turn: write `my_letterbox_geometry`
#
# Where does a picture of any size lie in the square that the network takes? Every label has to be moved by these three
# numbers, and every box that the network finds has to be moved back by them. An error of half a pixel here is an error in
# all of them.
#
# Scale by the *smaller* of the two ratios, so that both sides fit. The new sides are rounded to whole pixels. What is left
# is divided evenly between both sides, and may end in .5.

# %%
from walkthrough import check

def my_letterbox_geometry(height, width, size):
    """How a picture lies in a square.

    height, width: of the picture, in pixels. size: side of the square.
    Returns: ratio (new pixels per old pixel), pad_w and pad_h (on each side, in pixels).
    """
    ...

check(my_letterbox_geometry)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_letterbox_geometry(height, width, size):
#     ratio = min(size / height, size / width)
#     pad_w = (size - round(width * ratio)) / 2
#     pad_h = (size - round(height * ratio)) / 2
#     return ratio, pad_w, pad_h
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>A batch has 16 pictures with 3 objects each, and two of them are empty. What is the shape of its targets?</summary>
#
# 14 pictures x 3 objects: (42, 6). The empty pictures have no row, but they are in the images tensor.
# </details>
#
# <details><summary>Your photographs are 4000 x 3000 pixels. How much memory does a cache of 1,000 of them need at 640?</summary>
#
# They are resized first: 640 x 480 x 3 bytes = 0.92 MB each, 0.92 GB for all. `megabytes(1000, 480, 640)` says so.
# </details>
#
# <details><summary>Why not give every picture its own size and train with batches of one?</summary>
#
# It works, but slowly: the device runs one picture at a time, the gradient jumps, and batch normalisation would average
# over a single picture.
# </details>
#
# <details><summary>Why does the order of an epoch not depend on the number of workers?</summary>
#
# The sampler decides it, in the main process, from seed and epoch. Workers are given the indices of the samples to make.
# </details>

# %% [markdown]
# **On to [02_augmentation](02_augmentation.ipynb)**: how four photographs become a thousand.
