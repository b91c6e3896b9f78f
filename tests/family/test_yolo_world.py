"""YOLO-World: the vocabulary is text, given at run time or fixed as plain weights."""

import json
from pathlib import Path

import pytest
import torch

from yolo_lite.checkpoints.own import load, save
from yolo_lite.datasets.shapes.coloured import COLOURS, ColouredShapes, colour_shape_pairs
from yolo_lite.datasets.shapes.outlines import KINDS
from yolo_lite.family.blocks.words import BNContrastiveHead, C2fAttn, ContrastiveHead, ImagePoolingAttn, MaxSigmoidAttn
from yolo_lite.family.yolo_world.network import YoloWorld, build
from yolo_lite.family.yolo_world.rows import TEXT
from yolo_lite.family.yolo_world.text import TextEncoder
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import create_model

FACTS = Path(__file__).parents[1] / "golden" / "family" / "modern" / "facts.json"
NAMES = ["red circle", "blue square", "red square"]
PUBLISHED = [*(f"yolov8{scale}-worldv2" for scale in "smlx"), "yolov8s-world"]


def world(names: list[str] | None = None, **entries: object) -> YoloWorld:
    model = create_model({"family": "yolo-world", **entries}, names=names or NAMES, seed=1)
    assert isinstance(model, YoloWorld)
    return randomised(model.eval())


