"""The data set that runs were tested on, with how frequent its classes are in training."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rankdet.data.annotation_file import Record
from rankdet.data.class_stats import class_ids, ensure_dataset, image_counts, load_dicts
from rankdet.evaluation.ground_truth import read_ground_truth
from rankdet.tools.frequency_groups import read_classes


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
        """Image id to the path of the image."""
        return {record["image_id"]: record["file_name"] for record in load_dicts(self.name)}


def read_test_set(name: str, train_names: Sequence[str]) -> TestSet:
    """Read annotations, and count the classes of the training sets.

    Args:
        name: a registered data set.
        train_names: registered training sets; they also decide the ``frequency`` of classes, as
            :func:`rankdet.tools.frequency_groups.read_classes` does, where the file has none.

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
