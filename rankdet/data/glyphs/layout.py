"""Places glyphs in an image: which pixels each covers, and what of it stays visible."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankdet.data.glyphs.font import FloatArray, glyph_alpha

_MAX_ANGLE = 15.0
_MAX_OVERLAP = 0.25
_MIN_VISIBLE = 0.5
_POSITIONS_PER_GLYPH = 30


@dataclass
class PlacedGlyph:
    """A glyph in an image.

    Attributes:
        left: column of its first pixel.
        top: row of its first pixel.
        alpha: ``(height, width)`` in [0, 1], what is painted.
        visible: ``(height, width)`` in [0, 1], what later glyphs leave of it.
    """

    left: int
    top: int
    alpha: FloatArray
    visible: FloatArray

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image that it occupies."""
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def place_glyphs(
    characters: Sequence[str],
    image_size: int,
    glyph_sizes: tuple[float, float],
    rng: np.random.Generator,
) -> list[PlacedGlyph] | None:
    """Place characters at random sizes, angles and positions, the later above the earlier.

    Args:
        characters: one per glyph.
        image_size: side of the image, pixels.
        glyph_sizes: smallest and largest longer side, pixels.
        rng: where the randomness comes from.

    Returns:
        The glyphs in the order given, or None if this try found no room for one of them or hid more
        than half of one.
    """
    glyphs: list[PlacedGlyph] = []
    for character in characters:
        longer_side = float(np.exp(rng.uniform(*np.log(glyph_sizes))))
        alpha = glyph_alpha(character, longer_side, rng.uniform(-_MAX_ANGLE, _MAX_ANGLE))
        glyph = _find_position(alpha, glyphs, image_size, rng)
        if glyph is None:
            return None
        glyphs.append(glyph)
    _occlude(glyphs, image_size)
    if any(glyph.visible.sum() < _MIN_VISIBLE * glyph.alpha.sum() for glyph in glyphs):
        return None
    return glyphs


def _find_position(
    alpha: FloatArray, others: list[PlacedGlyph], image_size: int, rng: np.random.Generator
) -> PlacedGlyph | None:
    height, width = alpha.shape
    if max(height, width) > image_size:
        return None
    for _ in range(_POSITIONS_PER_GLYPH):
        left = int(rng.integers(image_size - width + 1))
        top = int(rng.integers(image_size - height + 1))
        glyph = PlacedGlyph(left, top, alpha, alpha)
        if all(_overlap(glyph, other) <= _MAX_OVERLAP for other in others):
            return glyph
    return None


def _overlap(first: PlacedGlyph, second: PlacedGlyph) -> float:
    """Common area of two boxes over the area of the smaller one."""
    common = 1
    for one, other in zip(first.window, second.window, strict=True):
        common *= max(0, min(one.stop, other.stop) - max(one.start, other.start))
    return common / min(first.alpha.size, second.alpha.size)


def _occlude(glyphs: list[PlacedGlyph], image_size: int) -> None:
    uncovered = np.ones((image_size, image_size), dtype=np.float32)
    for glyph in reversed(glyphs):
        glyph.visible = glyph.alpha * uncovered[glyph.window]
        uncovered[glyph.window] *= 1 - glyph.alpha
