"""Building and running a Detectron2 trainer from a LazyConfig."""
