"""BackboneExplorer: its numbers are those of the network that the dials describe."""

import numpy as np
import pytest

import yolo_lite as yl
from walkthrough import BackboneExplorer, record_layers
from walkthrough.explorers.pictures import images_of
from walkthrough.scene import Table
from yolo_lite.family.backbones import Backbone


@pytest.fixture
def shown() -> BackboneExplorer:
    return BackboneExplorer(img_size=64)


def test_numbers_are_of_the_network_that_the_dials_describe(shown: BackboneExplorer) -> None:
    shown.set(blocks="C2f", activation="ReLU", neck="FPN", pooling="none")
    dials = Backbone(width=0.25, depth=0.33, blocks="C2f", activation="ReLU", neck="FPN", pooling="none")
    assert shown.state.dials == dials
    model = yl.create_model(dials.spec(6)).eval()
    summary = model.summary(64)
    result = shown.result
    assert result.now["all"].parameters == summary.parameters
    assert result.now["all"].flops == summary.flops
    expected = record_layers(model, images_of(shown.state.pictures[:1]))
    assert [r.output_shapes for r in result.records] == [r.output_shapes for r in expected]
    assert [r.receptive_field.size for r in result.records] == [r.receptive_field.size for r in expected]
    assert [stage.stride for stage in result.stages if stage.tap is not None] == [8, 16, 32]
    assert sum(stage.parameters for stage in result.stages) == result.now["backbone"].parameters


@pytest.mark.parametrize(
    ("turned", "strides"),
    [
        ({"downsampling": "early"}, [2, 8, 16, 32]),
        ({"downsampling": "late"}, [2, 4, 8, 16, 32]),
        ({"taps": "P3 P4 P5 P6"}, [2, 4, 8, 16, 32, 64]),
        ({"taps": "P3 P4", "stem": "3x3", "norm": "SyncBN", "head": "v8"}, [2, 4, 8, 16]),
        ({"depthwise": True, "neck": "BiFPN", "tap_before_pooling": True}, [2, 4, 8, 16, 32]),
    ],
)
def test_every_dial_builds_a_network(shown: BackboneExplorer, turned: dict, strides: list[int]) -> None:
    shown.set(**turned)
    assert shown.message == ""
    assert [stage.stride for stage in shown.result.stages] == strides
    taps = [stage.stride for stage in shown.result.stages if stage.tap is not None]
    assert tuple(taps) == shown.state.dials.strides


def test_without_pooling_a_cell_of_stride_32_sees_less(shown: BackboneExplorer) -> None:
    shown.pooling = "none"
    before, after = shown.result.start_stages[-1].sees, shown.result.stages[-1].sees
    assert before - after == 12 * 32  # three poolings of 5 cells
    shown.norm = "GroupNorm"  # mean and variance over the whole map
    assert shown.result.stages[0].sees is None


def test_choices_that_do_not_fit_are_a_sentence(shown: BackboneExplorer) -> None:
    shown.set(downsampling="early", taps="P2 P3 P4 P5")
    assert "P2" in shown.message
    shown.downsampling = "as given"
    assert shown.message == ""
    assert "Backbone" in BackboneExplorer(backbone="yolov5n").message
    assert BackboneExplorer(images=[np.zeros((40, 40, 3), np.uint8)], img_size=80).message != ""  # no multiple of 32


def test_the_chosen_stage_is_kept_when_a_dial_is_turned(shown: BackboneExplorer) -> None:
    tap = shown.result.stages[-1].tap
    shown.layer = tap
    shown.pooling = "none"
    assert shown.result.record.output_shape[2:] == (2, 2)
    assert shown.layer == tap - 1
    shown.taps = "P3 P4"  # that stage is gone: the finest tap
    assert shown.layer == shown.result.stages[2].tap


def test_own_pictures_and_backbone(shown: BackboneExplorer) -> None:
    own = Backbone(width=0.125, depth=0.2, channels=(64, 128, 512, 512, 1024), blocks=("C3", "C2f", "ELAN", "residual"))
    picture = np.random.default_rng(0).integers(0, 255, (50, 90, 3), dtype=np.uint8)
    w = BackboneExplorer(images=[picture], backbone=own, img_size=96)
    assert w.message == ""
    assert w.state.dials == own
    assert w.result.stages[2].channels == 64  # P3: 512 / 8
    w.activation = "Mish"
    assert w.state.dials.channels == own.channels
    w.add_picture(np.zeros((30, 30, 3), np.uint8), "black")
    assert w.picture == 1
    assert w.message == ""


def test_the_code_makes_the_same_network(shown: BackboneExplorer) -> None:
    shown.set(blocks="ELAN", downsampling="early")
    known: dict = {"yl": yl, "record_layers": record_layers, "show_layers": lambda records: records}
    known["images"] = images_of(shown.state.pictures[:1])
    exec(shown.as_code(), known)
    assert known["dials"] == shown.state.dials
    assert sum(p.numel() for p in known["model"].parameters()) == shown.result.now["all"].parameters


def test_the_table_shows_start_and_now(shown: BackboneExplorer) -> None:
    first = shown.as_scene().rows[0][1].rows
    assert [line[0].partition(":")[0] for line in first] == [
        part for part in ("all", "backbone", "neck", "head") for _ in range(4)
    ]
    shown.pooling = "none"
    tables = [panel for row in shown.as_scene().all_rows for panel in row if isinstance(panel, Table)]
    cost = {line[0]: line[1:] for line in tables[0].rows}
    assert next(iter(cost)).startswith("all: ")  # the totals of the headline come first
    start, now, change = cost["all: parameters"]
    assert int(now.replace(",", "")) < int(start.replace(",", ""))
    assert change.startswith("-")
    assert "parameters" in shown.words()
