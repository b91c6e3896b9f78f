"""The folder of a run: its files, and in words how the run goes on from it.

``state.safetensors`` holds the tensors of a run and, as JSON in its header, everything else: where the run is, and what
was decided when it began. ``last.safetensors`` and ``best.safetensors`` are plain checkpoints of the EMA weights for
``yl.load``. The state is written last: a run killed between two files repeats what came since the state before, and
writes both again. ``changes.json`` and ``run.json`` hold parts of that header again: the first is written at once, so
that a killed run makes the same changes again, the second says what runs to whoever looks.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from yolo_lite.checkpoints.own import save
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.running.diagnose import NonFiniteLossError, TrainingError
from yolo_lite.writing import atomic_write, remove_leftovers

STATE, LAST, BEST = "state.safetensors", "last.safetensors", "best.safetensors"
CHANGES, SETTINGS = "changes.json", "run.json"
VERSION = 1


def exists(out_dir: Path | None) -> bool:
    """Whether there is a run in that folder that can be resumed."""
    return out_dir is not None and (out_dir / STATE).exists()


def require_free(out_dir: Path | None) -> None:
    """Raises FileExistsError where there is a run already."""
    if out_dir is not None and exists(out_dir):
        raise FileExistsError(f"{out_dir} already holds a run: {how_to_go_on(out_dir)}, or choose another folder")


def run_folder(place: str | Path) -> Path:
    """The folder of a run, given as itself or as one of its checkpoints."""
    path = Path(place)
    if not path.is_file():
        return path
    if path.name not in (STATE, LAST, BEST):
        raise ValueError(f"{path} is not the folder of a run, nor its {LAST}: give the folder, which holds {STATE}")
    return path.parent


# Writing


def start(out_dir: Path, settings: dict[str, Any]) -> None:
    """Makes the folder of a new run; run.json says what runs."""
    with _explained(f"cannot write to {out_dir}", "Choose another out_dir"):
        out_dir.mkdir(parents=True, exist_ok=True)
        atomic_write(out_dir / SETTINGS, json.dumps(settings, indent=1).encode())
        (out_dir / CHANGES).unlink(missing_ok=True)  # of a run whose state somebody deleted


def write_settings(out_dir: Path, settings: dict[str, Any]) -> None:
    """run.json of a run that goes on with other settings."""
    with _explained(f"cannot write to {out_dir}", "Make room"):
        atomic_write(out_dir / SETTINGS, json.dumps(settings, indent=1).encode())


def write(
    out_dir: Path,
    header: dict[str, Any],
    tensors: dict[str, Tensor],
    average: nn.Module,
    metadata: dict[str, Any],
    names: Iterable[str],
) -> None:
    """Saves a run as it is between two batches.

    Args:
        header, tensors: of the state. average: the model with the EMA weights; names, metadata: of its checkpoints.
    Raises:
        TrainingError: the disk is full, or what else keeps it from being written.
    """
    way = f"The last good checkpoint is whole: make room, then {how_to_go_on(out_dir)}"
    with _explained(f"cannot save to {out_dir}", way):
        for name in names:
            if isinstance(average, LayeredDetector):
                save(average, out_dir / name, metadata)
            else:  # for model.load_state_dict
                atomic_write(out_dir / name, _serialised(average.state_dict()))
        atomic_write(out_dir / STATE, _serialised(tensors, {"version": VERSION, **header}))


def _serialised(tensors: dict[str, Tensor], header: dict[str, Any] | None = None) -> bytes:
    """Of copies on the CPU, none sharing its memory with another."""
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    return safetensors.torch.save(stored, None if header is None else {"run": json.dumps(header)})


def write_changes(out_dir: Path, changes: dict[int, dict[str, float]]) -> None:
    """Hyperparameters changed while running, at once."""
    with _explained(f"cannot write {out_dir / CHANGES}", "Make room; the running process has changed them"):
        atomic_write(out_dir / CHANGES, json.dumps(changes).encode())


@contextmanager
def _explained(what: str, way: str) -> Iterator[None]:
    """What the system refuses inside becomes a TrainingError that says what to do."""
    try:
        yield
    except OSError as error:
        raise TrainingError(f"{what}: {error.strerror or error}. {way}") from error


# Reading


def read_header(out_dir: str | Path) -> dict[str, Any]:
    """Where a run is and what was decided when it began, as JSON has it; no tensors are read."""
    path = Path(out_dir) / STATE
    try:
        with safetensors.safe_open(path, "pt") as stored:
            header: dict[str, Any] = json.loads(stored.metadata()["run"])
        newer = header["version"] > VERSION
    except FileNotFoundError:
        hint = ": it was stopped before its first batch, so start it anew" if (path.parent / SETTINGS).exists() else ""
        raise FileNotFoundError(f"{out_dir}: no run to resume, {STATE} is not there{hint}") from None
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: damaged, or not the state of a run: {error}") from None
    if newer:
        raise TrainingError(f"{path}: written by a newer yolo-lite: update this one")
    return header


def read_changes(out_dir: Path) -> dict[int, dict[str, float]] | None:
    """Iteration -> the hyperparameters changed before it; None where there is no such file."""
    path = out_dir / CHANGES
    if not path.exists():
        return None
    try:
        return {int(iteration): dict(changed) for iteration, changed in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path}: damaged ({error}): it says which hyperparameters were changed when") from None


@contextmanager
def read_tensors(out_dir: Path) -> Iterator[dict[str, Tensor]]:
    """The tensors of a run. A state that does not fit what is made of them inside is a TrainingError."""
    try:
        yield safetensors.torch.load_file(out_dir / STATE)
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        first = [line.strip() for line in str(error).splitlines()][:2][-1]  # load_state_dict names every tensor
        raise TrainingError(f"{out_dir / STATE}: damaged, or of another model: {first}") from None


def clean(out_dir: Path) -> None:
    """Deletes what a killed process left half written."""
    remove_leftovers(*(out_dir / name for name in (STATE, LAST, BEST, CHANGES, SETTINGS)))


# In words


def explain_break(error: BaseException, place: str, out_dir: Path | None) -> None:
    """Adds to an error how the run goes on; Ctrl-C becomes one sentence.

    Args:
        place: how far the run has come.
    """
    kept = out_dir if exists(out_dir) else None
    if isinstance(error, KeyboardInterrupt):
        way = "nothing is kept, as the run has no out_dir"
        if kept:
            way = f"{how_to_go_on(kept)}; batches since the last checkpoint (save_every) will be done again"
        raise KeyboardInterrupt(f"interrupted in {place}. {way[0].upper()}{way[1:]}") from None
    if isinstance(error, NonFiniteLossError) and kept:
        error.args = (
            f"{error}. The last checkpoint in {kept} is whole; another learning rate may get past this: "
            f"trainer = Trainer.resume({str(kept)!r}); trainer.change(lr0=...); trainer.fit()",
        )


def how_to_train_on(out_dir: Path | None) -> str:
    """How a new run starts from the weights of a finished one; empty where nothing was kept."""
    if out_dir is None or not exists(out_dir):
        return ""
    last = str(out_dir / LAST)
    return f". A new run can start from its weights: yl.load({last!r}) or `yolo-lite train --weights {last}`"


def how_to_go_on(out_dir: Path) -> str:
    """In Python and in the shell."""
    return f"go on with Trainer.resume({str(out_dir)!r}).fit() or `yolo-lite train --resume {out_dir}`"
