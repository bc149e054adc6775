"""Paints cluttered backgrounds and glyphs on them."""

from collections.abc import Sequence

import cv2
import numpy as np

from rankdet.data.glyphs.font import ByteArray, FloatArray
from rankdet.data.glyphs.layout import PlacedGlyph

_MEAN_DISTRACTORS = 8.0
_MIN_CONTRAST = 220.0
_COLOR_TRIES = 64
_MAX_NOISE = 8.0


def paint_image(
    glyphs: Sequence[PlacedGlyph], image_size: int, rng: np.random.Generator
) -> ByteArray:
    """RGB image ``(image_size, image_size, 3)`` of the glyphs over a random background."""
    canvas = _background(image_size, rng)
    for _ in range(int(rng.poisson(_MEAN_DISTRACTORS))):
        _draw_distractor(canvas, rng)
    image = canvas.astype(np.float32)
    for glyph in glyphs:
        _paint_glyph(image, glyph, rng)
    noise = rng.normal(0, rng.uniform(0, _MAX_NOISE), image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _background(image_size: int, rng: np.random.Generator) -> ByteArray:
    rows, columns = rng.integers(2, 7, 2).tolist()
    grid = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    large = cv2.resize(grid, (image_size, image_size), interpolation=cv2.INTER_CUBIC)
    return large.astype(np.uint8)


def _draw_distractor(canvas: ByteArray, rng: np.random.Generator) -> None:
    size = canvas.shape[0]
    color = rng.integers(0, 256, 3).tolist()
    thickness = int(rng.integers(1, 4))
    points = rng.integers(0, size, (4, 2))
    center, corner = points[0].tolist(), points[1].tolist()
    axes = rng.integers(3, size // 4, 2).tolist()
    angle, start, sweep = rng.uniform(0, 360, 3).tolist()
    match int(rng.integers(4)):
        case 0:
            curve = _bezier(points)
            cv2.polylines(canvas, [curve], False, color, thickness, cv2.LINE_AA)
        case 1:
            cv2.ellipse(canvas, center, axes, angle, 0, 360, color, thickness, cv2.LINE_AA)
        case 2:
            corner = [start + side for start, side in zip(center, axes, strict=True)]
            cv2.rectangle(canvas, center, corner, color, thickness, cv2.LINE_AA)
        case _:
            end = start + max(30.0, sweep)
            cv2.ellipse(canvas, center, axes, angle, start, end, color, thickness, cv2.LINE_AA)


def _bezier(points: np.ndarray) -> np.ndarray:
    """Polyline along the cubic Bezier curve of four control points."""
    time = np.linspace(0, 1, 20)[:, None]
    weights = np.hstack(
        [(1 - time) ** 3, 3 * time * (1 - time) ** 2, 3 * time**2 * (1 - time), time**3]
    )
    return np.asarray(np.rint(weights @ points), dtype=np.int32)


def _paint_glyph(image: FloatArray, glyph: PlacedGlyph, rng: np.random.Generator) -> None:
    window = image[glyph.window]
    first, second = _contrasting_colors(window.mean(axis=(0, 1)), rng)
    colors = first + (second - first) * _gradient(glyph.alpha.shape, rng)[..., None]
    window += (colors - window) * glyph.alpha[..., None]


def _contrasting_colors(background: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Two colors far from the background: ``(2, 3)``."""
    candidates = rng.uniform(0, 255, (_COLOR_TRIES, 3)).astype(np.float32)
    contrast = np.abs(candidates - background).sum(axis=1)
    # Gray backgrounds leave few far colors, so the farthest stand in where none is far enough.
    order = np.argsort(-np.minimum(contrast, _MIN_CONTRAST), kind="stable")
    return np.asarray(candidates[order[:2]])


def _gradient(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Values from 0 to 1 along a random direction."""
    direction = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    ramp = rows * np.float32(np.sin(direction)) + columns * np.float32(np.cos(direction))
    ramp -= ramp.min()
    return np.asarray(ramp / max(float(ramp.max()), 1e-6), dtype=np.float32)
