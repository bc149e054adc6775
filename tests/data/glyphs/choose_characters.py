"""Chooses the characters of the glyphs datasets: ``python tests/data/glyphs/choose_characters.py``.

Prints the contents of ``rankdet/data/glyphs/characters.py``. A class must be a character of DejaVu
Sans that can be told from all others, whatever their size, and rotated by up to 20 degrees.
"""

import argparse
import textwrap
import unicodedata
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.ft2font import FT2Font

from rankdet.data.glyphs.font import FONT_FILE, ByteArray, FloatArray, crop_to_ink, glyph_bitmap
from rankdet.engine.arguments import whole_number

ANGLES = (-20, -10, 0, 10, 20)
MAX_SIMILARITY = 0.5
# The first classes, those of the small datasets, are bold and differ more than the rest.
MAX_BOLD_SIMILARITY = 0.45
FIRST = "★"

_BITMAP_SIDE = 24
_OUTLINE_SIDE = 96
# Lines and dots that look like the distractors, or like each other when rotated.
_EXCLUDED_WORDS = {"ARC", "BOX", "BRAILLE", "CIRCLE", "HALF", "LINE", "RECTANGLE", "SQUARE"}

_HEADER = '''"""The characters of DejaVu Sans that serve as classes.

``python tests/data/glyphs/choose_characters.py`` wrote this file and says how it chooses them. They
are a constant because the search is too slow for the start of a program. Any prefix is diverse.
"""

_CODE_POINTS = """
'''
_FOOTER = '''
"""

CHARACTERS: tuple[str, ...] = tuple(chr(int(code, 16)) for code in _CODE_POINTS.split())
'''


def is_legible(character: str) -> bool:
    """Whether a character has a name, is not too small, and neither thin nor in many pieces."""
    words = unicodedata.name(character, "").split()
    if not words or _EXCLUDED_WORDS.intersection(words):
        return False
    if unicodedata.category(character)[0] in "MZC":
        return False
    bitmap = glyph_bitmap(character, _OUTLINE_SIDE)
    if max(bitmap.shape) < _OUTLINE_SIDE / 4 or min(bitmap.shape) < 0.2 * max(bitmap.shape):
        return False
    outline = fit(bitmap, _OUTLINE_SIDE) > 0.5
    return (
        outline.mean() >= 0.1 and _parts(outline) <= 6 and _share_after_opening(outline, 6) >= 0.5
    )


def is_bold(character: str) -> bool:
    """Whether a legible character is in one piece, with broad strokes and from left to right."""
    bitmap = glyph_bitmap(character, _OUTLINE_SIDE)
    outline = fit(bitmap, _OUTLINE_SIDE) > 0.5
    return bool(
        unicodedata.bidirectional(character) not in ("R", "AL")
        and min(bitmap.shape) > 0.5 * max(bitmap.shape)
        and outline.mean() > 0.2
        and _parts(outline) == 1
        and _share_after_opening(outline, 11) > 0.6
    )


def fit(bitmap: ByteArray, side: int, angle: float = 0.0) -> FloatArray:
    """Rotate by degrees, crop, and scale to fill a square: ``(side, side)`` in [0, 1]."""
    if angle:
        bitmap = _rotate(bitmap, angle)
    height, width = bitmap.shape
    scale = side / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square = np.zeros((side, side), dtype=np.float32)
    top, left = (side - rows) // 2, (side - columns) // 2
    resized = cv2.resize(bitmap, (columns, rows), interpolation=method)
    square[top : top + rows, left : left + columns] = resized / np.float32(255)
    return square


def similarities(character: str, others: FloatArray) -> FloatArray:
    """Highest soft IoU of a character with others over the rotations.

    Args:
        character: the one that is rotated.
        others: ``(N, 24 * 24)``, from `flat_bitmaps`.

    Returns:
        ``(N,)`` in [0, 1].
    """
    best = np.zeros(len(others), dtype=np.float32)
    sizes = others.sum(axis=1)
    for angle in ANGLES:
        rotated = fit(glyph_bitmap(character, _OUTLINE_SIDE), _BITMAP_SIDE, angle).ravel()
        common = np.minimum(others, rotated).sum(axis=1)
        best = np.maximum(best, common / (sizes + rotated.sum() - common))
    return best


def flat_bitmaps(characters: list[str]) -> FloatArray:
    """The characters as rows of pixels: ``(N, 24 * 24)``."""
    rows = [fit(glyph_bitmap(one, _OUTLINE_SIDE), _BITMAP_SIDE).ravel() for one in characters]
    return np.stack(rows)


def search(num_characters: int) -> list[str]:
    """Choose distinct characters: first bold ones, each the farthest from all before it.

    The others follow closest first, which fits more of them in.
    """
    candidates = [one for one in _font_characters() if is_legible(one)]
    bitmaps = flat_bitmaps(candidates)
    bold = np.array([is_bold(one) for one in candidates])
    chosen = [candidates.index(FIRST)]
    nearest = similarities(FIRST, bitmaps)
    while len(chosen) < num_characters:
        following = _next(nearest, bold)
        if following is None:
            break
        chosen.append(following)
        # The others are too similar to one that was chosen already, and stay so.
        rest = np.flatnonzero(nearest < MAX_SIMILARITY)
        similar = similarities(candidates[following], bitmaps[rest])
        nearest[rest] = np.maximum(nearest[rest], similar)
    return [candidates[index] for index in chosen]


def main() -> None:
    """Print the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=whole_number(1), default=1203, help="number of characters")
    characters = search(parser.parse_args().num)
    codes = " ".join(f"{ord(one):x}" for one in characters)
    print(_HEADER + textwrap.fill(codes, 96) + _FOOTER, end="")


def _next(nearest: FloatArray, bold: npt.NDArray[np.bool_]) -> int | None:
    among_bold = np.where(bold, nearest, 1)
    if among_bold.min() < MAX_BOLD_SIMILARITY:
        return int(among_bold.argmin())
    admissible = np.where(nearest < MAX_SIMILARITY, nearest, -1)
    return int(admissible.argmax()) if admissible.max() >= 0 else None


@lru_cache
def _font_characters() -> list[str]:
    return [chr(code) for code in sorted(FT2Font(str(FONT_FILE)).get_charmap())]


def _rotate(bitmap: ByteArray, angle: float) -> ByteArray:
    height, width = bitmap.shape
    side = int(np.hypot(height, width)) + 3
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    matrix[:, 2] += [(side - width) / 2, (side - height) / 2]
    return crop_to_ink(cv2.warpAffine(bitmap, matrix, (side, side)).astype(np.uint8), 127)


def _parts(outline: npt.NDArray[np.bool_]) -> int:
    return cv2.connectedComponents(outline.astype(np.uint8))[0] - 1


def _share_after_opening(outline: npt.NDArray[np.bool_], diameter: int) -> float:
    """Share of the area in strokes at least so many pixels broad."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    padded = np.pad(outline, diameter).astype(np.uint8)
    return float(cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc).sum() / outline.sum())


if __name__ == "__main__":
    main()
