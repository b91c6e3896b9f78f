"""What costs average precision: errors sorted into TIDE's six kinds, what each kind costs, and where they are.

TIDE: Bolya et al. 2020, arXiv 2008.08115. In a notebook, ``walkthrough.WhyExplorer(images="data.yaml",
model="best.pt")`` shows them, and why each happened.
"""

import yolo_lite as yl
from yolo_lite.analysis.errors import KINDS
from yolo_lite.datasets.shapes import Shapes

model = yl.load("shapes-n")
dataset = yl.YoloDataset(Shapes("val", 256, 48), img_size=256)

metrics = yl.evaluate(model, dataset, rule="yolov5", keep_detections=True)
costs = yl.error_costs(metrics)
print(costs)

# All six corrected together leave nothing wrong; some of them may be corrected together, too.
assert abs(yl.corrected_ap(metrics, KINDS) - 1) < 1e-9
placed = yl.corrected_ap(metrics, ["localization", "both"]) - costs.ap
print(f"boxes in the right place: {placed:+.3f}")

# Where the errors of a kind are, and the surest of them.
for image, errors in zip(metrics.detections, costs.images, strict=True):
    for detection in errors.of("classification"):
        if image.conf[detection] > 0.5:
            said, right = image.cls[detection], int(image.labels[errors.label[detection], 0])
            print(f"{image.path}: {model.names[said]} {image.conf[detection]:.2f}, labelled {model.names[right]}")
