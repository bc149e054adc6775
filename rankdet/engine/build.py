"""Builds the parts of a config, and names the key of a part that can't be built."""

import traceback
from collections.abc import Callable
from typing import Any

from detectron2.config import instantiate
from omegaconf import DictConfig, OmegaConf

from rankdet.engine.renamed import hint_of_argument

OWN_ERRORS = (ValueError, FileNotFoundError, FloatingPointError)


def build(cfg: DictConfig, key: str) -> Any:
    """Instantiate a part of a config.

    Args:
        cfg: experiment.
        key: dotted, e.g. ``dataloader.evaluator``.

    Raises:
        ValueError: the part can't be made from its values.
        FileNotFoundError: a file that it reads does not exist.
    """
    part = OmegaConf.select(cfg, key)
    return explained(key, lambda: instantiate(part))


def explained(key: str, make: Callable[[], Any]) -> Any:
    """Call a function, and explain an error that is not rankdet's own by a key of the config.

    Args:
        key: of the part.
        make: makes the part.

    Raises:
        ValueError: the part can't be made.
        FileNotFoundError: see :func:`build`.
    """
    try:
        return make()
    except Exception as error:
        if is_own(error):
            raise
        # A message may have several lines, the first of which says what is wrong.
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ValueError(
            f"{key} can't be built ({type(error).__name__}: {reason}){hint_of_argument(reason)}; "
            "check its values."
        ) from error


def is_own(error: BaseException) -> bool:
    """Whether rankdet itself has raised an error, as a sentence for its user."""
    if not isinstance(error, OWN_ERRORS):
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return bool(frame.f_globals["__name__"].startswith("rankdet."))
