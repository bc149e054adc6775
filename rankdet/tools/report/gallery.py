"""Section of pictures: found objects, confusions and misses by group of classes."""

import base64
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from rankdet.data.annotation_checks import Record
from rankdet.data.frequency_groups import LABELS
from rankdet.evaluation.error_analysis import ErrorAnalysis
from rankdet.evaluation.error_kinds import DetectionKind
from rankdet.tools.pictures import read_picture
from rankdet.tools.report.methods import Method
from rankdet.tools.report.page import Section

Example = dict[str, Any]
Box = tuple[float, float, float, float]  # left, top, right, bottom, pixels

NUM_EXAMPLES = 6  # of each kind and group
_SEED = 0
_KINDS = {"found": "found", "confused": "taken for another class", "missed": "missed"}
_SIDE = 176  # pixels of a crop
_CONTEXT = 2.0  # side of a crop, by that of the boxes in it
_MIN_SIDE = 40  # pixels of the image in a crop
_NUM_OPEN = 2  # methods whose pictures are seen at first
_OBJECT, _DETECTION = "#ffffff", "#ffb000"


class Crop(NamedTuple):
    """A picture of an example.

    Attributes:
        jpeg: file of the picture in base 64.
        side: of the picture, pixels.
        caption: what was found, and its score.
        remark: which image it is from.
    """

    jpeg: str
    side: int
    caption: str
    remark: str


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
        ``object_name`` and ``object_box``; except for misses also ``detection_name``,
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

    found, missed = (
        of_kind(DetectionKind.TRUE_POSITIVE),
        [example(i) for i in analysis.missed_objects],
    )
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


def gallery_section(
    methods: Sequence[Method],
    examples: Mapping[Path, Mapping[str, list[Example]]],
    image_files: Mapping[int | str, str],
    sources: Sequence[Path],
) -> Section:
    """Crops of images around examples; pictures that can't be shown are named at its foot.

    Args:
        methods: of the report.
        examples: of the first run of each method, by folder, see
            :func:`choose_examples`.
        image_files: path of each image that may be shown, by its id.
        sources: files of the examples.
    """
    left_out: dict[str, None] = {}
    shown = []
    for method in methods:
        by_kind = examples[method.runs[0].folder]
        rows = [_row(letter, by_kind, image_files, left_out) for letter in LABELS]
        shown.append({"method": method, "is_open": method.index < _NUM_OPEN, "rows": rows})
    return Section("Gallery", "gallery", {"methods": shown}, list(sources), list(left_out))


def _row(
    letter: str,
    by_kind: Mapping[str, list[Example]],
    image_files: Mapping[int | str, str],
    left_out: dict[str, None],
) -> list[dict[str, Any]]:
    """The pictures of a group of classes, by kind."""
    return [
        {
            "caption": f"{LABELS[letter].capitalize()}, {title}",
            "crops": _crops(
                [one for one in by_kind[kind] if one["group"] == letter], image_files, left_out
            ),
        }
        for kind, title in _KINDS.items()
    ]


def _crops(
    examples: list[Example], image_files: Mapping[int | str, str], left_out: dict[str, None]
) -> list[Crop]:
    crops = []
    for one in examples:
        try:
            crops.append(_crop(one, image_files))
        except ValueError as error:
            left_out[f"Left out: image {one['image_id']}: {error}"] = None
    return crops


def _caption(example: Example) -> str:
    score = f"{example['score']:.2f}" if "score" in example else ""
    taken_for = example.get("detection_name", example["object_name"])
    if taken_for == example["object_name"]:
        return f"{taken_for} {score}".strip()
    return f"{example['object_name']} as {taken_for} {score}"


def _crop(example: Example, image_files: Mapping[int | str, str]) -> Crop:
    """The surroundings of the boxes."""
    if example["image_id"] not in image_files:
        raise ValueError("its file is not in the image folder of the data set.")
    image = _read(image_files[example["image_id"]])
    boxes = [_corners(example["object_box"])]
    if "detection_box" in example:
        boxes.append(_corners(example["detection_box"]))
    stream = BytesIO()
    _draw(image, boxes).save(stream, "JPEG", quality=88)
    jpeg = base64.b64encode(stream.getvalue()).decode()
    return Crop(jpeg, _SIDE, _caption(example), f"image {example['image_id']}")


def _draw(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    left, top, side = square(np.array(boxes), image.size)
    scale = _SIDE / side
    area = (left, top, left + side, top + side)
    crop = image.transform((_SIDE, _SIDE), Image.Transform.EXTENT, area, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(crop)
    for box, color in zip(boxes, (_OBJECT, _DETECTION), strict=False):
        place = ((np.array(box) - (left, top, left, top)) * scale).round().tolist()
        draw.rectangle([place[0] - 1, place[1] - 1, place[2] + 1, place[3] + 1], None, "black", 5)
        draw.rectangle(place, None, color, 3)
    return crop


@lru_cache(maxsize=8)
def _read(path: str) -> Image.Image:
    return Image.fromarray(read_picture(path))


def _corners(box: Sequence[float]) -> Box:
    x, y, width, height = box
    return x, y, x + width, y + height


def square(corners: npt.NDArray[np.float64], size: tuple[int, int]) -> tuple[float, float, float]:
    """Left, top and side of the area of an image that shows boxes and what is around them."""
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    side = max(_MIN_SIDE, _CONTEXT * (high - low).max())
    room = np.array(size) - side
    corner = (low + high) / 2 - side / 2
    # Inside of the image; in the middle of it where it is too small.
    left, top = np.where(room > 0, corner.clip(0, room.clip(0)), room / 2)
    return float(left), float(top), float(side)
