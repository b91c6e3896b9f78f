"""The explorers on one sheet, for the README: python docs/contact_sheet.py writes docs/explorers.png.

Each tile is the upper part of the static picture of an explorer as it opens.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import walkthrough as wt
import yolo_lite as yl
from walkthrough.render.png import encode
from yolo_lite.loss.targets import assign_level

WIDTH, HEIGHT, TITLE, GAP, COLUMNS = 560, 400, 40, 16, 3
PAPER, INK = "#FFFFFF", "#1F2328"


def main() -> None:
    """Draw the tiles and put them together."""
    batch = yl.tour_batch()
    anchors = yl.create_model("yolov5n").anchors[0] / 8
    stepper = wt.Stepper(wt.trace(assign_level)(batch.targets, (80, 80), anchors), images=batch.images)
    stepper.step = 1
    kinds = ("AnchorExplorer", "LayerExplorer", "LossExplorer", "IouPlayground", "AugmentationLab", "GradientExplorer")
    explorers = {"Stepper": stepper} | {name: getattr(wt, name)() for name in kinds}
    explorers |= {name: getattr(wt, name)() for name in ("NmsExplorer", "ScheduleExplorer")}
    tiles = [tile(name, explorer) for name, explorer in explorers.items()]
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * (WIDTH + GAP) - GAP, rows * (HEIGHT + GAP) - GAP), PAPER)
    for place, drawn in enumerate(tiles):
        sheet.paste(drawn, (place % COLUMNS * (WIDTH + GAP), place // COLUMNS * (HEIGHT + GAP)))
    (Path(__file__).parent / "explorers.png").write_bytes(encode(np.asarray(sheet)))


def tile(name: str, explorer: wt.Explorer) -> Image.Image:
    """An explorer's picture, cut to the size of a tile, under its name."""
    picture = Image.open(io.BytesIO(explorer.as_scene().png("light", width=880))).convert("RGBA")
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    framed = Image.new("RGBA", (WIDTH, HEIGHT), PAPER)
    framed.paste(picture.crop((0, 0, WIDTH, HEIGHT - TITLE)), (0, TITLE))
    ImageDraw.Draw(framed).text((4, 8), name, fill=INK, font_size=22)
    return framed


if __name__ == "__main__":
    main()
