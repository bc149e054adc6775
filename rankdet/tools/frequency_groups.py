"""The rare, common and frequent classes of a dataset, and how pictures show them."""

from dataclasses import dataclass

from detectron2.data import Metadata
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rankdet.data.annotation_file import read_annotations
from rankdet.data.class_names import read_class_names
from rankdet.data.class_stats import annotation_path, class_ids, ensure_dataset, image_counts
from rankdet.data.glyphs.annotations import frequency_group

LABELS = {"r": "rare", "c": "common", "f": "frequent"}
COLOURS = {"r": "tab:red", "c": "tab:orange", "f": "tab:green"}

MAX_NAMED_CLASSES = 60


@dataclass(frozen=True)
class Classes:
    """The C classes of a dataset.

    Attributes:
        names: by contiguous class id.
        groups: LVIS's letter of each class: ``r``, ``c`` or ``f``.
    """

    names: list[str]
    groups: list[str]

    @property
    def colours(self) -> list[str]:
        """Matplotlib's name of the colour of each class, that of its group."""
        return [COLOURS[letter] for letter in self.groups]


def read_classes(name: str, train_names: list[str]) -> Classes:
    """Look up the classes of a dataset and how frequent they are in training.

    Args:
        name: a registered dataset. Its annotation file's ``frequency`` of the categories decides.
        train_names: training sets, whose numbers of images decide where there is no such field.

    Raises:
        ValueError: a dataset is not registered, or its annotations are damaged.
        FileNotFoundError: an annotation file is missing.
    """
    names = read_class_names(name)
    groups = _annotated_groups(ensure_dataset(name), len(names))
    if groups is None:
        groups = [frequency_group(images) for images in image_counts(train_names).tolist()]
    if len(groups) != len(names):
        raise ValueError(
            f"data set {name!r} has {len(names)} classes, but the training sets "
            f"{', '.join(map(repr, train_names))} have {len(groups)}; choose data sets with the "
            "same classes."
        )
    return Classes(names, groups)


def legend_handles(marker: str) -> list[Line2D]:
    """One entry per group for a legend."""
    return [
        Line2D([], [], color=COLOURS[letter], marker=marker, linestyle="none", label=label)
        for letter, label in LABELS.items()
    ]


def name_classes(axes: Axes, names: list[str], label: str) -> None:
    """Label the x axis, with the names of the classes at 0, 1, ... unless they are too many."""
    axes.set_xlabel(label)
    if len(names) <= MAX_NAMED_CLASSES:
        rotation = 0 if max(map(len, names)) < 3 else 90
        axes.set_xticks(range(len(names)), names, rotation=rotation, fontsize=12)


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
