"""Class statistics, annotation files and the embedded dataset; importing this registers glyphs."""

from rankdet.environment import check_environment

check_environment()

# The imports below need the environment that the line above has just checked. They are not lazy,
# because the registration of glyphs needs nearly all of these modules anyway.
from rankdet.data.annotation_file import read_annotations  # noqa: E402
from rankdet.data.class_stats import (  # noqa: E402
    ClassCounts,
    class_counts,
    image_counts,
    instance_counts,
)
from rankdet.data.frequency_groups import (  # noqa: E402
    LABELS,
    Classes,
    class_groups,
    frequency_group,
    read_classes,
    training_groups,
)
from rankdet.data.glyphs import register_glyphs  # noqa: E402
from rankdet.data.repeat_factors import whole_repeat_factors  # noqa: E402

register_glyphs()

__all__ = [
    "LABELS",
    "ClassCounts",
    "Classes",
    "class_counts",
    "class_groups",
    "frequency_group",
    "image_counts",
    "instance_counts",
    "read_annotations",
    "read_classes",
    "register_glyphs",
    "training_groups",
    "whole_repeat_factors",
]
