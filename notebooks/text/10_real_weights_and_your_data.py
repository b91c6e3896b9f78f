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
# # 10. Real weights, and your own data
#
# So far every network was random, or had learnt drawn shapes. This notebook uses weights that a company trained on
# 118,287 photographs, looks at what they find, and checks that they are as good as they should be. Then it teaches
# them something they have never seen, blood cells, in a few seconds. At the end you can do the same with pictures of
# your own, in a notebook of your own, or on several GPUs.
#
# A number behind ≈ may end in other digits on your computer: processors do not all add up in the same order. The
# `assert` below such a number stops the notebook where it is not what the text says.

# %% jupyter={"source_hidden": true}
import importlib.util

if importlib.util.find_spec("yolo_lite") is None:  # on Colab; elsewhere it is installed already
    # %pip install --quiet "yolo-lite[lab] @ git+https://github.com/yolo-lite/yolo-lite"

# %%
import os
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from textwrap import fill

import cv2
import numpy as np
import torch

import yolo_lite as yl
from walkthrough import approx, column, row, show_history, show_image, show_predictions, show_table
from yolo_lite.datasets.shapes import Shapes

# %% [markdown]
# ## 1. Three things to fetch
#
# The official weights and the photographs of COCO belong to others, so they do not come with this project, and nothing
# here downloads behind your back. In a terminal (JupyterLab: File, New, Terminal), in the folder of this notebook:
#
# ```
# yolo-lite fetch yolov5n coco8 --folder downloads
#
# git clone https://github.com/Shenggan/BCCD_Dataset
# yolo-lite convert voc BCCD_Dataset/BCCD downloads/bccd --names RBC WBC Platelets
# ```
#
# The first line brings the weights of YOLOv5n and eight photographs, checks them against their known digest
# (a fingerprint of the file) where there is one, and can be repeated: what is there is not fetched again. The others
# bring blood cells (the BCCD dataset, © 2017 shenggan, MIT licence) and convert their labels.
#
# **Without them every cell below runs too**, with bundled weights and drawn scenes. Then you see other pictures
# than the text describes.

# %%
PLACES = ("downloads", "../shared", "../../shared", os.environ.get("YOLO_LITE_SHARED", "downloads"))

def find(name):
    """The fetched file or folder of that name, or None."""
    paths = [Path(place, part, name) for place in PLACES for part in ("", "weights", "data")]
    return next((path for path in paths if path.exists()), None)

for name in ("yolov5n.pt", "coco8", "bccd"):
    print(f"{name}:", "found" if find(name) else "not here; the lines above fetch it, and something else is used now")

# %% [markdown]
# ## 2. What is in the file?
#
# A checkpoint is the weights, and enough words to build the network that they fit into.

# %%
official = find("yolov5n.pt")
# "shapes-n" comes along: it has learnt drawn shapes
model = yl.load(official or "shapes-n")
print(model.num_classes, "classes:", ", ".join(model.names[:6]), "...")
print("strides:", model.strides, " weights:", f"{sum(w.numel() for w in model.parameters()):,}")
print("also noted:", *model.metadata)
sizes = [[f"{w:.0f} x {h:.0f}" for w, h in level.tolist()] for level in model.anchors]
rows = [[stride, *three] for stride, three in zip(model.strides, sizes)]
show_table(["stride", "anchor 0: w x h", "anchor 1", "anchor 2"], rows)

# %%
from yolo_lite.datasets.fetch import KNOWN

print("trained on:", KNOWN["coco-train-images"].what)
print("validated on:", KNOWN["coco-val-images"].what)
print("licence:", KNOWN["yolov5n"].licence)

# %% [markdown]
# **What to notice**
# - The classes, the strides and the anchors are those of the notebooks before. Only the weights are new.
# - The licence: the *code* here is Apache-2.0, the *official weights* are AGPL-3.0. What you build on them falls under
#   it too, also what you fine-tune. If you cannot accept that, train from scratch (`yl.create_model`), as
#   [08_training_loop](08_training_loop.ipynb) does.

