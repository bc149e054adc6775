import numpy as np
import pytest
from pycocotools import mask as coco_mask

from rankdet.data.glyphs.annotations import instance, outline
from rankdet.data.glyphs.font import glyph_alpha
from rankdet.data.glyphs.layout import PlacedGlyph

SIZE = 64


def place(alpha, left=7, top=5):
    alpha = np.asarray(alpha, dtype=np.float32)
    return PlacedGlyph(left, top, alpha, alpha)


def decode(polygons):
    parts = coco_mask.frPyObjects(polygons, SIZE, SIZE)
    return coco_mask.decode(coco_mask.merge(parts)).astype(bool)


def test_outline_of_a_square_is_its_border():
    annotation = instance(3, outline(place(np.ones((20, 10))), SIZE), SIZE)
    assert annotation["category_id"] == 4
    assert annotation["bbox"] == pytest.approx([7, 5, 10, 20], abs=0.5)
    assert annotation["area"] == pytest.approx(200, abs=12)


def test_holes_are_filled():
    ring = np.ones((20, 20))
    ring[5:15, 5:15] = 0
    polygons = outline(place(ring), SIZE)
    assert len(polygons) == 1
    assert instance(0, polygons, SIZE)["area"] == pytest.approx(400, abs=20)


def test_parts_are_polygons_of_their_own_but_specks_are_dropped():
    parts = np.zeros((20, 20))
    parts[:8, :8] = parts[12:, 12:] = 1
    parts[0, 19] = 0.7
    assert len(outline(place(parts), SIZE)) == 2


def test_nothing_visible_has_no_outline():
    assert outline(place(np.zeros((5, 5))), SIZE) == []


@pytest.mark.parametrize("character", "★TXMZ")
def test_polygons_agree_with_the_glyph_and_the_annotation_with_the_polygons(character):
    glyph = place(glyph_alpha(character, 40, 12.0))
    polygons = outline(glyph, SIZE)
    annotation, mask = instance(0, polygons, SIZE), decode(polygons)
    expected = np.zeros((SIZE, SIZE), dtype=bool)
    expected[glyph.window] = glyph.alpha > 0.5
    assert (mask & expected).sum() / (mask | expected).sum() > 0.9
    assert annotation["area"] == mask.sum()
    rows, columns = np.nonzero(mask)
    left, top, width, height = annotation["bbox"]
    borders = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert borders == pytest.approx([left, top, left + width, top + height], abs=1)


def test_polygons_stay_within_the_image():
    points = np.array(outline(place(np.ones((10, 10)), left=54, top=54), SIZE)[0])
    assert points.max() <= SIZE
