"""A web service with FastAPI: pictures are uploaded, detections come back as JSON.

What the endpoint does without a web server stands in web_handler.py.
"""

# pip install fastapi httpx python-multipart
from typing import Annotated

import cv2
from fastapi import FastAPI, File, HTTPException, Query
from fastapi.testclient import TestClient

import yolo_lite as yl

app = FastAPI()
model = yl.load("shapes-n")  # once, when the program starts


@app.post("/detect")
def detect(file: Annotated[bytes, File()], classes: Annotated[list[str] | None, Query()] = None) -> dict[str, object]:
    """def, not async def: FastAPI runs it in a thread, and the server answers others meanwhile."""
    try:
        (found,) = yl.predict(model, file, classes=classes)
    except ValueError as error:  # a picture that cannot be read, a class that the model does not know
        raise HTTPException(422, str(error)) from None
    return {"size": found.size, "detections": found.to_dicts()}


# In a file service.py: uvicorn service:app
client = TestClient(app)
scene = yl.YoloDataset("shapes", img_size=256, split="val").image(0)
upload = {"file": cv2.imencode(".png", scene[..., ::-1])[1].tobytes()}

answer = client.post("/detect", files=upload)
assert answer.status_code == 200
assert answer.json()["size"] == [256, 256]
assert {found["name"] for found in answer.json()["detections"]} <= set(model.names)

assert client.post("/detect", files={"file": b"not a picture"}).status_code == 422
answer = client.post("/detect?classes=trangle", files=upload)
assert "did you mean 'triangle'?" in answer.json()["detail"]
