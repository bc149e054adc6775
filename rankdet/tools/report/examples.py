"""Detections to look at: found objects, confusions and misses of each group of classes."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from rankdet.data.annotation_file import Record
from rankdet.evaluation.error_analysis import ErrorAnalysis
from rankdet.evaluation.error_kinds import DetectionKind

Example = dict[str, Any]

NUM_EXAMPLES = 6  # of each kind and group
_SEED = 0


def choose_examples(
    content: Record, results: Sequence[Record], analysis: ErrorAnalysis
) -> dict[str, list[Example]]:
    """Choose examples of each group of classes: rare, common and frequent.

    Found objects and misses are drawn at random, the same ones in every call; confusions are those
    of the highest score. Each is of another class, or pair of classes, as long as there are any.

    Args:
        content: the annotation file, its categories with a ``frequency``.
        results: all detections.
        analysis: of them, for boxes.

    Returns:
        "found", "confused" and "missed" to examples: ``group`` (the object's), ``image_id``,
        ``object_name`` and ``object_box``, and but for misses ``detection_name``,
        ``detection_box`` and ``score``. Boxes are (x, y, width, height), pixels.
    """
    categories = {category["id"]: category for category in content["categories"]}
    annotations = content["annotations"]

    def example(object_index: int, detection: int | None = None) -> Example:
        target = annotations[object_index]
        category = categories[target["category_id"]]
        found = {
            "group": category["frequency"],
            "image_id": target["image_id"],
            "object_name": category["name"],
            "object_box": target["bbox"],
        }
        if detection is not None:
            result = results[detection]
            found["detection_name"] = categories[result["category_id"]]["name"]
            found["detection_box"] = result["bbox"]
            found["score"] = result["score"]
        return found

    def of_kind(kind: DetectionKind) -> list[Example]:
        numbers = (analysis.detection_kinds == int(kind)).nonzero()[0].tolist()
        return [example(int(analysis.detection_objects[one]), one) for one in numbers]

    found = of_kind(DetectionKind.TRUE_POSITIVE)
    missed = [example(i) for i in analysis.missed_objects]
    for examples in (found, missed):
        random.Random(_SEED).shuffle(examples)
    confused = sorted(of_kind(DetectionKind.CLASSIFICATION), key=lambda one: -one["score"])
    chosen = {"found": found, "confused": confused, "missed": missed}
    return {name: _varied(examples) for name, examples in chosen.items()}


def _varied(examples: Iterable[Example]) -> list[Example]:
    """The first of each group, another class or pair of classes each as long as there are any."""
    by_group: dict[str, list[tuple[int, Example]]] = defaultdict(list)
    seen: dict[tuple[str, str], int] = defaultdict(int)
    for one in examples:
        pair = one["object_name"], one.get("detection_name", "")
        by_group[one["group"]].append((seen[pair], one))
        seen[pair] += 1
    return [
        one
        for of_group in by_group.values()
        for _, one in sorted(of_group, key=lambda ranked: ranked[0])[:NUM_EXAMPLES]
    ]
