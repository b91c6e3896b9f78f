"""Small PNG files: a palette, with the thin bright lines and the half-transparent edges of text kept."""

import io

import numpy as np
from PIL import Image

THIN, EDGES = (
    5 / 32,
    3 / 32,
)  # of the palette: for small areas of a colour of their own, for what the page shines through
FAR = 18  # levels between a pixel and its palette entry from which on the eye sees another colour


def encode(rgba: np.ndarray, colours: int = 256) -> bytes:
    """(H, W, 4) uint8 -> a PNG with a palette of that many colours.

    Pillow's good quantiser (median cut) gives its entries to large areas, so that a photograph eats up the colours of
    the lines over it, and knows no transparency. So three groups of pixels are quantised apart and share one palette:
    all opaque ones, those of them that came out badly, and the rest.
    """
    opaque = rgba[..., 3] == 255
    indices = np.zeros(opaque.shape, np.uint8)
    thin, edges = round(colours * THIN), round(colours * EDGES)
    main = colours - thin - edges
    palette = [_quantise(rgba, opaque, indices, main, 0)]
    error = np.abs(rgba[..., :3].astype(np.int16) - palette[0][indices][..., :3]).max(-1)
    palette.append(_quantise(rgba, opaque & (error > FAR), indices, thin, main))
    palette.append(_quantise(rgba, ~opaque, indices, edges, main + thin))
    table = np.concatenate(palette)
    picture = Image.fromarray(indices, "P")
    picture.putpalette(table[:, :3].tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, transparency=table[:, 3].tobytes())
    return file.getvalue()


def _quantise(rgba: np.ndarray, where: np.ndarray, indices: np.ndarray, entries: int, start: int) -> np.ndarray:
    """Write the palette indices, from start on, of some pixels; returns their entries, (entries, 4) RGBA."""
    pixels = rgba[where]  # (n, 4)
    if not len(pixels):
        return np.zeros((entries, 4), np.uint8)
    solid = bool((pixels[:, 3] == 255).all())
    method = Image.Quantize.MEDIANCUT if solid else Image.Quantize.FASTOCTREE
    strip = Image.fromarray(np.ascontiguousarray(pixels[None, :, : 3 if solid else 4])).quantize(entries, method)
    indices[where] = np.asarray(strip)[0] + start
    used = np.array(strip.getpalette("RGBA"), np.uint8).reshape(-1, 4)[:entries]
    return np.pad(used, ((0, entries - len(used)), (0, 0)))
