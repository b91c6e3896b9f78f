import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.family.darknet.cfgs import ALL, CONV, NET
from yolo_lite.family.darknet.cfg import MAX_CHARACTERS, MAX_SECTIONS, parse_cfg
from yolo_lite.family.darknet.network import CFG, Darknet
from yolo_lite.family.darknet.options import ALIASES, KNOWN
from yolo_lite.model.spec import SpecError


def test_sections_have_lines_and_options() -> None:
    cfg = parse_cfg("# mine\n[net]\nwidth=32\n\n[conv]\nfilters=8\n", "my.cfg")
    assert cfg.net.line == 2
    assert [(layer.kind, layer.line) for layer in cfg.layers] == [("convolutional", 5)]
    assert cfg.layers[0].options["filters"] == ("filters", "8", 6)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff[net]\nwidth=32\n[yolo]\nmask=0,1\n",
        "[net]\r\nwidth=32\r\n[yolo]\r\nmask=0,1\r\n",
        "[network]\rwidth=32\r[yolo]\rmask=0,1",
        " [ net ] \n\twidth =\t32\n\n;note\n #note\n[yolo]\nmask = 0 ,\t1,\n",
        "[net]\nwidth=32 # pixels\n[yolo]#last\nmask=0,1#two\n",
    ],
)
def test_line_ends_blanks_and_comments_have_no_meaning(text: str) -> None:
    cfg = parse_cfg(text)
    assert cfg.net.whole("width", 0) == 32
    assert cfg.layers[0].wholes("mask") == (0, 1)


def test_of_an_option_that_is_there_twice_the_first_counts_and_the_other_is_reported() -> None:
    cfg = parse_cfg("[net]\nwidth=32\nwidth=64\n")
    assert cfg.net.whole("width", 0) == 32
    assert cfg.left_out[0].option == ("width", "64", 3)
    assert "line 2" in str(cfg.left_out[0])


def test_options_without_effect_are_kept_with_their_reason() -> None:
    cfg = parse_cfg("[net]\nlearning_rate=.1\nhue=.1\nwidth=8\n")
    assert [entry.option.name for entry in cfg.left_out] == ["learning_rate", "hue"]
    assert all(entry.reason for entry in cfg.left_out)
    assert "learning_rate" not in cfg.net


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("[net]\nwidth=8\n[convolutionel]\n", ["line 3", "convolutionel", "convolutional"]),
        ("[net]\nwidth=8\n[convolutional\n", ["line 3", "[convolutional"]),
        ("[net]\nwidht=8\n", ["line 2", "[net]", "widht", "width"]),
        ("[net]\nwidth\n", ["line 2", "width"]),
        ("[net]\nwidth=\n", ["line 2", "width="]),
        ("width=8\n[net]\n", ["line 1", "width=8"]),
        ("[convolutional]\n", ["[convolutional]", "[net]"]),
        ("", ["[net]"]),
        ("[net]\n[net]\n", ["line 2", "line 1"]),
        ("[net]\n[convolutional]\nxnor=1\n", ["line 3", "xnor=1"]),
    ],
)
def test_what_is_not_a_cfg_is_refused_with_file_line_and_value(text: str, facts: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        parse_cfg(text, "my.cfg")
    assert all(fact in str(caught.value) for fact in ["my.cfg", *facts])


@pytest.mark.parametrize("value", ["eight", "8px", "nan", "inf", "1e999", "1_0", "8.5", "-1", "99999999999", "0x8"])
def test_a_value_that_does_not_fit_is_named(value: str) -> None:
    text = NET + f"[convolutional]\nsize=3\nfilters={value}\n[yolo]\n"
    with pytest.raises(SpecError) as caught:
        Darknet(text, where="my.cfg")
    assert all(fact in str(caught.value) for fact in ["my.cfg", "line 8", f"filters={value}"])


def test_texts_of_absurd_size_are_refused() -> None:
    with pytest.raises(SpecError, match=f"{MAX_CHARACTERS:,}"):
        parse_cfg("#" * (MAX_CHARACTERS + 1))
    with pytest.raises(SpecError, match=f"{MAX_SECTIONS:,}"):
        parse_cfg("[net]\n" + "[avgpool]\n" * MAX_SECTIONS)


def test_bundled_files_have_no_option_whose_effect_is_missing() -> None:
    for file in CFG.glob("*.cfg"):
        reasons = {entry.reason for entry in parse_cfg(file.read_text(encoding="utf-8"), file.name).left_out}
        assert not any("not built" in reason or "already" in reason for reason in reasons), file.name


def test_a_cfg_can_be_pickled() -> None:
    cfg = parse_cfg(NET + CONV.format(8, 2))
    assert pickle.loads(pickle.dumps(cfg)) == cfg


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(SpecError):
        Darknet(text)


NUMBERS = st.one_of(
    st.integers(-3, 70).map(str),
    st.sampled_from(["2147483647", "99999999999", "1e9", ".5", "-1,-2", "0,1", "1,2,3,4", "x", "", "leaky", "mish"]),
)
LINES = st.one_of(
    st.sampled_from([f"[{name}]" for name in ALIASES]),
    st.tuples(st.sampled_from(sorted({name for known in KNOWN.values() for name in known})), NUMBERS).map("=".join),
)


@st.composite
def disturbed(draw: st.DrawFn) -> str:
    """A small network with lines left out, put in and changed."""
    lines = draw(st.sampled_from(list(ALL.values()))).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        lines[place : place + draw(st.integers(0, 2))] = draw(st.lists(LINES, max_size=3))
        lines = lines or ["[net]"]
    return "\n".join(lines)


@given(disturbed())
def test_a_disturbed_network_is_built_or_refused(text: str) -> None:
    try:
        model = Darknet(text, where="my.cfg", max_floats=2_000_000)
    except SpecError as error:
        assert "my.cfg" in str(error)  # noqa: PT017
    else:
        assert len(model.strides) == len(model.heads) > 0
