"""What explorers may be given: datasets and their paths, names and paths of weights; and a sentence for the rest."""

import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

import walkthrough
import yolo_lite as yl
from walkthrough.explorers.anchors import AnchorExplorer
from walkthrough.explorers.augmentation import AugmentationLab
from walkthrough.explorers.backbone import BackboneExplorer
from walkthrough.explorers.inputs import FIRST
from walkthrough.explorers.layer import LayerExplorer
from walkthrough.explorers.loss import LossExplorer
from walkthrough.explorers.nms import NmsExplorer
from walkthrough.explorers.pictures import annotate, targets_of
from walkthrough.explorers.schedule import ScheduleExplorer
from walkthrough.explorers.stepper import Stepper
from walkthrough.explorers.training import LiveTraining
from walkthrough.explorers.why import WhyExplorer
from yolo_lite.datasets.shapes import Shapes, export_shapes

SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes for training and two for validation, on disk."""
    place = tmp_path_factory.mktemp("data") / "scenes"
    export_shapes(place, ("train",), size=SIZE, count=3)
    export_shapes(place.with_name("val"), ("val",), size=SIZE, count=2)
    for kind in ("images", "labels"):
        (place.with_name("val") / kind / "val").rename(place / kind / "val")
    names = "\n".join(f"  {index}: {name}" for index, name in enumerate(Shapes.names))
    (place / "data.yaml").write_text(f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}\n")
    return place


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network that says it was trained at 96 pixels, with the scenes' classes in reversed order."""
    path = tmp_path_factory.mktemp("weights") / "reversed.safetensors"
    yl.save(yl.create_model("yolov5n", names=Shapes.names[::-1]), path, metadata={"img_size": 96})
    return path


def test_a_dataset_gives_its_first_pictures_with_their_objects(folder: Path) -> None:
    dataset = yl.YoloDataset(folder / "data.yaml", SIZE, split="val")
    batch = next(iter(yl.create_dataloader(dataset, batch_size=2)))
    for given in (dataset, folder, str(folder / "data.yaml")):
        pictures = annotate(given, size=SIZE)
        assert torch.allclose(targets_of(pictures), batch.targets, atol=1e-4)
        assert [picture.name.split()[0] for picture in pictures] == ["0", "1"]
    assert len(annotate(yl.YoloDataset(Shapes("train", SIZE, FIRST + 5), SIZE), size=SIZE)) == FIRST
    assert len(annotate("shapes", size=SIZE)) == FIRST


def test_without_a_split_val_it_is_train(tmp_path: Path) -> None:
    export_shapes(tmp_path / "data", ("train",), size=SIZE, count=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(annotate(tmp_path / "data", size=SIZE)) == 2


def test_files_in_memory_are_pictures(folder: Path) -> None:
    path = next((folder / "images").rglob("*.jpg"))
    from_path, from_bytes, from_file = annotate([path, path.read_bytes(), path.open("rb")], size=SIZE)
    assert (from_bytes.pixels == from_path.pixels).all()
    assert (from_file.pixels == from_path.pixels).all()
    assert len(annotate(path.read_bytes(), size=SIZE)) == 1


@pytest.mark.parametrize("explorer", [NmsExplorer, LossExplorer, LayerExplorer])
def test_detectors_by_path_and_datasets_by_path(explorer: type, folder: Path, weights: Path) -> None:
    shown = explorer(images=folder / "data.yaml", model=weights)
    assert shown.message == ""
    assert {picture.size for picture in shown.state.pictures} == {(96, 96)}  # of the training
    assert shown.state.names == Shapes.names[::-1]
    given = yl.YoloDataset(folder, SIZE, split="val")
    named = [given.names[cls] for index in range(2) for cls in given.objects(index).cls.astype(int)]
    boxes = [box for picture in shown.state.pictures for box in picture.boxes]
    assert [shown.state.names[int(box[4])] for box in boxes] == named  # matched by name


@pytest.mark.parametrize("explorer", [AnchorExplorer, Stepper])
def test_heads_of_a_path(explorer: type, folder: Path, weights: Path) -> None:
    shown = explorer(images=folder, model=str(weights))
    assert shown.message == ""
    assert shown.state.names == Shapes.names
    assert len(shown.state.pictures) == 2


def test_the_others(folder: Path, weights: Path) -> None:
    assert ScheduleExplorer(model=weights).message == ""
    lab = AugmentationLab(images=folder / "data.yaml")
    assert lab.message == ""
    assert len(lab.state.album) == 3


def test_a_model_set_later_may_be_a_path(weights: Path) -> None:
    explorer = NmsExplorer(images=torch.zeros(1, 3, SIZE, SIZE))
    explorer.set(model=str(weights))
    assert explorer.message == ""
    assert explorer.state.names == Shapes.names[::-1]


@pytest.mark.parametrize("explorer", [NmsExplorer, LossExplorer, LayerExplorer, AnchorExplorer, Stepper])
@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"model": "none.pt"}, ["none.pt"]),
        ({"model": "shapes"}, ["shapes", "images="]),
        ({"model": "pets/data.yaml"}, ["data.yaml", "images="]),
        ({"images": "best.pt"}, ["best.pt", "model="]),
        ({"images": torch.nn.Linear(1, 1)}, ["Linear", "model="]),
        ({"images": "pets/data.yaml"}, ["pets"]),
        ({"images": "https://example.org/a.jpg"}, ["images", "https://example.org", "address"]),
        ({"images": ["https://example.org/a.jpg"]}, ["images", "https://example.org", "address"]),
        ({"images": "https://example.org/data.yaml"}, ["images", "https://example.org", "address"]),
        ({"model": "https://example.org/best.pt"}, ["model", "https://example.org", "address"]),
        ({"model": Path("https://example.org/data.yaml")}, ["model", "https://example.org", "address"]),
    ],
)
def test_what_stands_in_the_wrong_place_is_answered_by_a_sentence(explorer: type, given: dict, facts: list) -> None:
    message = explorer(**given).message
    assert all(fact in message for fact in facts), message


