"""Class statistics, annotation files and the embedded dataset; importing this registers glyphs."""

from rankdet.environment import check_environment

check_environment()

# The imports below need the environment that the line above has just checked.
from rankdet.data.annotation_file import read_annotations  # noqa: E402
from rankdet.data.class_stats import (  # noqa: E402
    ClassCounts,
    class_counts,
    image_counts,
    instance_counts,
)
from rankdet.data.glyphs import register_glyphs  # noqa: E402

register_glyphs()

__all__ = [
    "ClassCounts",
    "class_counts",
    "image_counts",
    "instance_counts",
    "read_annotations",
    "register_glyphs",
]
