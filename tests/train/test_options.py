"""Training options and presets: what is accepted, and what is refused in a sentence."""

import pytest

from yolo_lite.train.options import TrainOptions, preset


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs .*1.* 0"),
        ({"epochs": 2.5}, "epochs .*whole.*2.5"),
        ({"workers": -1}, "workers .*0.*-1"),
        ({"clip_norm": float("nan")}, "clip_norm .*nan"),
        ({"batch_size": True}, "batch_size .*True"),
        ({"precision": "float8"}, "unknown precision 'float8': choose one of float32, bfloat16, float16"),
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd': choose one of SGD, Adam, AdamW, RMSprop"),
        ({"rule": "voc"}, "unknown rule 'voc': choose one of coco, yolov5"),
        ({"epoch": 3}, "unknown training option 'epoch'; the known ones are epochs, batch_size"),
    ],
)
def test_bad_options_are_explained(values, message):
    with pytest.raises(ValueError, match=message):
        TrainOptions.from_dict(values)


def test_options_of_the_loss_are_passed_on():
    options = TrainOptions(box_loss="giou", autobalance=True)
    assert options.loss_options == {
        "box_loss": "giou", "focal": "focal", "collisions": "last", "autobalance": True, "faithful": "darknet",
    }  # fmt: skip


def test_presets():
    assert preset("scratch") == preset("finetune") == (type(preset("scratch").hyp)(), TrainOptions())
    small = preset("small-data")
    assert small.options.nominal_batch < 64
    assert small.options.least_warmup < 100
    assert small.options.ema_tau < 2000
    with pytest.raises(ValueError, match="unknown preset 'small': choose scratch, finetune or small-data"):
        preset("small")