@pytest.mark.parametrize("explorer", [NmsExplorer, LayerExplorer])
def test_a_dataset_of_other_classes_is_shown_without_its_labels(explorer: type, folder: Path) -> None:
    shown = explorer(images=folder, model=yl.create_model("yolov5n", num_classes=2))
    assert shown.result is not None
    assert len(shown.state.pictures) == 2
    assert not any(picture.boxes for picture in shown.state.pictures)
    dataset = yl.YoloDataset(folder, SIZE, split="val")
    labels = sum(len(dataset.objects(index).cls) for index in range(2))
    for fact in (f"{labels} labels", "left out", "2 classes", Shapes.names[0]):
        assert fact in shown.message
    shown.set(picture=1)
    assert "left out" in shown.message


EXPLORERS = [kind for name in walkthrough.__all__ if isinstance(kind := getattr(walkthrough, name), type)]
INPUTS = [
    (kind, name)
    for kind in EXPLORERS
    if issubclass(kind, walkthrough.Explorer) and kind is not walkthrough.Explorer
    for name in kind._inputs()
    if name != "names"  # of classes: words
]


@pytest.mark.parametrize(("explorer", "name"), INPUTS, ids=[f"{kind.__name__}-{name}" for kind, name in INPUTS])
def test_an_address_is_refused_in_every_place(explorer: type, name: str) -> None:
    shown = explorer(**{name: "https://example.org/pets/data.yaml"})
    assert shown.message.startswith(f"{name}: https://example.org/pets/data.yaml is an address")


def test_a_path_is_not_targets_and_a_word_is_not_options() -> None:
    assert "'labels.txt'" in AnchorExplorer(targets="labels.txt").message
    assert "'fast'" in LiveTraining(options="fast").message


def test_a_pil_picture_is_taken_wherever_pictures_are(folder: Path) -> None:
    path = next((folder / "images").rglob("*.jpg"))
    with Image.open(path) as picture:
        (expected,) = annotate(path, size=SIZE)
        for given in (picture, [picture]):
            assert (annotate(given, size=SIZE)[0].pixels == expected.pixels).all()
        for explorer in (NmsExplorer, LossExplorer, AnchorExplorer):
            shown = explorer(images=picture)
            assert shown.message == ""
            assert len(shown.state.pictures) == 1


def test_a_backbone_shows_any_dataset(folder: Path) -> None:
    for given in (folder, yl.YoloDataset(folder, SIZE, split="val")):
        shown = BackboneExplorer(images=given, img_size=SIZE)
        assert shown.message == ""
        assert shown.state.names == Shapes.names
    (folder.parent / "own.yaml").write_text((folder / "data.yaml").read_text().replace("path: .", f"path: {folder}"))
    text = (folder.parent / "own.yaml").read_text().replace("0: ring", "0: cat")
    (folder.parent / "own.yaml").write_text(text)
    assert BackboneExplorer(images=folder.parent / "own.yaml", img_size=SIZE).state.names[0] == "cat"


@pytest.mark.parametrize("kind", [LossExplorer, WhyExplorer])
def test_labels_of_other_classes_are_refused_with_what_to_do(kind: type, folder: Path) -> None:
    shown = kind(images=folder, model=yl.create_model("yolov5n", num_classes=2))
    assert shown.result is None
    assert all(fact in shown.message for fact in ("2 classes", Shapes.names[0], "model="))


@pytest.mark.parametrize("explorer", [NmsExplorer, LossExplorer, LayerExplorer])
def test_a_folder_of_photographs_without_labels_is_shown(explorer: type, folder: Path, tmp_path: Path) -> None:
    picture = next((folder / "images").rglob("*.jpg"))
    (tmp_path / picture.name).write_bytes(picture.read_bytes())
    shown = explorer(images=str(tmp_path))
    assert shown.result is not None
    assert shown.message == ""
    assert [picture.boxes for picture in shown.state.pictures] == [()]
