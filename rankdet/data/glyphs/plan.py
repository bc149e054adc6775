"""Decides which image shows which classes, before anything is drawn.

Planning first makes the image counts of the classes exact: an image is redrawn until it holds what
the plan asks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankdet.data.glyphs.recipe import SPLITS, GlyphsRecipe, Split

_REPEAT_PROBABILITY = 0.12
_UNANNOTATED_PROBABILITY = 0.05


@dataclass(frozen=True)
class ImagePlan:
    """The content of one image, as class indices.

    Attributes:
        annotated: class of each annotated object; a class can repeat.
        unannotated: class of each object that is drawn but not annotated; it is among the annotated
            classes, and the image is marked as not exhaustive for it.
        negatives: classes that are known to be absent, ascending.
    """

    annotated: tuple[int, ...]
    unannotated: tuple[int, ...]
    negatives: tuple[int, ...]


def plan_split(recipe: GlyphsRecipe, split: Split) -> list[ImagePlan]:
    """Plans of all images of a split; each class is in exactly ``recipe.image_counts(split)``.

    Raises:
        ValueError: the images have no room for so many objects.
    """
    rng = recipe.rng(SPLITS.index(split))
    return [_plan_image(recipe, classes, rng) for classes in _spread_classes(recipe, split, rng)]


def instance_counts(plans: Sequence[ImagePlan], num_classes: int) -> list[int]:
    """Number of annotated objects of each class."""
    classes = [index for plan in plans for index in plan.annotated]
    counts = np.bincount(np.array(classes, dtype=int), minlength=num_classes)
    return [int(count) for count in counts]


def _spread_classes(
    recipe: GlyphsRecipe, split: Split, rng: np.random.Generator
) -> list[list[int]]:
    room = np.full(recipe.num_images(split), recipe.max_objects)
    classes: list[list[int]] = [[] for _ in room]
    counts = recipe.image_counts(split)
    # The most frequent first: they need the most images that are not full.
    for index in np.argsort(counts, kind="stable")[::-1].tolist():
        if np.count_nonzero(room) < counts[index]:
            raise ValueError(
                f"{recipe.dataset_name(split)!r} has no room for {sum(counts)} objects, up to "
                f"{max(counts)} of one class, in {len(room)} images of at most "
                f"{recipe.max_objects}; raise train_images, val_images or max_objects."
            )
        chosen = rng.choice(len(room), counts[index], replace=False, p=room / room.sum())
        room[chosen] -= 1
        for image in chosen.tolist():
            classes[image].append(index)
    return classes


def _plan_image(recipe: GlyphsRecipe, classes: list[int], rng: np.random.Generator) -> ImagePlan:
    repeated = [index for index in classes if rng.random() < _REPEAT_PROBABILITY]
    annotated = [*classes, *repeated][: recipe.max_objects]
    unannotated: list[int] = []
    if classes and len(annotated) < recipe.max_objects and rng.random() < _UNANNOTATED_PROBABILITY:
        unannotated.append(int(rng.choice(classes)))
    absent = np.delete(np.arange(recipe.num_classes), classes)
    negatives = rng.choice(absent, min(recipe.num_negatives, len(absent)), replace=False)
    order = rng.permutation(len(annotated)).tolist()
    return ImagePlan(
        annotated=tuple(annotated[position] for position in order),
        unannotated=tuple(unannotated),
        negatives=tuple(sorted(negatives.tolist())),
    )
