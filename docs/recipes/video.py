"""A stream over a video: frame by frame, with bounded memory, and the boxes drawn into a new video."""

import tempfile
from pathlib import Path

import cv2

import yolo_lite as yl
from yolo_lite.images.video import VideoSaver, video_facts

folder = Path(tempfile.mkdtemp())
scenes = yl.YoloDataset("shapes", img_size=256, split="val")

# A clip to try it with: eight scenes at 4 frames per second. OpenCV wants BGR.
writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 4, (256, 256))
for index in range(8):
    writer.write(cv2.resize(scenes.image(index), (256, 256))[..., ::-1].copy())
writer.release()

model = yl.load("shapes-n")
clip = folder / "clip.mp4"  # or a folder, a pattern, the number of a camera, any iterable of pictures
seen = 0
with VideoSaver(folder / "drawn", video_facts(clip).rate) as saver:
    for found in yl.predict(model, clip, stream=True):  # a generator: one frame at a time, in order
        print(f"frame {found.frame}: {found}")
        saver.write(found.draw())
        seen += len(found[found.conf > 0.5])

assert saver.frames == video_facts(saver.path).frames == 8
assert seen > 8

frames = yl.predict(model, clip, stream=True)
print(next(frames))
frames.close()  # closes the video
