"""The data set that runs were tested on, with how frequent its classes are in training."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rankdet.data.annotation_file import Record
from rankdet.data.class_stats import class_ids, ensure_dataset, image_counts, load_dicts
from rankdet.data.frequency_groups import read_classes
from rankdet.evaluation.ground_truth import read_ground_truth


@dataclass(frozen=True)
class TestSet:
    """A data set.

    Attributes:
        name: under which it is registered.
        content: its annotations in the format of COCO or LVIS, the categories with a ``name`` and a
            ``frequency``.
        image_counts: category id to the number of training images that show it.
    """

    name: str
    content: Record
    image_counts: dict[int, int]

    @cached_property
    def image_files(self) -> dict[int | str, str]:
        """Image id to the path of the image, of those below the data set's folder of images.

        An annotation file may name any file of the machine, and a page is passed on. A data set
        that a function registers has no such folder, and names its files by its own code.
        """
        metadata = ensure_dataset(self.name)
        folder = getattr(metadata, "image_root", None) or getattr(metadata, "image_dir", None)
        return {
            record["image_id"]: record["file_name"]
            for record in load_dicts(self.name)
            if folder is None or _is_inside(record["file_name"], str(folder))
        }


def _is_inside(file: str, folder: str) -> bool:
    """Whether a file lies in a folder, without ``..``, and is no link to somewhere else.

    The folders between them may be links: that is how large data sets are laid out.
    """
    if not Path(os.path.abspath(file)).is_relative_to(os.path.abspath(folder)):
        return False
    found, place = Path(file).resolve(), Path(file).parent.resolve()
    return found.is_relative_to(place) or found.is_relative_to(Path(folder).resolve())


def read_test_set(name: str, train_names: Sequence[str]) -> TestSet:
    """Read annotations, and count the classes of the training sets.

    Args:
        name: a registered data set.
        train_names: registered training sets; they also decide the ``frequency`` of classes, as
            :func:`rankdet.data.frequency_groups.read_classes` does, where the file has none.

    Raises:
        ValueError: a data set is not registered or damaged, or the training sets have other
            classes.
        FileNotFoundError: an annotation file is missing.
    """
    content = read_ground_truth(name)
    known = read_classes(name, list(train_names))
    counts = image_counts(train_names).tolist()
    ids = [category["id"] for category in content["categories"]]
    classes = class_ids(ensure_dataset(name), ids)
    categories = [
        {
            "name": known.names[classes[category["id"]]],
            **category,
            "frequency": known.groups[classes[category["id"]]],
        }
        for category in content["categories"]
        if category["id"] in classes
    ]
    by_category = {category_id: counts[class_id] for category_id, class_id in classes.items()}
    return TestSet(name, {**content, "categories": categories}, by_category)
