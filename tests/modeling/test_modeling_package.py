"""The front door of the package."""

import inspect
from importlib import import_module
from pathlib import Path

from torch import nn

import rankdet.modeling


def test_every_head_and_layer_is_exported():
    folder = Path(rankdet.modeling.__file__).parent
    modules = [".".join(p.relative_to(folder).with_suffix("").parts) for p in folder.rglob("*.py")]
    found = set()
    for name in modules:
        if "__init__" in name:
            continue
        module = import_module(f"rankdet.modeling.{name}")
        for part, value in vars(module).items():
            is_own = inspect.isclass(value) and value.__module__ == module.__name__
            if is_own and issubclass(value, nn.Module) and not part.startswith("_"):
                found.add(part)
    assert found - {"StarConv2d"} <= set(rankdet.modeling.__all__)
    assert all(hasattr(rankdet.modeling, name) for name in rankdet.modeling.__all__)
