"""Makes one image of a dataset: its file and its annotations."""

from pathlib import Path

import numpy as np
from PIL import Image

from rankdet.data.glyphs.annotations import Json, Polygon, image_file, instance, outline
from rankdet.data.glyphs.drawing import paint_image
from rankdet.data.glyphs.layout import PlacedGlyph, place_glyphs
from rankdet.data.glyphs.plan import ImagePlan
from rankdet.data.glyphs.recipe import SPLITS, GlyphsRecipe, Split

_JPEG_QUALITY = 92
_TRIES = 100
_SHRINKING = 0.97


def make_image(
    recipe: GlyphsRecipe, split: Split, folder: Path, index: int, plan: ImagePlan
) -> list[Json]:
    """Draw an image into the folder of its split; its content depends on nothing but its index.

    Returns:
        The annotations, without the ids of annotation and image.
    """
    rng = recipe.rng(SPLITS.index(split), index)
    glyphs, outlines = _arrange(recipe, plan, rng)
    pixels = paint_image(glyphs, recipe.image_size, rng)
    Image.fromarray(pixels).save(folder / image_file(index), quality=_JPEG_QUALITY)
    return [
        instance(class_index, polygons, recipe.image_size)
        for class_index, polygons in zip(plan.annotated, outlines, strict=False)
    ]


def _arrange(
    recipe: GlyphsRecipe, plan: ImagePlan, rng: np.random.Generator
) -> tuple[list[PlacedGlyph], list[list[Polygon]]]:
    """Place all that is planned, smaller and smaller until everything can be seen."""
    characters = [recipe.classes[one] for one in (*plan.annotated, *plan.unannotated)]
    smallest, largest = recipe.glyph_sizes
    for trial in range(_TRIES):
        limit = max(smallest, largest * _SHRINKING**trial)
        glyphs = place_glyphs(characters, recipe.image_size, (smallest, limit), rng)
        if glyphs is None:
            continue
        outlines = [outline(glyph, recipe.image_size) for glyph in glyphs]
        if all(outlines):
            return glyphs, outlines
    raise ValueError(
        f"{len(characters)} glyphs of {smallest} pixels find no place in an image of "
        f"{recipe.image_size} pixels; lower max_objects or glyph_sizes of {recipe.name!r}, "
        "or raise image_size."
    )
