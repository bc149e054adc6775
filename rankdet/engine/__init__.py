"""Builds and runs Detectron2's trainer from a LazyConfig; its public names are imported on use."""

from importlib import import_module
from typing import TYPE_CHECKING

from rankdet.environment import check_environment

if TYPE_CHECKING:
    from rankdet.engine.checkpoint import Checkpointer
    from rankdet.engine.config import load_config
    from rankdet.engine.hooks import (
        BackgroundRatioHook,
        CheckpointHook,
        EpochLengthHook,
        EvaluationHook,
        FiniteLossHook,
        GradientClippingHook,
        NonFiniteLossError,
    )
    from rankdet.engine.launcher import launch
    from rankdet.engine.training import (
        build_model,
        build_trainer,
        evaluate,
        evaluate_checkpoint,
        train,
    )

check_environment()

__all__ = [
    "BackgroundRatioHook",
    "CheckpointHook",
    "Checkpointer",
    "EpochLengthHook",
    "EvaluationHook",
    "FiniteLossHook",
    "GradientClippingHook",
    "NonFiniteLossError",
    "build_model",
    "build_trainer",
    "evaluate",
    "evaluate_checkpoint",
    "launch",
    "load_config",
    "train",
]

_MODULES = {
    "checkpoint": ("Checkpointer",),
    "config": ("load_config",),
    "hooks": (
        "BackgroundRatioHook",
        "CheckpointHook",
        "EpochLengthHook",
        "EvaluationHook",
        "FiniteLossHook",
        "GradientClippingHook",
        "NonFiniteLossError",
    ),
    "launcher": ("launch",),
    "training": ("build_model", "build_trainer", "evaluate", "evaluate_checkpoint", "train"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
