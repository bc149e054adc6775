"""Heads and predictors for Detectron2 models whose losses are injected."""

from rankdet.environment import check_environment

check_environment()
