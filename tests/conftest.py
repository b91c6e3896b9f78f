"""Fixtures that every test may ask for."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest
import torch

if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1)  # several OpenMP processes side by side slow each other down twenty times

hypothesis.settings.register_profile("project", deadline=None, print_blob=True)  # timing never fails a test
hypothesis.settings.load_profile("project")

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C works: a shell that starts the tests in the background makes them, and all they start, deaf to it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The recorded numbers that are part of the project."""
    return PROJECT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared material: photographs, weights, and golden numbers that need them."""
    folder = Path(os.environ.get("YOLO_LITE_SHARED", PROJECT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the shared data: no folder {folder} (set YOLO_LITE_SHARED to where it is)")
    return folder
