"""Heads and predictors for Detectron2 models whose losses are injected."""
