"""ONNX: a file that runs with onnxruntime and NumPy, without this library and without PyTorch.

``yl.export`` writes the fused network, runs the file and compares it with the model. Classes, sizes, and what goes in
and comes out stand in the file.
"""

# pip install 'yolo-lite[export]'
import numpy as np
import onnxruntime

import yolo_lite as yl

rows = {"nc": 2, "anchors": 3, "backbone": [[-1, 1, "Conv", [16, 3, 4]], [-1, 1, "Conv", [32, 3, 2]]], "head": []}
rows["head"] += [[[-1], 1, "Detect", ["nc", "anchors"]]]
model = yl.create_model(rows, names=["cat", "dog"])  # or yl.load("best.safetensors")
yl.export(model, "model.onnx", nms=True)

# From here on, without yolo_lite:
session = onnxruntime.InferenceSession("model.onnx")
print(session.get_modelmeta().custom_metadata_map["names"])
picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)  # RGB; sides multiples of the stride, 8
images = picture.transpose(2, 0, 1)[None].astype(np.float32) / 255  # (1, 3, H, W) in [0, 1]
threshold = np.array([0.0001], np.float32)  # low: these weights are random
(found,) = session.run(None, {"images": images, "conf_thres": threshold})
print(found.shape)  # (k, 7): image, left, top, right, bottom in pixels, confidence, class

same = yl.predict(model, picture, img_size=96, conf_thres=0.0001, max_det=300)[0]
assert len(found) == len(same) > 0
assert np.allclose(found[:, 5], same.conf, atol=1e-5)
