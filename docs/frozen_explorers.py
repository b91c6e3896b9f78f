"""Every explorer of the tour, frozen for the site: python docs/frozen_explorers.py build/frozen.

make site calls it before the pages are built, and docs/conf.py puts what it finds in that folder on docs/live.md: one
script, frozen.js, and for each explorer a file of its own, which the page fetches when it comes near.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import walkthrough as wt
from walkthrough.explorers.controls import PACE
from walkthrough.frozen import Frozen, FrozenControl, frozen_script_text

MOST_BYTES = 3_000_000  # of one explorer; 1,000,000 where its pictures stay the same
TRAINED = range(0, 41, 4)  # iterations


def frozen(explorer: wt.Explorer, *names: str, **values: Any) -> Frozen:
    """An explorer frozen with its stories, where it has some."""
    return explorer.freeze(*names, stories=bool(explorer.stories), **values)


def training() -> Frozen:
    """LiveTraining at several iterations of one run."""
    explorer = wt.LiveTraining(epochs=20)
    shown = {}
    for iteration in TRAINED:
        if iteration:
            explorer.step(TRAINED.step)
        state = explorer.page_state()
        shown[iteration] = {**state, "values": {"iteration": iteration}}, explorer.page_scene()
    told = "how many batches the network has seen"
    values = tuple(shown)
    control = FrozenControl("iteration", "stops", "iteration", told, "", values, values, tuple(map(str, values)), PACE)
    return Frozen(lambda settings: shown[settings["iteration"]], [control], [0])


GALLERY: dict[str, Callable[[], Frozen]] = {
    "Stepper": lambda: frozen(wt.Stepper(), "step"),
    "AugmentationLab": lambda: frozen(wt.AugmentationLab(size=320), degrees=[0, 10, 30, 60, 90], scale=[0, 0.5, 0.9]),
    "LayerExplorer": lambda: frozen(wt.LayerExplorer(), "layer"),
    "AnchorExplorer": lambda: frozen(wt.AnchorExplorer(), "object", anchor_t=[1.1, 1.5, 2, 3, 4, 5, 6, 8, 10]),
    "IouPlayground": lambda: frozen(wt.IouPlayground(), "box_loss", step=range(21)),
    "DistributionExplorer": lambda: frozen(wt.DistributionExplorer(), "target"),
    "LossExplorer": lambda: frozen(wt.LossExplorer(), obj=7, fl_gamma=[0, 0.5, 1, 1.5, 2, 3]),
    "GradientExplorer": lambda: frozen(wt.GradientExplorer(), "term", "level"),
    "BackboneExplorer": lambda: frozen(wt.BackboneExplorer(), "blocks"),
    "FamilyExplorer": lambda: frozen(wt.FamilyExplorer(), "left"),
    "NmsExplorer": lambda: frozen(wt.NmsExplorer(), conf_thres=[0.01, 0.05, 0.1, 0.25, 0.5, 0.75], iou_thres=9),
    "WhyExplorer": lambda: frozen(wt.WhyExplorer(), "picture", conf_thres=[0.05, 0.25, 0.5, 0.75]),
    "ScheduleExplorer": lambda: frozen(wt.ScheduleExplorer(), "cosine", warmup_epochs=[0, 1, 3, 5, 10]),
    "LiveTraining": training,
}


def main() -> None:
    """Write the script and the explorers into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="is made where it is missing")
    parser.add_argument("--only", nargs="+", choices=GALLERY, default=list(GALLERY), help="names of explorers")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    (asked.folder / "frozen.js").write_text(frozen_script_text(), encoding="utf-8")
    for name in asked.only:
        frozen = GALLERY[name]()
        if frozen.size > MOST_BYTES:
            raise SystemExit(f"{name} is {frozen.size:,} bytes frozen, more than {MOST_BYTES:,}: freeze fewer values")
        (asked.folder / f"{name}.js").write_text(frozen.script_text(), encoding="utf-8")
        (asked.folder / f"{name}.html").write_text(frozen.host(f"../_static/frozen/{name}.js"), encoding="utf-8")
        print(f"{name:22} {frozen.size:>9,} bytes, {frozen.scenes:3} scenes")


if __name__ == "__main__":
    main()
