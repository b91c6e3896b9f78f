"""The peer's training step on a GPU: YOLOv5 7.0.14, called as its users call it. Started by gpu_others.py.

Only its public names are used; its code was not read for this. cudnn.benchmark is on for it, whose users ask for that.
"""

from typing import Any

import torch

from benchmarks.speed import inputs, peer
from benchmarks.speed.worker import Work, serve

STEPS = 5  # of a call, which then waits for the device


def train(scale: str, size: int, batch: int, precision: str, device: str, classes: int, steps: int = STEPS) -> Work:
    """What its training does with a batch in mixed precision: a batch in page-locked memory -> a step and the EMA."""
    torch.backends.cudnn.benchmark = True
    on = torch.device(device)
    model = peer.Model(str(peer.ROOT / f"models/yolov5{scale}.yaml"), ch=3, nc=classes).to(on).train()
    model.hyp, model.nc = peer.HYP, classes
    criterion, average = peer.ComputeLoss(model), peer.ModelEMA(model)
    hyp = peer.HYP
    optimizer = peer.smart_optimizer(model, "SGD", hyp["lr0"], hyp["momentum"], hyp["weight_decay"])
    scaler = torch.amp.GradScaler(on.type, enabled=precision == "float16")
    pixels, rows = (inputs.images(batch, size) * 255).to(torch.uint8), inputs.targets(8 * batch, batch, classes)
    if on.type == "cuda":
        pixels = pixels.pin_memory()

    def step() -> None:
        images = pixels.to(on, non_blocking=True).float() / 255
        with torch.autocast(on.type, getattr(torch, precision)):
            maps = model(images)
            total, _ = criterion(maps, rows.to(on))
        scaler.scale(total).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=10.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        average.update(model)

    def call() -> None:
        for _ in range(steps):
            step()
        if on.type == "cuda":
            torch.cuda.synchronize(on)

    return Work(call, steps * batch)


def facts() -> dict[str, Any]:
    return peer.facts()


if __name__ == "__main__":
    serve({"train": train}, lambda threads: None, facts)
