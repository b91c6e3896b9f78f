"""Scenes as PNG: the right size, small, seen on light and dark pages, for every odd input."""

import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from walkthrough import row, show_bars, show_grid, show_histogram, show_image, show_series, show_table
from walkthrough.render.matplotlib import LARGEST_FILE, render_png
from walkthrough.render.png import encode
from walkthrough.render.text import place_label, shortened, width_of
from walkthrough.scene import Boxes, Panel, Scene
from walkthrough.style import CLASSES, THEMES, readable_on

SCENES = {
    "nothing": Scene(()),
    "no layers": Scene(((Panel((), 40, 30),),)),
    "tiny image": show_image(np.zeros((2, 3)), [[0, 0, 1, 1]], ["x"]),
    "thin image": show_image(np.zeros((20, 2000, 3), np.uint8), [[100, 2, 400, 15]], ["wide"]),
    "tall image": show_image(np.zeros((2000, 20, 3), np.uint8), [[1, 2, 15, 300]], ["a tall thing"], title="tall"),
    "no boxes": show_image(np.zeros((30, 40)), []),
    "boxes outside": show_image(np.zeros((30, 40)), [[-50, -50, 400, 300], [100, 100, 200, 200]], ["out", "far"]),
    "12 objects": show_image(np.zeros((90, 90)), [[5, 5, 30, 30]] * 12, [f"object {k}" for k in range(12)]),
    "long name": show_image(np.zeros((30, 40)), [[5, 5, 9, 9]], ["a name without an end " * 20]),
    "other scripts": show_image(np.zeros((30, 40)), [[5, 5, 9, 9]] * 3, ["Fußgänger", "自転車 🚲", "$x^2$ \\frac"]),
    "grid": show_grid(np.zeros((64, 64, 3)), (8, 16), boxes=[[3, 3, 40, 50]]),
    "no values": row(show_series({}), show_bars({}), show_histogram([]), show_table([], [])),
    "not finite": row(show_series({"a": [1, np.nan, np.inf]}), show_histogram([1, np.inf, np.nan])),
    "diverged": row(show_bars({"a": np.inf, "b": np.nan, "c": 1}), show_series({"a": [np.nan] * 3}, log=True)),
    "nothing to take a logarithm of": show_series({"a": [0, -1, -2]}, log=True),
    "huge": show_bars({"a": 1e300, "b": -1e-300}),
    "100 bars": show_bars({f"class number {k}": k for k in range(100)}),
    "many rows": show_table(["a", "$b$"], [[k, k / 3] for k in range(100)], title="rows"),
    "log": show_series({"a": [1, 10, 100]}, log=True, x_label="x", y_label="y"),
}


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_is_drawn_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = render_png(SCENES[name])
    image = Image.open(io.BytesIO(drawn.data))
    assert image.format == "PNG"
    assert drawn.width <= 880 + 1
    assert image.width / drawn.width == pytest.approx(image.height / drawn.height, abs=0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_words_are_seen_on_the_page_they_are_drawn_for(theme: str) -> None:
    data = show_table(["layer"], [["Conv"]]).png(theme)
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    for page in {"light": ["white"], "dark": ["#111111"], "any": ["white", "#111111"]}[theme]:
        ground = Image.new("RGBA", image.size, page)
        ground.alpha_composite(image)
        grey = np.asarray(ground.convert("L")).astype(int)
        assert np.abs(grey - grey[0, 0]).max() > 90  # the words stand out from the page's corner


def test_an_unknown_theme_and_colour_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"'sepia'.* any, light, dark"):
        show_bars({"a": 1}).png("sepia")
    with pytest.raises(ValueError, match=r"'mauve'.*own.*anchor"):
        Scene(((Panel((Boxes([[0, 0, 1, 1]], colours=("mauve",)),), 4, 4),),)).png()


def test_a_photograph_stays_small_and_true() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8)  # nothing compresses worse
    drawn = render_png(row(*[show_image(noise)] * 4))
    assert len(drawn.data) < 2 * LARGEST_FILE
    smooth = np.repeat(np.linspace(0, 255, 640, dtype=np.uint8)[None, :, None], 3, 2).repeat(640, 0)
    assert len(render_png(show_image(smooth)).data) < LARGEST_FILE


def test_the_palette_keeps_small_areas_and_transparency() -> None:
    rgba = np.random.default_rng(0).integers(0, 100, (200, 200, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    rgba[:3, :3] = (240, 228, 66, 255)  # nine yellow pixels on 40,000 others
    rgba[-50:] = 0
    image = np.asarray(Image.open(io.BytesIO(encode(rgba))).convert("RGBA")).astype(int)
    assert np.abs(image[:3, :3] - rgba[:3, :3]).max() < 12
    assert (image[-50:, :, 3] == 0).all()
    assert (image[:-50, :, 3] == 255).all()


def test_the_same_scene_gives_the_same_bytes() -> None:
    scene = SCENES["12 objects"]
    assert scene.png() == scene.png()


def test_labels_avoid_each_other_and_stay_inside() -> None:
    room, taken = (0.0, 0.0, 200.0, 200.0), []
    for _ in range(5):
        taken.append(place_label((150, 20, 40, 60), (60, 15), room, taken))
    assert len(set(taken)) == 5
    assert all(x >= 0 and x + w <= 200 and y >= 0 and y + h <= 200 for x, y, w, h in taken)


def test_long_words_end_in_an_ellipsis_that_fits() -> None:
    short = shortened("a very long class name", 60, 11)
    assert short.endswith("…")
    assert width_of(short, 11) <= 60
    assert shortened("cat", 60, 11) == "cat"


def test_label_words_have_a_contrast_of_4_5_on_every_class_colour() -> None:
    def luminance(colour: str) -> float:
        channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        return np.dot(
            [0.2126, 0.7152, 0.0722], [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        )

    for colour in CLASSES:
        light, dark = sorted((luminance(colour), luminance(readable_on(colour))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5


def test_importing_walkthrough_does_not_import_matplotlib_and_drawing_leaves_pyplot_alone() -> None:
    code = (
        "import sys, walkthrough\n"
        "assert 'matplotlib' not in sys.modules\n"
        "walkthrough.show_bars({'a': 1}).png()\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