def randomised(model: YoloWorld) -> YoloWorld:
    """With running statistics and biases that are not those of the start, so that nothing is equal by chance."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith(("running_mean", "bias", "running_var")) and value.dim():
            drawn = torch.rand(value.shape, generator=generator)
            value.copy_(drawn + 0.5 if name.endswith("running_var") else drawn - 0.5)
    return model


def images(size: int = 64) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(3))


def same_maps(first: YoloWorld, second: YoloWorld) -> None:
    with torch.no_grad():
        for one, other in zip(first(images()), second(images()), strict=True):
            assert ((one - other).abs() <= 1e-4 * (1 + one.abs())).all()


def small_first_version() -> dict[str, object]:
    """A small network of the first version: texts look at the image, regions have unit length."""
    return {
        "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [16, 3, 2]]],
        "head": [
            [-1, 1, "C2fAttn", [16, 8, 2]],
            [[3, 2], 1, "ImagePoolingAttn", [16]],
            [3, 1, "Conv", [24, 3, 2]],
            [-1, 1, "C2fAttn", [32, 16, 2]],
            [[3, 6], 1, "WorldDetect", ["nc", 12, False]],
        ],
        "words": [],
        "reg_max": 4,
    }


# Published networks


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_have_the_recorded_parameters(name: str) -> None:
    recorded = json.loads(FACTS.read_text(encoding="utf-8"))["ultralytics_models"][name]
    with torch.device("meta"):
        model = build({"family": "yolo-world", "name": name}, name)
        assert sum(parameter.numel() for parameter in model.parameters()) == recorded["params_total"]
        for row, layer, expected in zip(model.rows, model.layers, recorded.get("layers", model.layers), strict=True):
            if isinstance(expected, dict):
                count = sum(parameter.numel() for parameter in layer.parameters())
                assert (row.index, row.kind, count) == (expected["i"], expected["type"], expected["params"])
    assert list(model.strides) == recorded["strides"]


def test_texts_updated_by_the_image_reach_the_later_attention_and_not_the_head() -> None:
    with torch.device("meta"):
        rows = build({"family": "yolo-world", "name": "yolov8s-world"}, "an example").rows
    readers = {row.index: row.inputs[-1] for row in rows if row.kind in ("C2fAttn", "ImagePoolingAttn", "WorldDetect")}
    assert readers == {12: TEXT, 15: TEXT, 16: TEXT, 19: 16, 22: 16, 23: TEXT}


# The vocabulary


def test_a_vocabulary_is_changed_at_run_time() -> None:
    model = world()
    with torch.no_grad():
        before = model.decode(model(images()))
        model.set_vocabulary(["red square", "circle"])
        after = model.decode(model(images()))
    assert (model.names, model.num_classes, model.spec["nc"]) == (("red square", "circle"), 2, 2)
    assert before.shape[-1] == 5 + 3
    assert after.shape[-1] == 5 + 2
    assert not torch.allclose(before[..., 7], after[..., 6])
    model.set_vocabulary(NAMES)
    with torch.no_grad():
        assert torch.equal(model.decode(model(images())), before)


def test_the_order_of_the_vocabulary_is_that_of_the_scores() -> None:
    model = world()
    with torch.no_grad():
        before = model.decode(model(images()))
        model.set_vocabulary(NAMES[::-1])
        after = model.decode(model(images()))
    torch.testing.assert_close(after[..., 5:], before[..., 5:].flip(-1))
    torch.testing.assert_close(after[..., :4], before[..., :4])


def test_attention_reads_the_vocabulary() -> None:
    """A larger vocabulary changes what the neck gives, so also the boxes."""
    model = world()
    with torch.no_grad():
        before = model(images())[0][..., :64]
        model.set_vocabulary([*NAMES, "blue circle"])
        assert not torch.allclose(model(images())[0][..., :64], before, atol=1e-6)


@pytest.mark.parametrize(
    ("phrases", "named"),
    [
        (["green circle"], "green"),
        (["red circle", " "], "' '"),
        ([], r"\[\]"),
        (["circle", "circle"], "circle"),
        ([3], r"each a text, not \[3\]"),
        ([None], "each a text"),
        (["red circle", "Red  circle"], "cannot be told apart: 'red circle' and 'Red  circle'"),
        (["red circle", "circle red"], "cannot be told apart"),
    ],
)
def test_vocabularies_that_mean_nothing(phrases: list, named: str) -> None:
    model = world()
    with pytest.raises(ValueError, match=named):
        model.set_vocabulary(phrases)
    assert model.names == tuple(NAMES)


def test_words_are_shared_by_phrases() -> None:
    encoder = TextEncoder(["red", "blue", "circle", "square"], 8)
    red_circle, red_square, blue_circle, blue_square = encoder(
        ["red circle", "Red square", "blue circle", "blue square"]
    )
    torch.testing.assert_close(red_circle - blue_circle, red_square - blue_square)


def test_embeddings_from_outside() -> None:
    model = create_model({"family": "yolo-world", **small_first_version(), "words": None}, num_classes=3).eval()
    assert isinstance(model, YoloWorld)
    drawn = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    model.set_vocabulary(["cat", "dog"], drawn)
    assert torch.equal(model.given(images())[TEXT][1], drawn)
    assert model(images())[0].shape[-1] == 4 * 4 + 2
    with pytest.raises(ValueError, match=r"\(2, 12\)"):
        model.set_vocabulary(["cat", "dog"])
    with pytest.raises(ValueError, match=r"\(2, 11\)"):
        model.set_vocabulary(["cat", "dog"], drawn[:, :11])
    for wrong, words in (([[0.0] * 12] * 2, "not a list"), (drawn * float("nan"), "finite")):
        with pytest.raises(ValueError, match=words):
            model.set_vocabulary(["cat", "dog"], wrong)
    with pytest.raises(ValueError, match="must differ"):
        model.set_vocabulary(["cat", "cat"], drawn)
    assert torch.equal(model.embeddings(), drawn)
    with pytest.raises(ValueError, match="text encoder"):
        world().set_vocabulary(["red circle"], torch.zeros(1, 64))


# A fixed vocabulary


@pytest.mark.parametrize("entries", [{}, small_first_version()])
@pytest.mark.parametrize("how", ["fixed", "fuse"])
def test_a_fixed_vocabulary_computes_the_same_without_texts(entries: dict, how: str, tmp_path: Path) -> None:
    model = world(**entries)
    plain = getattr(model, how)()
    assert plain.encoder is None
    assert not plain.given(images())
    assert not any(TEXT in row.inputs for row in plain.rows)
    assert not any(isinstance(module, ContrastiveHead) for module in plain.modules())
    same_maps(model, plain)
    assert model.encoder is not None
    with pytest.raises(ValueError, match="part of its weights"):
        plain.set_vocabulary(["red circle"])
    save(plain, tmp_path / "plain.safetensors")
    again = load(tmp_path / "plain.safetensors")
    assert isinstance(again, YoloWorld)
    assert again.names == tuple(NAMES)
    same_maps(plain, again)


@pytest.mark.parametrize("entries", [{}, small_first_version()])
def test_outputs_of_a_fixed_vocabulary_change_places_with_their_names(entries: dict, tmp_path: Path) -> None:
    plain = world(**entries).fixed()
    save(plain, tmp_path / "plain.safetensors")
    turned = load(tmp_path / "plain.safetensors", names=NAMES[1:] + NAMES[:1])
    with torch.no_grad():
        one, other = plain.decode(plain(images())), turned.decode(turned(images()))
    torch.testing.assert_close(other[..., 5:], one[..., [6, 7, 5]], atol=1e-5, rtol=1e-4)


# Saving and loading


def test_the_vocabulary_and_the_words_are_saved(tmp_path: Path) -> None:
    model = world()
    model.set_vocabulary(["square"])
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert isinstance(again, YoloWorld)
    assert again.names == ("square",)
    same_maps(model, again)
    for each in (model, again):
        each.set_vocabulary(["blue circle"])
    same_maps(model, again)


def test_new_names_of_a_file_are_a_vocabulary(tmp_path: Path) -> None:
    model = world()
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", names=["blue circle", "red square"])
    assert isinstance(again, YoloWorld)
    model.set_vocabulary(["blue circle", "red square"])
    same_maps(model, again)
    with pytest.warns(UserWarning, match="green"):
        load(tmp_path / "model.safetensors", names=["green circle", "red square"])


# Training


def test_the_gradient_reaches_every_word_of_the_vocabulary() -> None:
    model = world()
    model.set_vocabulary(["red circle"])
    targets = torch.tensor([[0, 0, 0.5, 0.5, 0.5, 0.4]])
    model.criterion(Hyperparameters(), 64)(model(images()), targets).total.backward()
    assert model.encoder is not None
    reached = {
        word: vector.grad is not None and bool(vector.grad.abs().sum() > 0)
        for word, vector in zip(model.encoder.words, model.encoder.vectors, strict=True)
    }
    assert reached == {"red": True, "circle": True, "blue": False, "square": False}


@pytest.mark.parametrize(
    ("entries", "words"),
    [({"reg_max": 1}, "at least 2"), ({"fixed": "no"}, "fixed must be true or false"), ({"depthwise": 1}, "depthwise")],
)
def test_mistakes_in_entries_are_one_sentence(entries: dict, words: str) -> None:
    with pytest.raises(SpecError, match=words) as error:
        world(**entries)
    assert "\n" not in str(error.value)


def test_names_of_equal_words_are_refused() -> None:
    with pytest.raises(SpecError, match="told apart"):
        world(["red circle", "circle red"])


# Blocks


def test_blocks_without_texts_say_so() -> None:
    x = torch.zeros(1, 8, 4, 4)
    for block, inputs in ((C2fAttn(8, 8, 1, 4, 1, 6), [x]), (ImagePoolingAttn([8], 8, 6, 2), [x])):
        with pytest.raises(ValueError, match="texts"):
            block(inputs)
    with pytest.raises(ValueError, match="heads"):
        MaxSigmoidAttn(8, 8, heads=3, embed_channels=8)
    rows = [[-1, 1, "Conv", [8, 3, 8]], [-1, 1, "C2fAttn", [8, 4, 1]]]
    spec = {"nc": 1, "anchors": 1, "backbone": rows, "head": [[[-1], 1, "Detect", ["nc", "anchors"]]]}
    with pytest.raises(SpecError, match="yolo-world"):
        create_model(spec)


def test_attention_weighs_places_by_the_most_similar_text() -> None:
    block = MaxSigmoidAttn(2, 2, 1, 2, 2)
    assert block.gl is not None
    with torch.no_grad():
        block.gl.weight.copy_(torch.eye(2))
        block.gl.bias.zero_()
    x = torch.zeros(1, 2, 1, 2)
    x[0, 0, 0, 0], x[0, 1, 0, 1] = 3.0, 5.0
    text = torch.eye(2)[None]
    expected = (torch.tensor([3.0, 5.0]) / 2**0.5).sigmoid()
    torch.testing.assert_close(block.weights(x, text)[0, 0, 0], expected)
    torch.testing.assert_close(block.weights(x, text[:, :1])[0, 0, 0, 1], torch.tensor(0.5))


def test_contrast_without_length() -> None:
    """Five times the embedding of a region or of a text is the same direction."""
    x, text = torch.rand(1, 4, 2, 2), torch.rand(1, 3, 4)
    head = ContrastiveHead()
    torch.testing.assert_close(head(5 * x, 5 * text), head(x, text))
    assert not torch.allclose(BNContrastiveHead(4).eval()(5 * x, text), BNContrastiveHead(4).eval()(x, text))


# Coloured scenes


def test_scenes_have_the_pairs_that_are_asked_for() -> None:
    unseen = {"red ring", "blue star", "black moon"}
    pairs = [pair for pair in colour_shape_pairs() if pair not in unseen]
    source = ColouredShapes("train", 64, 60, pairs=pairs)
    for index in range(len(source)):
        for shape in source.layout(index).shapes:
            colour, outline = pairs[shape.cls].split()
            assert tuple(shape.fill.ink.astype(int)) == COLOURS[colour]
            assert outline in KINDS
    assert len({source.names[cls] for index in range(60) for cls in source.labels.of(index).cls}) == 33
    with pytest.raises(ValueError, match="moon"):
        ColouredShapes(pairs=[pair for pair in colour_shape_pairs() if "moon" not in pair])
    with pytest.raises(ValueError, match="pink"):
        ColouredShapes(pairs=["pink ring"])