# %% [markdown]
# ## 3. A checkpoint from a stranger
#
# A `.pt` file is a **pickle**, and a pickle is a little program: it may call any function while it is read. Here is one
# that calls `print`. It could as well have deleted your files.

# %%
class Trap:
    def __reduce__(self):  # what to call when the file is read
        return print, ("--- this ran while the file was being read ---",)

folder = Path(mkdtemp())  # a new, empty folder for this notebook
torch.save({"model": Trap()}, folder / "trap.pt")
loaded = torch.load(folder / "trap.pt", weights_only=False)

# %%
def without_folder(text):
    return str(text).replace(f"{folder}/", "")

try:
    yl.load(folder / "trap.pt")
except yl.CheckpointError as error:
    print(fill(without_folder(error), 84))

# %% [markdown]
# **What to notice**
# - PyTorch, asked to trust the file, ran it. `yl.load` only writes down what the pickle *asks* for, runs none of it, and
#   reads the numbers of a detector from it. So official files load, whatever else lies in them, and a trap stays shut.
# - Our own format, `.safetensors`, holds numbers and a text and cannot run anything.

# %% [markdown]
# ## 4. What do they see?
#
# Six free photographs, and one call. `predict` letterboxes, runs the network, throws away what is unsure (below 0.25)
# or doubled (NMS), and carries the boxes back to the pixels of the photograph:
# [09_inference_and_map](09_inference_and_map.ipynb) takes these steps apart.

# %%
photos = yl.YoloDataset("photos" if official else Shapes("val", 320, 6))
pictures = [photos.image(i) for i in range(6)]
found = yl.predict(model, pictures)
for path, boxes in zip(photos.paths, found):
    # name and confidence
    words = [f"{boxes.names[int(k)]} {approx(conf)}" for k, conf in zip(boxes.cls, boxes.conf)]
    print(f"{path}: {', '.join(words) or 'nothing found'}")
assert sum(map(len, found)) >= 4  # most of the six pictures hold something that it knows

# %%
row(*(show_image(pictures[i], found[i]) for i in (0, 2, 5)), titles=[photos.paths[i] for i in (0, 2, 5)])

# %% [markdown]
# **What to notice**
# - The number behind a name is the confidence: objectness times class score.
# - Nothing in the rocket's picture is a class of COCO, and the weights still call a lamp mast a clock: a network can
#   only predict the classes that it knows. That is why a dataset needs background pictures too.
# - The horse is a black silhouette and is not found at all. COCO's horses are photographs.

# %%
show_predictions(found[3:5], photos, indices=[3, 4], columns=1)

# %% [markdown]
# **What to notice**
# - Left the labels, right what was predicted, with dashed boxes. Below stands how many labelled objects were found, and
#   how many of the predicted boxes are wrong.
# - The man with the camera is found, and his box fits. The horse has a label and no prediction: found 0 of 1.

# %% [markdown]
# ## 5. A picture of your own
#
# Drag a file from your desktop into the list of files on the left, then write its name here. Any size will do.

# %%
my_picture = None  # for example "my photo.jpg"

picture = my_picture or pictures[1]
(mine,) = yl.predict(model, picture, conf_thres=0.25, img_size=640)
print(mine)
show_image(picture, mine)

# %% [markdown]
# **What to notice**
# - `conf_thres`: lower it and more is found, more of it wrong. `img_size`: at 1280 small things become visible, at four
#   times the cost.
# - `predict` also takes arrays (RGB), tensors, PIL images, and lists of them. OpenCV reads BGR: give it the path, or
#   convert it to RGB with `image[..., ::-1]`.

# %% [markdown]
# ## 6. Are they as good as they should be?
#
# Pictures convince, numbers check. `evaluate` runs over labelled pictures and gives **mAP50** (how well are objects
# found, where a box must overlap by half) and **mAP** (the same, averaged over stricter and stricter demands, up to
# 95 %). YOLOv5 itself prints 0.701 and 0.468 for the four validation photographs of coco8.

# %%
coco8 = find("coco8") if official else None
exam = coco8 / "data.yaml" if coco8 else "photos" if official else Shapes("val", 320, 4)
side = 640 if official else 256  # pixels, as in training

