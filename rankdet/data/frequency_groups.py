"""Rare, common and frequent classes: LVIS's rule, and who belongs to which group."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from detectron2.data import Metadata

from rankdet.data.annotation_checks import Record
from rankdet.data.annotation_file import read_annotations
from rankdet.data.class_names import read_class_names
from rankdet.data.class_stats import image_counts
from rankdet.data.registered import annotation_path, class_ids, ensure_dataset

LABELS: Mapping[str, str] = {"r": "rare", "c": "common", "f": "frequent"}
"""Names of the groups by LVIS's letter."""


@dataclass(frozen=True)
class Classes:
    """The C classes of a data set.

    Attributes:
        names: by contiguous class id.
        groups: LVIS's letter of each class: ``r``, ``c`` or ``f``.
    """

    names: list[str]
    groups: list[str]


def frequency_group(image_count: int) -> str:
    """LVIS's letter for a number of training images: ``r`` to 10, ``c`` to 100, ``f`` above."""
    return "r" if image_count <= 10 else "c" if image_count <= 100 else "f"


def class_groups(categories: list[Record]) -> dict[str, list[int]]:
    """Sort the categories of an annotation file into groups, over which metrics are averaged.

    Args:
        categories: with ``id`` and, all or none, the letter ``frequency``.

    Returns:
        Category ids, ascending: of "all" and, where every category has a frequency, of "r", "c"
        and "f".
    """
    groups = {"all": sorted(category["id"] for category in categories)}
    if all("frequency" in category for category in categories):
        for letter in LABELS:
            groups[letter] = sorted(c["id"] for c in categories if c["frequency"] == letter)
    return groups


def read_classes(name: str, train_names: str | Iterable[str]) -> Classes:
    """Look up the classes of a data set and how frequent they are in training.

    Args:
        name: a registered data set. The ``frequency`` of the categories in its annotation file
            decides.
        train_names: training sets, whose numbers of images decide where there is no such field.

    Raises:
        ValueError: a data set is not registered, its annotations are damaged, or the training sets
            have other classes.
        FileNotFoundError: an annotation file is missing.
    """
    names = read_class_names(name)
    groups = _annotated_groups(ensure_dataset(name), len(names))
    if groups is None:
        groups = training_groups(train_names, name, len(names))
    return Classes(names, groups)


def training_groups(train_names: str | Iterable[str], name: str, num_classes: int) -> list[str]:
    """Find the group of each class from the number of training images that show it.

    Args:
        train_names: one or several registered training sets.
        name: the data set that has these classes, for the message.
        num_classes: C, of that data set.

    Returns:
        C letters, by contiguous class id.

    Raises:
        ValueError: a training set is not registered, is damaged or has other classes.
        FileNotFoundError: an annotation file is missing.
    """
    train_names = [train_names] if isinstance(train_names, str) else list(train_names)
    counts = image_counts(train_names).tolist()
    if len(counts) != num_classes:
        raise ValueError(
            f"Data set {name!r} has {num_classes} classes, but the training sets "
            f"{', '.join(map(repr, train_names))} have {len(counts)}; choose data sets with the "
            "same classes."
        )
    return [frequency_group(images) for images in counts]


def _annotated_groups(metadata: Metadata, num_classes: int) -> list[str] | None:
    """By contiguous class id; None unless the annotation file has the group of every class."""
    path = annotation_path(metadata)
    if path is None:
        return None
    categories = read_annotations(path, dataset_name=metadata.name, masks=False)["categories"]
    letters = {category["id"]: category.get("frequency") for category in categories}
    by_class = {
        class_id: letters.get(one) for one, class_id in class_ids(metadata, letters).items()
    }
    groups = [str(by_class.get(class_id)) for class_id in range(num_classes)]
    return groups if set(groups) <= LABELS.keys() else None
