"""Reads pictures of every kind that Pillow opens as RGB of 8 bits."""

import logging
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from detectron2.data.detection_utils import _apply_exif_orientation
from PIL import Image

from rankdet.data.image_files import is_deep

ByteArray = npt.NDArray[np.uint8]

logger = logging.getLogger(__name__)

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def read_picture(path: str | Path) -> ByteArray:
    """Read a picture as Detectron2 does, but without cutting deep gray values off at 255.

    16-bit gray is scaled from 0..65535 to 0..255. 32-bit integers and floats have no range of their
    own: those outside of 0..255 are scaled from their least to their largest value, with a warning.
    Transparency is left out, as in a training: a model sees the colors below it.

    Args:
        path: a file.

    Returns:
        ``(H, W, 3)``, RGB, turned as its EXIF orientation says.

    Raises:
        ValueError: it is no picture, or damaged, or of more than 179 million pixels.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 million pixels on; these are read.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _as_rgb(_apply_exif_orientation(image), path)
    except _BROKEN as error:  # SyntaxError is Pillow's for a broken PNG.
        raise ValueError(f"{path} can't be read as a picture: {error}") from error


def _as_rgb(image: Image.Image, path: str | Path) -> ByteArray:
    if is_deep(image.mode):
        image = Image.fromarray(_to_bytes(np.asarray(image), image.mode, path))
    if "transparency" in image.info:
        image = image.convert("RGBA")  # Of a palette with alpha; straight to RGB, Pillow warns.
    return np.asarray(image.convert("RGB"))


def _to_bytes(values: npt.NDArray[np.generic], mode: str, path: str | Path) -> ByteArray:
    """Gray values of more than 8 bits as bytes."""
    wide = values.astype(np.float64)
    if mode.startswith("I;16"):
        return np.rint(wide / 257).astype(np.uint8)
    finite = wide[np.isfinite(wide)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if low < 0 or high > 255:
        logger.warning("%s has values from %g to %g; they are scaled to 0..255.", path, low, high)
        wide = (wide - low) / (high - low or 1.0) * 255
    return np.rint(np.nan_to_num(wide, posinf=255, neginf=0)).clip(0, 255).astype(np.uint8)
