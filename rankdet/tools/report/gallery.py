"""Section of pictures: found objects, confusions and misses by group of classes."""

import base64
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from rankdet.data.frequency_groups import LABELS
from rankdet.tools.pictures import read_picture
from rankdet.tools.report.examples import Example
from rankdet.tools.report.markup import Section, details, figure, grid, name, paragraph
from rankdet.tools.report.method import Method

_KINDS = {"found": "found", "confused": "taken for another class", "missed": "missed"}
_SIDE = 176  # pixels of a crop
_CONTEXT = 2.0  # side of a crop, by that of the boxes in it
_MIN_SIDE = 40  # pixels of the image in a crop
_NUM_OPEN = 2  # methods whose pictures are seen at first
_OBJECT, _DETECTION = "#ffffff", "#ffb000"
_EXPLANATION = (
    "White: the object; amber: the detection, with its score. Found, at however low a score, and "
    "missed objects are drawn at random; confusions are those of the highest scores. First seed of "
    "each method."
)


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
            :func:`rankdet.tools.report.examples.choose_examples`.
        image_files: path of each image that may be shown, by its id.
        sources: files of the examples.
    """
    parts, left_out = [paragraph(_EXPLANATION, "lede")], dict[str, None]()
    for method in methods:
        rows = []
        by_kind = examples[method.runs[0].folder]
        for letter, group in LABELS.items():
            figures = [
                _crops(
                    f"{group.capitalize()}, {title}",
                    [one for one in by_kind[kind] if one["group"] == letter],
                    image_files,
                    left_out,
                )
                for kind, title in _KINDS.items()
            ]
            rows.append(grid(figures))
        parts.append(details(name(method), "".join(rows), is_open=method.index < _NUM_OPEN))
    return Section("Gallery", "".join(parts), list(sources), list(left_out))


def _crops(
    caption: str,
    examples: list[Example],
    image_files: Mapping[int | str, str],
    left_out: dict[str, None],
) -> str:
    crops = []
    for one in examples:
        try:
            crops.append(figure(_crop(one, image_files), *_caption(one)))
        except ValueError as error:
            left_out[f"Left out: image {one['image_id']}: {error}"] = None
    shown = f'<div class="crops">{"".join(crops)}</div>' if crops else paragraph("None.", "note")
    return f"<div><figcaption>{escape(caption)}</figcaption>{shown}</div>"


def _caption(example: Example) -> tuple[str, str]:
    score = f"{example['score']:.2f}" if "score" in example else ""
    taken_for = example.get("detection_name", example["object_name"])
    if taken_for == example["object_name"]:
        return f"{taken_for} {score}".strip(), f"image {example['image_id']}"
    return f"{example['object_name']} as {taken_for} {score}", f"image {example['image_id']}"


def _crop(example: Example, image_files: Mapping[int | str, str]) -> str:
    """An `img` element with the surroundings of the boxes."""
    if example["image_id"] not in image_files:
        raise ValueError("its file is not in the image folder of the data set.")
    image = _read(image_files[example["image_id"]])
    boxes = [_corners(example["object_box"])]
    if "detection_box" in example:
        boxes.append(_corners(example["detection_box"]))
    left, top, side = square(np.array(boxes), image.size)
    scale = _SIDE / side
    area = (left, top, left + side, top + side)
    crop = image.transform((_SIDE, _SIDE), Image.Transform.EXTENT, area, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(crop)
    for box, colour in zip(boxes, (_OBJECT, _DETECTION), strict=False):
        place = ((np.array(box) - (left, top, left, top)) * scale).round().tolist()
        draw.rectangle([place[0] - 1, place[1] - 1, place[2] + 1, place[3] + 1], None, "black", 5)
        draw.rectangle(place, None, colour, 3)
    stream = BytesIO()
    crop.save(stream, "JPEG", quality=88)
    data = base64.b64encode(stream.getvalue()).decode()
    alt = escape(" ".join(_caption(example)))
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{_SIDE}" height="{_SIDE}" alt="{alt}" '
        'loading="lazy">'
    )


@lru_cache(maxsize=8)
def _read(path: str) -> Image.Image:
    return Image.fromarray(read_picture(path))


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    return x, y, x + width, y + height


def square(corners: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float]:
    """Left, top and side of the area of an image that shows boxes and what is around them."""
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    side = max(_MIN_SIDE, _CONTEXT * (high - low).max())
    room = np.array(size) - side
    corner = (low + high) / 2 - side / 2
    # Inside of the image; in the middle of it where it is too small.
    left, top = np.where(room > 0, corner.clip(0, room.clip(0)), room / 2)
    return float(left), float(top), float(side)
