"""The front page of the site: the tour as cards, each with a picture that its notebook was saved with.

docs/conf.py puts the cards in the place of ``<!-- cards -->`` on docs/index.md, and their pictures beside the pages.
"""

import base64
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image


class Chosen(NamedTuple):
    """Which picture of a notebook stands on its card."""

    words: str  # of the code cell that was saved with it
    top: float = 0.0  # where the card begins, as a fraction of the picture's height


# A notebook that is not here, or has no such cell, shows its first picture that is large enough.
PICTURES = {
    "00_start_here": Chosen("screen.update("),
    "01_data": Chosen("show_batch(batch, photos.names, columns=2"),
    "02_augmentation": Chosen('titles=["mosaic'),
    "03_model_layer_by_layer": Chosen("LayerExplorer("),
    "05_build_targets": Chosen("AnchorExplorer("),
    "06_loss": Chosen("LossExplorer("),
    "07_backpropagation": Chosen("GradientExplorer("),
    "08_training_loop": Chosen("LiveTraining("),
    "09_inference_and_map": Chosen('words="the scene before'),
    "10_real_weights_and_your_data": Chosen("val.objects(i)"),
    "11_losses_through_time": Chosen("column(*scenes)"),
    "12_backbones": Chosen("BackboneExplorer(", top=0.37),
    "13_anchor_free": Chosen("redrawn(drawn(corners"),
    "14_gradients_and_words": Chosen('titles=["training'),
    "90_gallery": Chosen("AugmentationLab("),
}
NONE = Chosen("# of no cell")
LEAST = 180  # pixels of the width and of the height of a picture that is large enough
WIDTH, HEIGHT = 480, 320  # of a card's picture, which is cut off below
PLACE = "../_static/cards"  # as seen from docs/index.html


class Card(NamedTuple):
    """One notebook of the tour."""

    notebook: str  # "01_data"
    title: str  # its first heading
    says: str  # what it answers, as the table of the README says; may be empty


def cards_of(project: Path) -> list[Card]:
    """A card for each notebook, in the order of their names."""
    table = (project / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| \[(\w+)\]\(notebooks/\w+\.ipynb\) \| (.+) \|$", table, re.MULTILINE))
    return [
        Card(path.stem, _title(_read(path)), told.get(path.stem, ""))
        for path in sorted((project / "notebooks").glob("[0-9]*.ipynb"))
    ]


def cards_html(cards: list[Card]) -> str:
    """The cards as a list of links."""
    items = []
    for card in cards:
        number = card.notebook.partition("_")[0]
        picture = f'<img class="dark-light" src="{PLACE}/{card.notebook}.png" alt="" loading="lazy">'
        words = f"<strong>{html.escape(card.title)}</strong><span>{html.escape(card.says)}</span>"
        link = f'<a href="../notebooks/{card.notebook}.html">{picture}<em>{number}</em>{words}</a>'
        items.append(f"<li>{link}</li>")
    return '<ul class="tour-cards">\n' + "\n".join(items) + "\n</ul>"


def write_pictures(project: Path, folder: Path) -> None:
    """The picture of each card, as a PNG in a folder.

    Raises:
        LookupError: a notebook was saved without a picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for card in cards_of(project):
        picture = card_picture(project / "notebooks" / f"{card.notebook}.ipynb")
        picture.save(folder / f"{card.notebook}.png", optimize=True)


def card_picture(path: Path) -> Image.Image:
    """The picture of a notebook's card, from what it was saved with: scaled to the width, cut to the height."""
    chosen = PICTURES.get(path.stem, NONE)
    found = [(chosen.words in source, picture) for source, picture in _pictures(_read(path))]
    large = [(named, picture) for named, picture in found if min(picture.size) >= LEAST] or found
    if not large:
        raise LookupError(f"{path.name} was saved without a picture, and its card on the front page needs one")
    picture = next((picture for named, picture in large if named), large[0][1])
    scale = max(WIDTH / picture.width, HEIGHT / picture.height)
    size = round(picture.width * scale), round(picture.height * scale)
    left, top = (size[0] - WIDTH) // 2, min(round(chosen.top * size[1]), size[1] - HEIGHT)
    scaled = picture.convert("RGBA").resize(size, Image.Resampling.LANCZOS)
    return scaled.crop((left, top, left + WIDTH, top + HEIGHT)).quantize(255, Image.Quantize.FASTOCTREE)


def without_setup(notebook: str) -> str:
    """The JSON of a notebook without the cell that installs the library on Colab, which says nothing on a page."""
    read = json.loads(notebook)
    read["cells"] = [cell for cell in read["cells"] if not _installs("".join(cell["source"]))]
    return json.dumps(read)


def _installs(source: str) -> bool:
    return source.startswith("import importlib.util") and source.rstrip().endswith('/yolo-lite"')


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def _title(notebook: dict[str, Any]) -> str:
    """The first heading, without its number."""
    first = "".join(notebook["cells"][0]["source"]).splitlines()[0]
    return re.sub(r"^#\s*(\d+\w?\.\s*)?", "", first)


def _pictures(notebook: dict[str, Any]) -> Iterator[tuple[str, Image.Image]]:
    """The source of each code cell that was saved with a picture, and the picture."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                data = base64.b64decode("".join(output["data"]["image/png"]))
                yield "".join(cell["source"]), Image.open(io.BytesIO(data))
