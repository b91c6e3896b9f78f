"""Images of frozen scenes: each stored once under a key of what it holds, in few bytes."""

import base64
from hashlib import blake2b

import cv2
import numpy as np

LOSSLESS = 160 * 160  # pixels up to which an image is kept exactly, as maps are
QUALITY, LEAST_QUALITY = 84, 44  # of WebP, for photographs
EXACT = 101  # what OpenCV calls lossless
MOST_BYTES = 2_000_000  # of all images of a frozen explorer; for more, photographs get coarser


class Pictures:
    """Images by key. Equal ones, of whichever scene, are one."""

    def __init__(self) -> None:
        self._pixels: dict[str, np.ndarray] = {}

    def key(self, pixels: np.ndarray) -> str:
        """The key of an image (H, W, 3) uint8, which is kept."""
        pixels = np.ascontiguousarray(pixels)
        key = blake2b(pixels.data, digest_size=8, key=str(pixels.shape).encode()).hexdigest()
        self._pixels[key] = pixels
        return key

    def encoded(self) -> dict[str, str]:
        """Key -> a WebP file in base64."""
        for quality in range(QUALITY, LEAST_QUALITY - 1, -10):
            files = {key: encode(pixels, quality) for key, pixels in self._pixels.items()}
            if sum(map(len, files.values())) <= MOST_BYTES:
                break
        return {key: base64.b64encode(file).decode() for key, file in files.items()}


def encode(pixels: np.ndarray, quality: int = QUALITY) -> bytes:
    """RGB (H, W, 3) uint8 as a WebP file: small maps exactly, photographs nearly so.

    >>> encode(np.zeros((8, 8, 3), np.uint8))[8:12]
    b'WEBP'
    """
    is_small = pixels.shape[0] * pixels.shape[1] <= LOSSLESS
    options = [cv2.IMWRITE_WEBP_QUALITY, EXACT if is_small else quality]
    return cv2.imencode(".webp", pixels[..., ::-1], options)[1].tobytes()
