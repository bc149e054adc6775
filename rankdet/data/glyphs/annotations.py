"""Turns placed glyphs into LVIS v1 annotations."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from rankdet.data.frequency_groups import frequency_group
from rankdet.data.glyphs.font import FloatArray
from rankdet.data.glyphs.layout import PlacedGlyph
from rankdet.data.glyphs.plan import ImagePlan, instance_counts, plan_split
from rankdet.data.glyphs.recipe import GlyphsRecipe, Split

Polygon = list[float]
Json = dict[str, Any]

_TOLERANCE = 0.5  # pixels, of the simplified outline
_UPSAMPLING = 4  # outlines are traced between the pixels, not along their centers
_MIN_AREA = 1.0  # pixels, of a part of the outline


def outline(glyph: PlacedGlyph, image_size: int) -> list[Polygon]:
    """Polygons ``[x0, y0, x1, y1, ...]`` around the visible parts of a glyph, holes filled."""
    contours = sorted(_contours(glyph.visible), key=cv2.contourArea, reverse=True)
    min_area = _MIN_AREA * _UPSAMPLING**2
    kept = contours[:1] + [part for part in contours[1:] if cv2.contourArea(part) >= min_area]
    simplified = [cv2.approxPolyDP(part, _TOLERANCE * _UPSAMPLING, True) for part in kept]
    origin = np.array([glyph.left, glyph.top]) - 1
    return [
        np.clip((points[:, 0] + 0.5) / _UPSAMPLING + origin, 0, image_size)
        .round(2)
        .ravel()
        .tolist()
        for points in simplified
        if len(points) >= 3
    ]


def instance(class_index: int, polygons: list[Polygon], image_size: int) -> Json:
    """Annotation of one object, with the box and the area of its polygons."""
    points = np.concatenate(polygons).reshape(-1, 2)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    parts = coco_mask.frPyObjects(polygons, image_size, image_size)
    return {
        "category_id": class_index + 1,
        "bbox": np.round([left, top, right - left, bottom - top], 2).tolist(),
        "area": float(coco_mask.area(coco_mask.merge(parts))),
        "iscrowd": 0,  # COCO's key, which LVIS lacks and pycocotools needs
        "segmentation": polygons,
    }


def lvis_json(
    recipe: GlyphsRecipe, split: Split, plans: Sequence[ImagePlan], instances: Sequence[list[Json]]
) -> Json:
    """Annotation file of a split, as LVIS v1 lays it out.

    Args:
        recipe: of the dataset.
        split: which half of it.
        plans: of every image.
        instances: the annotations of every image.
    """
    training_plans = plans if split == "train" else plan_split(recipe, "train")
    images = [_image_entry(recipe, index, plan) for index, plan in enumerate(plans)]
    located = [(index + 1, one) for index, group in enumerate(instances) for one in group]
    annotations = [
        {"id": number, "image_id": image_id, **one}
        for number, (image_id, one) in enumerate(located, start=1)
    ]
    return {
        "info": {"description": f"rankdet {recipe.dataset_name(split)}", "version": "v1"},
        "categories": _categories(recipe, training_plans),
        "images": images,
        "annotations": annotations,
    }


def image_file(index: int) -> str:
    """Path of an image within the folder of its split."""
    return f"images/{index + 1:06d}.jpg"


def _contours(visible: FloatArray) -> Sequence[Any]:
    padded = np.pad(visible, 1)
    height, width = padded.shape
    size = (width * _UPSAMPLING, height * _UPSAMPLING)
    mask = cv2.resize(padded, size, interpolation=cv2.INTER_LINEAR) > 0.5
    return cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]


def _image_entry(recipe: GlyphsRecipe, index: int, plan: ImagePlan) -> Json:
    return {
        "id": index + 1,
        "file_name": image_file(index),
        # Detectron2's loader of LVIS takes the file's path from the end of this field.
        "coco_url": image_file(index),
        "width": recipe.image_size,
        "height": recipe.image_size,
        "neg_category_ids": [absent + 1 for absent in plan.negatives],
        "not_exhaustive_category_ids": sorted({one + 1 for one in plan.unannotated}),
    }


def _categories(recipe: GlyphsRecipe, training_plans: Sequence[ImagePlan]) -> list[Json]:
    """Categories with the counts of the training set, which LVIS's validation file repeats."""
    image_counts = recipe.image_counts("train")
    instances = instance_counts(training_plans, recipe.num_classes)
    return [
        {
            "id": index + 1,
            "name": character,
            "synonyms": [character],
            "synset": f"u{ord(character):04x}",
            "def": unicodedata.name(character).lower(),
            "frequency": frequency_group(image_counts[index]),
            "image_count": image_counts[index],
            "instance_count": instances[index],
        }
        for index, character in enumerate(recipe.classes)
    ]
