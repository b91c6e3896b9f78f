"""Names of walkthrough in 0.1.0 that moved: importing one warns and gives what is elsewhere now. They go in 0.3.0."""

from functools import partial

from yolo_lite import _moved

MOVED = {
    f"walkthrough.explorers.{old}": f"walkthrough.explorers.{new}"
    for old, new in {
        "album": "augmentation.album",
        "anchors_data": "anchors.fit",
        "anchors_scene": "anchors.scene",
        "augmentation_scene": "augmentation.scene",
        "gradient_scene": "gradient.scene",
        "layer_detail": "layer.detail",
        "layer_graph": "layer.graph",
        "layer_scene": "layer.scene",
        "live_run": "training.live_run",
        "nms_scene": "nms.scene",
        "stepper_moves": "stepper.moves",
        "stepper_reading": "stepper.reading",
        "stepper_scene": "stepper.scene",
        "stepper_state": "stepper.state",
        "stepper_value": "stepper.value",
        "suppression": "nms.suppression",
        "training_scene": "training.scene",
    }.items()
} | {
    "walkthrough.trace.record": "walkthrough.trace.steps",
    "walkthrough.trace.recording": "walkthrough.trace.replay",
    "walkthrough.trace.tracing": "walkthrough.trace.entry",
}
_MAPS = {
    old: f"walkthrough.gradients.maps:{new}"
    for old, new in {
        "CellPull": "CellGradient",
        "MapPulls": "MapGradients",
        "pull_on_maps": "map_gradients",
        "shares_of": "fractions_of",
    }.items()
}
_LAYERS = {
    "LayerPulls": "walkthrough.gradients.layers:LayerGradients",
    "pull_on_layers": "walkthrough.gradients.layers:layer_gradients",
}
MOVED_NAMES = {  # module -> name in it -> module that has it now, or module:name
    f"walkthrough.explorers.{explorer}": {old: f"walkthrough.explorers.{explorer}.{new}" for old, new in names.items()}
    for explorer, names in {
        "anchors": {"AnchorState": "state:State", "AnchorResult": "state:Result"},
        "augmentation": {"Drop": "state", "Made": "state"},
        "gradient": {"Moved": "state", "Pulled": "state:Result", "move_boxes": "state"},
        "iou": {"IouState": "state:State", "IouResult": "state:Result", "Descent": "state", "descend": "state"},
        "layer": {"cell_at": "state"},
        "loss": {
            "Losses": "state:Result",
            "default_pulls": "state:default_gradients",
            "shares_of_terms": "scene:fractions_of_terms",
        },
        "nms": {"labels_of": "state"},
        "schedule": {"Group": "state", "Told": "state:Result", "count_steps": "state"},
        "training": {"above": "state", "moving_mean": "state"},
    }.items()
} | {
    "walkthrough.explorers.base": {"differs": "walkthrough.explorers.adjusting"},
    "walkthrough.gradients": {**_MAPS, **_LAYERS},
    "walkthrough.gradients.maps": _MAPS,
    "walkthrough.gradients.layers": _LAYERS,
    "walkthrough.trace.reading": {"load_trace": "walkthrough.trace.replay"},
    "walkthrough.trace.steps": {"Excerpt": "walkthrough.trace.replay"},
}
moved_name = partial(_moved.moved_name, moved=MOVED_NAMES)


def find_moved_modules() -> None:
    """Makes the old names importable."""
    _moved.find_moved_modules(MOVED)
