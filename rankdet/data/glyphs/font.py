"""Glyphs as images: alpha masks of characters at any size and angle."""

import math
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]

FONT_FILE = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
_MASTER_FONT_SIZE = 160
_SUPERSAMPLING = 4


@lru_cache(maxsize=4096)
def glyph_bitmap(character: str, font_size: int = _MASTER_FONT_SIZE) -> ByteArray:
    """Alpha of a character in 0..255, ``(height, width)``, cropped to its ink; may be empty."""
    font = _font(font_size)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(character))
    image = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), character, fill=255, font=font)
    return crop_to_ink(np.asarray(image, dtype=np.uint8))


def glyph_alpha(character: str, longer_side: float, angle: float) -> FloatArray:
    """Alpha in [0, 1] of a character, scaled, then rotated: ``(height, width)``, cropped.

    Args:
        character: one of the font's characters.
        longer_side: longer side of the ink before the rotation, pixels.
        angle: degrees, counter-clockwise.
    """
    bitmap = glyph_bitmap(character)
    height, width = bitmap.shape
    scale = _SUPERSAMPLING * longer_side / max(height, width)
    side = _SUPERSAMPLING * (math.ceil(scale * math.hypot(height, width) / _SUPERSAMPLING) + 2)
    center = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(center, angle, scale)
    matrix[:, 2] += (side - 1) / 2 - np.array(center)
    large = cv2.warpAffine(bitmap, matrix, (side, side), flags=cv2.INTER_LINEAR)
    target = (side // _SUPERSAMPLING, side // _SUPERSAMPLING)
    small = cv2.resize(large, target, interpolation=cv2.INTER_AREA)
    return crop_to_ink(small.astype(np.uint8)).astype(np.float32) / np.float32(255)


def crop_to_ink(alpha: ByteArray, threshold: int = 8) -> ByteArray:
    """The part of an image whose values exceed the threshold, by its bounding box."""
    rows, columns = np.nonzero(alpha > threshold)
    if not len(rows):
        return alpha[:0, :0]
    return alpha[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # The basic layout engine is in every build of Pillow; the other one is not.
    return ImageFont.truetype(str(FONT_FILE), size, layout_engine=ImageFont.Layout.BASIC)
