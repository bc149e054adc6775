"""Parts that the command lines of several tools share."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from detectron2.utils.logger import setup_logger
from matplotlib.figure import Figure

from rankdet.cli import as_typed
from rankdet.engine.arguments import whole_number
from rankdet.engine.known_warnings import silence_known_warnings

THEORY_IMAGES = 500
"""Images that a report scores unless told otherwise; LVIS has 19,809, which take hours on a CPU."""

_OVERRIDE = re.compile(r"[+~]*[\w.]+=")


def tool_parser(
    tool: str, description: str | None, epilog: str | None = None, usage: str | None = None
) -> argparse.ArgumentParser:
    """A parser without arguments, whose texts keep their lines.

    Args:
        tool: name of the module in rankdet.tools.
        description: docstring of the tool; it and ``epilog`` go through
            :func:`rankdet.cli.as_typed`.
        epilog: what stands below the options.
        usage: the arguments in short, where argparse would not write them so.
    """
    program = as_typed(f"python -m rankdet.tools.{tool}")
    return argparse.ArgumentParser(
        prog=program,
        usage=None if usage is None else f"{program} {usage}",
        description=as_typed(description or ""),
        epilog=as_typed(epilog or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_theory_images(parser: argparse.ArgumentParser) -> None:
    """Add ``--theory-images`` of the report and of the comparison, which ends in a report."""
    parser.add_argument(
        "--theory-images",
        metavar="N",
        type=whole_number(0),
        default=THEORY_IMAGES,
        help="images to score for the ranking theory; 0: without it; default: %(default)s",
    )


def output_file(text: str) -> Path:
    """Argparse type: a path to write. Rejects folders before any work starts."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; give a file in it.")
    return path


def picture_file(text: str) -> Path:
    """Argparse type: a picture to write. Also rejects suffixes that matplotlib can't write."""
    path = output_file(text)
    kinds = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix[1:].lower() not in kinds:
        raise argparse.ArgumentTypeError(
            f"{text} has no suffix of a picture; give one of {', '.join(kinds)}."
        )
    return path


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Context of a tool's work: sets up the log; user errors exit with a one-line message."""
    silence_known_warnings()
    setup_logger(name="rankdet")
    try:
        yield
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate ``key=value`` from options and their values.

    argparse would give ``--seeds 0 1 train.max_iter=9`` three seeds. The name of an existing file
    is no override.

    Args:
        arguments: command line.

    Returns:
        The arguments for argparse, and the overrides for
        :func:`rankdet.engine.config.load_config`.
    """
    overrides = [one for one in arguments if _OVERRIDE.match(one) and not Path(one).exists()]
    return [one for one in arguments if one not in overrides], overrides


def is_set(key: str, overrides: Sequence[str]) -> bool:
    """Whether one of the overrides sets this dotted key."""
    return any(override.lstrip("+").startswith(f"{key}=") for override in overrides)
