"""Targets and sources of a few weights, to convert single parts."""

from pathlib import Path

import torch
from torch import nn

from rankdet.tools.convert.rules import Conversion
from rankdet.tools.convert.settings import IMAGENET, Settings, parse_settings
from rankdet.tools.convert.source import Source
from rankdet.tools.convert.target import Target


class Parts(nn.Module):
    """A model of the given parts, which need not be modules."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def tiny_target(image_format=IMAGENET, dataset_names=(), **parts):
    model = Parts(**parts)
    return Target(model, dict(model.state_dict()), image_format, list(dataset_names))


def tiny_source(weights, config="", class_names=()):
    settings = parse_settings(config) if config else Settings({})
    return Source(Path("x.pth"), "", dict(weights), settings, list(class_names), "", [])


def tiny_conversion(weights, target, config=""):
    return Conversion(tiny_source(weights, config), target)


def load_converted(conversion, result):
    """Put what was converted into the target's model, all of it."""
    model = conversion.target.model
    missing, unexpected = model.load_state_dict(result.weights, strict=False)
    assert not missing and not unexpected
    return model


def random_weights(shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