def figures(**options):
    loader = yl.create_dataloader(exam, split="val", batch_size=4, img_size=side, **options)
    return yl.evaluate(model, loader, rule="yolov5")

rectangle, square = figures(rect=True), figures(rect=False)
assert not coco8 or rectangle.map50 > square.map50 + 0.05
show_table(["input", "mAP50", "mAP"], [[name, approx(m.map50), approx(m.map)] for name, m in
           (("one rectangular batch of 4", rectangle), (f"a square of {side}", square))])

# %%
for name, ours, theirs in (("rectangular", rectangle, (0.701, 0.468)), ("square", square, (0.629, 0.351))):
    print(f"{name}: YOLOv5 prints {theirs}, here it is", approx(ours.map50, ".3f"), "and", approx(ours.map, ".3f"))
    assert not coco8 or max(abs(ours.map50 - theirs[0]), abs(ours.map - theirs[1])) < 0.001

# %% [markdown]
# Same weights, same photographs, and 0.70 against 0.63. Why? Compare how one photograph lies in both batches.

# %%
loaders = [yl.create_dataloader(exam, split="val", batch_size=4, img_size=side, rect=rect) for rect in (True, False)]
batches = [next(iter(loader)) for loader in loaders]
# rectangular batches are sorted by shape
other = batches[1].paths.index(batches[0].paths[0])
ratios = [round(batch.geometry[i].ratio, 4) for batch, i in zip(batches, (0, other))]
pads = [batch.geometry[i].pad for batch, i in zip(batches, (0, other))]
print("inputs:", *(tuple(batch.images.shape) for batch in batches))
print("scaled by:", *ratios, " gray (w, h) on each side:", *pads)

# %%
names = [cls.name for cls in rectangle.per_class]
rows = [[a.name, a.labels, approx(a.map50), approx(b.map50)] for a, b in zip(rectangle.per_class, square.per_class)]
few = sum(cls.labels <= 2 for cls in rectangle.per_class)
print(len(names), "classes, of which with one or two objects:", few)
gaps = [(a.map50 - b.map50) / len(names) for a, b in zip(rectangle.per_class, square.per_class)]
worst = max(range(len(names)), key=lambda k: abs(gaps[k]))
others = sum(gaps) - gaps[worst]
print("mAP50 differs by", approx(sum(gaps)), f"- {names[worst]} alone", approx(gaps[worst], "+.2f"), "- others",
      approx(others, "+.2f"))
assert not coco8 or gaps[worst] > sum(gaps) > 0
show_table(["class", "objects", "AP50 rectangular", "AP50 square"], rows)

# %% [markdown]
# **What to notice**
# - The photograph is scaled alike in both. Only the gray differs: in the rectangular batch half a step of 32 pixels is
#   added on each side, so objects at the border have room.
# - That moves each object by 16 pixels: by whole cells on the two fine grids, by half a cell on the coarse one. The border
#   is farther away, too. So some confidences move a little. Every class counts alike,
#   and most have one object or two. The potted plant is a single one: its box slips below a wrong one in confidence, its
#   class falls from 1.00 to 0.50, and that is more than the whole difference.
# - So four photographs are enough to see that two programs compute the same, and far too few to say which weights are
#   better. COCO's validation set has 5,000. And figures are only comparable when both sides pad alike.

# %% [markdown]
# ## 7. Faster, and saved
#
# After each convolution, BatchNorm multiplies each channel by a number and adds another. Once training is over these
# numbers do not change any more, so they can be multiplied into the convolution beforehand. `fuse` returns such a copy.

# %%
fused = model.fuse()
with torch.no_grad():
    images = batches[1].images.float() / 255
    gap = max((a - b).abs().max() for a, b in zip(fused(images), model(images)))
