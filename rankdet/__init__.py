"""Losses, heads and metrics for long-tailed and ranking object detection on Detectron2."""

__version__ = "0.2.0"
