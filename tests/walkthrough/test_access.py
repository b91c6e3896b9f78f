"""Contrasts of the themes, and help that says what a setting does."""

import re

import pytest

import walkthrough
from tests.walkthrough.gallery import KINDS
from walkthrough.explorers.controls import Control, controls_of
from walkthrough.style import CLASSES, MEANING, THEMES, Theme, contrast, readable_on
from yolo_lite.hyperparameters import Hyperparameters, descriptions

JUPYTERLAB = {"light": ("#FFFFFF",), "dark": ("#111111", "#212121")}  # grounds of outputs and of fields on them
ON_THE_PAGE = ("slider", "number", "choice", "toggle")


def mixed(paint: str, ground: str, part: float) -> str:
    """A colour of which a part lies on a ground: color-mix(in srgb, ...) of live.css."""
    sides = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in (paint, ground)]
    return "#" + "".join(f"{round(part * a + (1 - part) * b):02X}" for a, b in zip(*sides, strict=True))


@pytest.mark.parametrize(("one", "other", "ratio"), [("#FFFFFF", "#000000", 21), ("#777777", "#FFFFFF", 4.48)])
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_words_of_still_pictures_are_read(theme: Theme) -> None:
    assert min(contrast(words, theme.background) for words in (theme.text, theme.muted)) >= 4.5
    assert min(contrast(line, theme.background) for line in theme.series) >= (3 if theme != THEMES["light"] else 2.2)


@pytest.mark.parametrize("name", JUPYTERLAB)
def test_the_page_is_read_and_its_controls_have_borders(name: str) -> None:
    theme = THEMES[name]
    for page in JUPYTERLAB[name]:
        field, soft = mixed(theme.text, page, 0.05), mixed(theme.series[0], page, 0.14)
        assert min(contrast(theme.text, ground) for ground in (page, field, soft)) >= 4.5
        assert min(contrast(theme.muted, ground) for ground in (page, field)) >= 4.5
        assert min(contrast(part, page) for part in (theme.edge, theme.series[0], theme.series[1])) >= 3


@pytest.mark.parametrize("colour", {*CLASSES, *MEANING.values()})
def test_labels_are_read_on_every_colour(colour: str) -> None:
    assert contrast(readable_on(colour), colour) >= 4.5


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


@pytest.mark.parametrize("kind", KINDS)
def test_help_says_more_than_the_label(kind: str) -> None:
    controls: dict[str, Control] = controls_of(getattr(walkthrough, kind).State)
    described = descriptions(Hyperparameters)  # what the page shows where a control has no help of its own
    for name, control in controls.items():
        if control.kind in ON_THE_PAGE:
            label = "" if callable(control.label) else control.label
            told = control.help or str(described.get(name, ""))
            own = {word for word in words_of(told) if word not in words_of(f"{label} {name}")}
            assert len(own) >= 5, f"{name}: {told!r}"