count = {name: sum(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
         for name, net in (("before", model), ("after", fused))}
print("BatchNorm layers:", count, " largest difference in the maps:", approx(gap, ".1g"))
print(f"operations at 640 pixels: {model.summary(640).flops:,} before, {fused.summary(640).flops:,} after")
assert gap < 1e-2

# %%
yl.save(model, folder / "mine.safetensors", metadata={"note": "saved in notebook 10"})
again = yl.load(folder / "mine.safetensors")
pairs = list(zip(model.state_dict().values(), again.state_dict().values(), strict=True))
print(sum(not torch.equal(a, b) for a, b in pairs), "of", len(pairs), "tensors differ;", again.metadata)

# %% [markdown]
# ## 8. Something they have never seen: blood cells
#
# COCO has no blood cells. But edges, round things and textures look alike everywhere, and the first layers of the
# official weights see these already. So we keep them and learn only what is new. That is **fine-tuning**: it needs
# hundreds of pictures instead of a hundred thousand.

# %%
cells = find("bccd")
SIZE = 192  # small, so that it takes seconds

def open_split(split, **options):
    if cells:
        return yl.YoloDataset(cells / "data.yaml", SIZE, split=split, cache="ram", **options)
    count = {"train": 205, "val": 87}[split]
    return yl.YoloDataset(Shapes(split, SIZE, count), SIZE, single_cls=True, cache="ram", **options)

val = open_split("val")
print(len(val), "pictures for validation, classes:", val.names)
row(*(show_image(val.image(i), val.objects(i), names=val.names) for i in (0, 3)))

# %% [markdown]
# **What to notice**
# - Many red cells (RBC) in each picture, which touch and overlap, and one white cell (WBC). There is a single platelet
#   in the two: the small box of a third colour at the top of the right picture, where no room is left for its name.
#
# `load` with other `names` keeps everything that fits. The head's last convolutions have 3 x (5 + 80) = 255
# outputs in the file, and 3 x (5 + 3) = 24 for three classes: they do not fit, and start at random.

# %%
student = yl.load(official or "shapes-n", names=val.names)
old, new = model.state_dict(), student.state_dict()
started_anew = [name for name in new if new[name].shape != old[name].shape]
print(*(f"{name}: {tuple(old[name].shape)} -> {tuple(new[name].shape)}" for name in started_anew), sep="\n")
kept = [name for name in new if name not in started_anew and "anchors" not in name]
print("kept:", sum(torch.equal(new[name], old[name]) for name in kept), "of the", len(kept), "others")

# %% [markdown]
# How good is that at the start? It must be very bad: the last layer has not learnt anything yet.

# %%
val_loader = yl.create_dataloader(val, batch_size=16)
before = yl.evaluate(student, val_loader, rule="yolov5")
shown = [val.image(i) for i in (0, 3)]
found_before = yl.predict(student, shown, img_size=SIZE)
print("mAP50 before:", approx(before.map50), " found:", *found_before)
assert before.map50 < 0.05

# %% [markdown]
# ## 9. Training settings for few pictures
#
# The usual settings are made for hundreds of thousands of steps. Ours will have 130, and with the usual settings most
# of them would go into warming up. The preset `small-data` shortens all of that. We change a few things more:
#
# - **freeze=10**: the backbone (the first ten layers) keeps its weights. Less to learn from few pictures, and no
#   gradients to compute there.
# - **mosaic=0**: four pictures in one make small cells smaller, and 192 pixels are few.
# - **ema_decay=0.95**: what is saved is a moving average of the weights. At 0.99 it looks back over about 1 / (1 -
#   0.99) = 100 steps, which is nearly the whole run: it would remember the untrained head. At 0.95 it is about 20.

# %%
from yolo_lite.train.options import TrainOptions, preset

hyp, options = preset("small-data")
hyp = hyp.replace(mosaic=0.0, scale=0.2)
options = options.replace(epochs=5, batch_size=8, nominal_batch=8, freeze=10, ema_decay=0.95, ema_tau=20.0)
train = open_split("train", augment=True, hyp=hyp)
trainer = yl.Trainer(student, train, val, hyp, **asdict(options))
print(len(train), "pictures,", len(trainer.loader), "batches in each of", options.epochs, "epochs:",
      trainer.schedule.iterations, "steps")
print("warm-up:", trainer.schedule.warmup_iterations, "steps; with the usual settings", TrainOptions().least_warmup)
print("weights that learn:", f"{sum(w.numel() for w in student.parameters() if w.requires_grad):,}")

# %%
trainer.fit()
after = yl.evaluate(trainer.ema.model, val_loader, rule="yolov5")
print("mAP50: before", approx(before.map50), "and after", approx(after.map50))
assert after.map50 > 0.4
for name in ("train/box", "train/cls"):
    first, last = trainer.history[0][name], trainer.history[-1][name]
    print(f"{name}: in the first epoch", approx(first, ".3f"), "and in the last", approx(last, ".3f"))
    # with drawn scenes there is one class, and nothing to learn about it
    assert last < first or first == 0
show_history(trainer)

# %% [markdown]
# **What to notice**
# - `trainer.ema.model` is the averaged network, the one to keep: `yl.save(trainer.ema.model, "cells.safetensors")`.
# - Box and class loss fall on the training pictures. mAP rises on pictures that were never trained on. Precision alone may
#   fall meanwhile:
#   more is found, and more of it is wrong.
# - The objectness loss hardly moves. Its target is the overlap of each predicted box with its object, so the better
#   the boxes get, the more is asked of it ([06_loss](06_loss.ipynb)).
# - The run is short on purpose. With 320 pixels and 20 epochs (`python benchmarks/training.py bccd-small-data`, some
#   minutes) it gets much further.

# %%
found_after = yl.predict(trainer.ema.model, shown, img_size=SIZE)
print("found before:", found_before[0], "- found after:", *(approx(len(boxes), "d") for boxes in found_after))
assert min(map(len, found_after)) > 0
column(show_predictions(found_before, val, indices=[0]), show_predictions(found_after, val, indices=[0, 3], columns=1))

# %% [markdown]
# **What to notice**
# - First row: the labels, and what the untrained head predicted. Below: after training, the same picture and another
#   one.
# - Under each picture stands how many of the labelled objects were found, and how many boxes are wrong: doubled,
#   badly placed, or of another class.
#
# Which class is hard, and why?

# %%
from yolo_lite.loss.anchors import object_sizes

sides = object_sizes(val, SIZE).amax(1)  # (n,) longer side of each object, pixels of the network input
rows = [[cls.name, cls.labels, round(float(sides[val.labels.cls == k].median())), approx(cls.map50)]
        for k, cls in enumerate(after.per_class)]
hardest = min(after.per_class, key=lambda cls: cls.map50)
print(f"hardest: {hardest.name}, AP50", approx(hardest.map50), "- smallest:", min(rows, key=lambda r: r[2])[0])
assert all(cls.map50 > hardest.map50 + 0.05 for cls in after.per_class if cls.name != hardest.name)
show_table(["class", "objects", "median side, pixels", "AP50 after"], rows)

# %% [markdown]
# **What to notice**
# - At 192 pixels a platelet is not even two cells of the finest grid wide (8 pixels each). It is the size that makes the
#   difference, not the number: there are about as few white cells, and nearly all of them are found.
# - A larger `img_size` is the first thing to try where small objects are missed.

# %% [markdown]
# ## 10. Your own data
#
# Draw boxes with any labelling tool that writes YOLO, COCO or Pascal VOC files. What the library reads is this:
#
# ```
# my-data/
#     data.yaml
#     images/train/a.jpg    labels/train/a.txt
#     images/val/b.jpg      labels/val/b.txt
# ```
#
# - `data.yaml` says where the pictures are and what the classes are called, in three lines: `train: images/train`,
#   `val: images/val` and `names: [cat, dog]`.
# - A label file has a row per object: class, x and y of the centre, width, height, as fractions of the picture. No file,
#   or an empty one: a background picture.
#
# and then, in a terminal:
#
# ```
# # only where the labels are COCO JSON, or Pascal VOC
# yolo-lite convert coco instances.json my-data
# yolo-lite convert voc VOCdevkit/VOC2012 my-data
#
# # what is there, and every mistake with file and line; do the anchors fit?
# yolo-lite info --data my-data/data.yaml
# yolo-lite anchors --data my-data/data.yaml
#
# yolo-lite train --data my-data/data.yaml --preset small-data \
#     --weights downloads/yolov5n.pt --out my-run
# yolo-lite val --data my-data/data.yaml --weights my-run/best.safetensors
# yolo-lite predict my-photo.jpg --weights my-run/best.safetensors \
#     --save found
# ```
#
# Here is a conversion on the smallest VOC folder there is. VOC counts pixels from 1 and names the first and the last:
# 151 to 450 are 300 pixels.

# %%
from yolo_lite.datasets.convert import convert_voc

voc = folder / "voc"
for name in ("Annotations", "JPEGImages"):
    (voc / name).mkdir(parents=True)
xml = """<annotation><filename>a.jpg</filename>
<size><width>600</width><height>400</height><depth>3</depth></size>
<object><name>cup</name><bndbox><xmin>151</xmin><ymin>101</ymin><xmax>450</xmax><ymax>300</ymax></bndbox></object>
</annotation>"""
(voc / "Annotations" / "a.xml").write_text(xml)
cv2.imwrite(str(voc / "JPEGImages" / "a.jpg"), np.full((400, 600, 3), 200, np.uint8))
print(convert_voc(voc, folder / "my-data"))
print(*sorted(path.relative_to(folder).as_posix() for path in (folder / "my-data").rglob("*.*")), sep="\n")

# %%
label = (folder / "my-data" / "labels" / "train" / "a.txt").read_text().strip()
print("label:  ", label)
print("by hand:", 0, (150 + 450) / 2 / 600, (100 + 300) / 2 / 400, 300 / 600, 200 / 400)

# %% [markdown]
# Do COCO's anchors fit the blood cells? `yolo-lite anchors` asks the same function:

# %%
suggestion = yl.suggest_anchors(train, model.anchors, img_size=640)
print("are other anchors suggested?", "yes" if suggestion.replace else "no: these fit")
print(f"objects that some anchor is matched to: {suggestion.before.best_possible_recall:.2f}")

# %% [markdown]
# ## 11. In your own notebook: your own source of pictures
#
# ```
# pip install "yolo-lite @ git+https://github.com/yolo-lite/yolo-lite"
# ```
#
# installs the library alone, without Jupyter. Your pictures need not be files in folders: a database, a video or a
# drawing routine will do. A source is anything with `names`, `paths`, `sizes`, `labels`, `report`, `read` and a
# length (`boxes` is for this class alone):

# %%
from yolo_lite.data.labels import ImageLabels, LabelStore
from yolo_lite.data.report import Report

class Discs:
    names = ("disc",)

    def __init__(self, count, seed=0):
        chance = np.random.default_rng(seed)
        self.boxes = np.hstack([chance.uniform(0.3, 0.7, (count, 2)), chance.uniform(0.2, 0.5, (count, 2))])
        self.paths = [f"disc {i}" for i in range(count)]
        self.sizes = np.full((count, 2), 96)
        self.labels = LabelStore.build([ImageLabels(np.array([0]), box[None], (None,)) for box in self.boxes])
        self.report = Report.of(self.labels.objects_per_image)

    def __len__(self):
        return len(self.paths)

    def read(self, index):
        x, y, w, h = (self.boxes[index] * 96).round().astype(int).tolist()
        return cv2.ellipse(np.full((96, 96, 3), 90, np.uint8), (x, y), (w // 2, h // 2), 0, 0, 360, (230, 150, 40), -1)

# %% [markdown]
# Everything else (letterbox, mosaics, batches, the trainer) treats it as it treats a `data.yaml`:

# %%
discs = yl.YoloDataset(Discs(16), img_size=96, augment=True)
batch = next(iter(yl.create_dataloader(discs, batch_size=8)))
print(tuple(batch.images.shape), "objects in all eight pictures:", len(batch.targets))
# those of the first picture
boxes = yl.xywh_to_xyxy(batch.targets[batch.targets[:, 0] == 0, 2:]) * 96
mosaic = show_image(batch.images[0], boxes, ["disc"] * len(boxes))
alone = [show_image(discs.image(i), discs.objects(i), names=discs.names) for i in range(2)]
row(*alone, mosaic, titles=["disc 0", "disc 1", "a mosaic of four"])

# %% [markdown]
# **What to notice**
# - The loader has cut the mosaic from four pictures, zoomed it and moved it. What lies outside is gone, and what is
#   left empty is gray. The boxes went with the discs.

# %% [markdown]
# ## 12. In your own notebook: your own loop
#
# The trainer is convenient, not necessary. The model is a `torch.nn.Module`, the loss a function; the loop is yours.
# This one sees a single batch again and again: a useful test of any new data, because a loss that does not even fall
# here will not fall anywhere.

# %%
net = yl.create_model("yolov5n", names=discs.names)
criterion = net.criterion(yl.Hyperparameters(), img_size=96)
optimizer = torch.optim.AdamW(net.parameters(), lr=0.001)
totals = []
for _ in range(20):
    parts = criterion(net(batch.images / 255), batch.targets)
    optimizer.zero_grad()
    parts.total.backward()
    optimizer.step()
    totals.append(parts.total.item())
print("of the loss is left:", approx(totals[-1] / totals[0], ".0%"))
assert totals[-1] < 0.8 * totals[0]

# %% [markdown]
# ## 13. Several GPUs
#
# ```
# torchrun --nproc_per_node 2 -m yolo_lite train --data my-data/data.yaml \
#     --weights downloads/yolov5n.pt --batch-size 16
# ```
#
# `torchrun` comes with PyTorch. It starts two processes, one for each GPU (or two on a CPU). It starts programs, not
# notebooks. Each process gets its part of every batch:

# %%
from yolo_lite.data.loader import EpochSampler

for rank in (0, 1):
    sampler = EpochSampler(num_images=8, batch_size=2, shuffle=True, seed=0, rank=rank, world_size=2)
    print(f"process {rank}:", [[index for _, index in keys] for keys in sampler])

# %% [markdown]
# Each runs forward and backward on its own part. Then **DistributedDataParallel** *averages* the gradients over the
# processes, and each takes the same step, so the weights stay the same everywhere. Is that right? Look at a tiny model,
# $y = Xw$, and a squared error whose gradient everybody can work out:
#
# $$ L = \frac{1}{n}\sum_i (x_i w - t_i)^2 \qquad \frac{\partial L}{\partial w} = \frac{2}{n} X^T (Xw - t) $$

# %%
X = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])  # (4, 2) a batch of four
t = torch.tensor([0.0, 1.0, 0.0, 1.0])

def gradient(X, t, reduction):
    w = torch.tensor([1.0, -1.0], requires_grad=True)
    torch.nn.functional.mse_loss(X @ w, t, reduction=reduction).backward()
    return w.grad

print("closed form:       ", (2 / 4 * X.T @ (X @ torch.tensor([1.0, -1.0]) - t)).tolist())
for reduction in ("mean", "sum"):
    halves = gradient(X[:2], t[:2], reduction), gradient(X[2:], t[2:], reduction)
    print(f"{reduction:4} whole, averaged:", gradient(X, t, reduction).tolist(), ((halves[0] + halves[1]) / 2).tolist())

# %% [markdown]
# **What to notice**
# - With a *mean* loss, the average of the halves' gradients is the gradient of the whole batch.
# - With a *sum* it is only half of it. YOLOv5's loss is a sum over the batch (`total = (box + obj + cls) * N`), so the
#   trainer multiplies it by the number of processes before `backward`.
# - Two things still differ. BatchNorm: each process averages over its own part (`--sync-bn` joins them, on CUDA). And box
#   and class loss are means over the matches of each part, which need not be equally many.
#
# How many pictures go into one step? Gradients of several batches are added up until about 64 pictures came together:

# %%
from yolo_lite.train.schedule import Schedule

rows = []
for processes, batch_size in ((1, 16), (2, 16), (4, 16), (8, 16)):
    schedule = Schedule(yl.Hyperparameters(), epochs=100, batches=1000, batch_size=processes * batch_size)
    accumulate = schedule.at(schedule.iterations - 1).accumulate  # after the warm-up
    rows.append([processes, batch_size, accumulate, processes * batch_size * accumulate])
show_table(["processes", "batch size of each", "batches per step", "pictures per step"], rows)

# %% [markdown]
# **What to notice**
# - One, two or four GPUs of 16 pictures take the same steps, of 64 pictures, in less time: no other learning rate is
#   needed. From eight on the steps grow, and weight decay is scaled with them.

# %% [markdown]
# ## 14. Check: predict, by hand
#
# A photograph to boxes with the parts of the earlier notebooks, compared with `yl.predict`.

# %%
image = pictures[0]
(theirs,) = yl.predict(model, [image], img_size=640)
boxed = yl.letterbox(image, 640, auto=True)
with torch.no_grad():
    inputs = torch.from_numpy(boxed.image).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
    boxes = model.decode(model(inputs))
(rows,) = yl.non_max_suppression(boxes, conf_thres=0.25, iou_thres=0.45)
# back to the photograph
corners = (rows[:, :4] - torch.tensor([*boxed.pad, *boxed.pad])) / boxed.ratio
height, width = image.shape[:2]
corners = corners.clamp(min=0).minimum(torch.tensor([width, height, width, height]))
off, unsure = (corners - theirs.xyxy).abs().max(), (rows[:, 4] - theirs.conf).abs().max()
print("largest difference: of the boxes", approx(off, ".1g"), "pixels, of the confidences", approx(unsure, ".1g"))
assert off < 0.02 and unsure < 1e-4

# %% [markdown]
# ## Your turn: write `my_coco_to_yolo`
#
# Your own data come in somebody else's format. COCO writes a box as left, top, width, height in pixels. A label file of
# YOLO has the *centre*, and fractions of the picture's width and height. Boxes may reach over the border: cut them off
# there first, or their centre is wrong.

# %%
import numpy as np
from walkthrough import check

def my_coco_to_yolo(boxes, size):
    """COCO's boxes in the form of a label file.

    boxes: (n, 4) float64 array, left, top, width, height in pixels.
    size: (width, height) of the picture.
    Returns: (n, 4) x, y (centre), width, height of the part inside the picture,
        as fractions of the picture.
    """
    ...

check(my_coco_to_yolo)

# %% [markdown]
# <details><summary>An answer</summary>
#
# ```python
# def my_coco_to_yolo(boxes, size):
#     width, height = size
#     whole = np.array([width, height, width, height])
#     corners = np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1).clip(0, whole)
#     centre = (corners[:, :2] + corners[:, 2:]) / 2
#     sides = corners[:, 2:] - corners[:, :2]
#     return np.concatenate((centre, sides), 1) / whole
# ```
# </details>

# %% [markdown]
# ## Questions
#
# <details><summary>You fine-tune for 5 classes. What shape do the last convolutions of the head have, and what is kept?</summary>
#
# 3 anchors x (5 + 5) = 30 outputs on each of the three levels. Everything before them is kept; these six tensors (three
# weights, three biases) start anew.
# </details>
#
# <details><summary>A friend sends you a file best.pt. Why is torch.load with weights_only=False a bad idea?</summary>
#
# Because reading a pickle runs it: section 3. `yl.load` reads it without running anything, and says so where it is not
# a detector.
# </details>
#
# <details><summary>Your colleague reports mAP50 0.70 on four pictures, you get 0.63 with the same weights. Who is wrong?</summary>
#
# Perhaps nobody: the padding may differ, or the rule of average precision. Compare the settings first, and use more
# pictures.
# </details>
#
# <details><summary>Two processes with a batch size of 32 each. How many pictures are in one step, and how many batches are added up?</summary>
#
# 2 x 32 = 64 pictures come together at once, so nothing is added up: one batch per step.
# </details>
#
# <details><summary>Why freeze the backbone for 205 pictures, but not for 100,000?</summary>
#
# Few pictures do not determine how a million weights should change; the old ones are better than a guess. Many pictures
# can, and then the backbone should learn as well.
# </details>

# %% [markdown]
# **On to [11_losses_through_time](11_losses_through_time.ipynb)**: how the losses before YOLOv5 did it, on one object. Or to
# the [gallery](90_gallery.ipynb): every explorer on one page, with your pictures and your model.
