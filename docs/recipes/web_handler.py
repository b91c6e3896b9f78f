"""A web handler: the bytes of an uploaded picture in, plain values for JSON out."""

import io
import json

import cv2

import yolo_lite as yl

model = yl.load("shapes-n")  # once, when the program starts


def detect(upload: bytes, classes: list[str] | None = None) -> tuple[int, dict[str, object]]:
    """HTTP status and document. A picture that cannot be read is the sender's mistake, and gets a sentence."""
    try:
        (found,) = yl.predict(model, upload, classes=classes)
    except ValueError as error:
        return 422, {"detail": str(error)}
    return 200, {"size": found.size, "detections": found.to_dicts()}


scene = yl.YoloDataset("shapes", img_size=256, split="val").image(0)
upload = cv2.imencode(".png", scene[..., ::-1])[1].tobytes()
status, document = detect(upload)
assert status == 200
assert json.loads(json.dumps(document))["detections"][0]["name"] in model.names
assert yl.predict(model, io.BytesIO(upload))[0].to_dicts() == document["detections"]  # an open file does as well

assert detect(b"not a picture")[0] == 422
status, document = detect(upload, classes=["trangle"])
assert status == 422
assert "did you mean 'triangle'?" in str(document["detail"])
