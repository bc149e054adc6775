"""How pictures show the rare, common and frequent classes of a data set."""

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rankdet.data.frequency_groups import LABELS

COLORS = {"r": "tab:red", "c": "tab:orange", "f": "tab:green"}

MAX_NAMED_CLASSES = 60


def class_colors(groups: list[str]) -> list[str]:
    """Matplotlib's name of the color of each class, by the letter of its group."""
    return [COLORS[letter] for letter in groups]


def legend_handles(marker: str) -> list[Line2D]:
    """One entry per group for a legend."""
    return [
        Line2D([], [], color=COLORS[letter], marker=marker, linestyle="none", label=label)
        for letter, label in LABELS.items()
    ]


def name_classes(axes: Axes, names: list[str], label: str) -> None:
    """Label the x axis, with the names of the classes at 0, 1, ... unless they are too many."""
    axes.set_xlabel(label)
    if len(names) <= MAX_NAMED_CLASSES:
        rotation = 0 if max(map(len, names)) < 3 else 90
        axes.set_xticks(range(len(names)), names, rotation=rotation, fontsize=12)
