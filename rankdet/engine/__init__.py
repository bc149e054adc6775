"""Builds and runs Detectron2's trainer from a LazyConfig; its public names are imported on use."""

from typing import TYPE_CHECKING

from rankdet.environment import check_environment
from rankdet.lazy_names import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
