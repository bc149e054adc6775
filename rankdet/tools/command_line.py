"""What the command lines of several tools share."""

import re
from collections.abc import Sequence
from pathlib import Path

_OVERRIDE = re.compile(r"[+~]*[\w.]+=")


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell ``key=value`` from options and their values, wherever it stands.

    argparse would give ``--seeds 0 1 train.max_iter=9`` three seeds. What is the name of a file is
    no override.

    Args:
        arguments: command line.

    Returns:
        The arguments for argparse, and the overrides for
        :func:`rankdet.engine.config.load_config`.
    """
    overrides = [one for one in arguments if _OVERRIDE.match(one) and not Path(one).exists()]
    return [one for one in arguments if one not in overrides], overrides


def is_set(key: str, overrides: Sequence[str]) -> bool:
    """Whether one of the overrides is of this dotted key."""
    return any(override.lstrip("+").startswith(f"{key}=") for override in overrides)
