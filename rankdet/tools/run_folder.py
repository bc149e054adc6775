"""Reads the folder of a run: config, metrics, weights and model. It may have been moved."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from rankdet.engine.checkpoint import Checkpointer, last_checkpoint
from rankdet.engine.config import load_config
from rankdet.engine.output_folder import RESULTS_FILE
from rankdet.engine.training import build_model
from rankdet.tools.command_line import is_set
from rankdet.tools.json_file import Number, read_json

_MAX_ITERATION = 1 << 53
_MAX_VALUE = 1e100  # that figures and means can be made of

logger = logging.getLogger(__name__)


def find_config(run: Path) -> Path:
    """Path of the config that a run has saved.

    Raises:
        FileNotFoundError: ``run`` is not the folder of a run.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"{run} does not exist; give the train.output_dir of a run.")
    path = run / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{run} has no config.yaml, so it is not the folder of a run; give a run's "
            "train.output_dir."
        )
    return path


def load_run_config(
    file: Path, overrides: Sequence[str] = (), trust: Sequence[str] = ()
) -> DictConfig:
    """Load a config, and adapt it to this machine: its device, and the folder of the run.

    Args:
        file: ``config.yaml`` of a run, whose folder becomes ``train.output_dir``, or an experiment.
        overrides: ``key=value``; a device or a folder among them stays.
        trust: see :func:`rankdet.engine.config.load_config`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is no config, or an override is wrong.
    """
    cfg = load_config(str(file), overrides, trust)
    if not torch.cuda.is_available() and not is_set("train.device", overrides):
        cfg.train.device = "cpu"
    if file.suffix == ".yaml" and not is_set("train.output_dir", overrides):
        cfg.train.output_dir = str(file.parent)
    return cfg


def find_checkpoint(
    run: Path, chosen: Path | None = None, *, option: str = "--checkpoint FILE"
) -> str:
    """Path of the chosen weights, or of those that the run wrote last.

    Args:
        run: folder of the run.
        chosen: a file; None: the last.
        option: how the caller's user can choose, for the message.

    Raises:
        FileNotFoundError: there are none.
    """
    if chosen is not None and not chosen.is_file():
        raise FileNotFoundError(f"--checkpoint {chosen} does not exist; give a .pth file.")
    path = chosen or last_checkpoint(str(run))
    if path is None or not Path(path).is_file():
        raise FileNotFoundError(f"{run} has no checkpoint; finish the training, or pass {option}.")
    return str(path)


def load_model(cfg: DictConfig, weights: str, splits: Sequence[str] = ("test",)) -> nn.Module:
    """Build the model of a run with its weights.

    Args:
        cfg: from :func:`load_run_config`.
        weights: from :func:`find_checkpoint`.
        splits: see :func:`rankdet.engine.training.build_model`, whose errors this raises, too.

    Raises:
        ValueError: the weights are of another model.
    """
    model = build_model(cfg, splits)
    Checkpointer(model).load_strictly(weights)
    return model


def read_results(run: Path) -> dict[str, dict[str, float | None]]:
    """Task to metric to value of ``results.json``; None: undefined. Empty without the file.

    Args:
        run: folder of the run.

    Raises:
        ValueError: the file is damaged, or holds something else.
    """
    path = run / RESULTS_FILE
    if not path.is_file():
        return {}
    results = read_json(path, {str: {str: Number}})
    return {
        task: {metric: _finite(value) for metric, value in of_task.items()}
        for task, of_task in results.items()
    }


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Records of ``metrics.json``: "iteration", and numbers by name; empty without the file.

    A line cut off by a killed run is skipped with a warning. Values that are no numbers are skipped
    silently.

    Args:
        run: folder of the run.
    """
    path = run / "metrics.json"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    records = []
    for number, line in enumerate(text.splitlines(), start=1):
        record = _metrics_record(line)
        if record is None:
            logger.warning("Line %d of %s is damaged, and left out.", number, path)
        else:
            records.append(record)
    return records


def _metrics_record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    iteration = record.get("iteration") if isinstance(record, dict) else None
    if not isinstance(iteration, int) or not 0 <= iteration < _MAX_ITERATION:
        return None
    return {name: value for name, value in record.items() if _is_number(value)}


def _is_number(value: object) -> bool:
    """Whether it can be drawn; NaN can, as a gap."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not abs(value) > _MAX_VALUE


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) <= _MAX_VALUE else None
