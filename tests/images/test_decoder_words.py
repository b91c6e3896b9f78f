"""What libjpeg prints about a JPEG that breaks off stands in the sentence, and not on the terminal."""

import ctypes
import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from yolo_lite.images.decoder_words import caught_words
from yolo_lite.images.reading import ImageError, decode_image

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="words are caught with glibc alone")
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
WHOLE = cv2.imencode(".jpg", NOISE)[1].tobytes()


def test_the_words_are_in_the_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with pytest.raises(ImageError, match=r"a\.jpg: .*\(the decoder: (Corrupt|Premature)"):
            decode_image(WHOLE[: len(WHOLE) // 2], "a.jpg")
    assert np.array_equal(decode_image(WHOLE[:-2]), decode_image(WHOLE))  # its end marker alone is missing
    assert capfd.readouterr().err == ""


def test_threads_that_meet_get_their_own_words(capfd: pytest.CaptureFixture[str]) -> None:
    def read(length: int) -> str:
        try:
            return str(decode_image(WHOLE[:length]).shape)
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(read, [len(WHOLE) // 2, len(WHOLE), len(WHOLE) - 2] * 10))
    assert answers[1::3] == answers[2::3] == ["(64, 64, 3)"] * 10
    assert all("the decoder: " in answer for answer in answers[::3])
    assert capfd.readouterr().err == ""


def test_what_others_print_meanwhile_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    library = ctypes.CDLL(None)
    stderr = ctypes.c_void_p.in_dll(library, "stderr")
    with caught_words() as words:
        library.fputs(b"of another library\n", stderr)
        library.fputs(b"Corrupt JPEG data: of libjpeg\n", stderr)
        thread = threading.Thread(target=lambda: os.write(2, b"of Python\n"))
        thread.start()
        thread.join()
        subprocess.run([sys.executable, "-S", "-c", "import os; os.write(2, b'of a child\\n')"], check=True)
    assert words == ["Corrupt JPEG data: of libjpeg"]
    assert sorted(capfd.readouterr().err.splitlines()) == ["of Python", "of a child", "of another library"]
