"""Building and running a Detectron2 trainer from a LazyConfig."""

from rankdet.environment import check_environment

check_environment()
