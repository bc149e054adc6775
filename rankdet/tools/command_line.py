"""What the command lines of several tools share."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from detectron2.utils.logger import setup_logger
from matplotlib.figure import Figure

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
        description: docstring of the tool.
        epilog: what stands below the options.
        usage: the arguments in short, where argparse would not write them so.
    """
    program = f"python -m rankdet.tools.{tool}"
    return argparse.ArgumentParser(
        prog=program,
        usage=None if usage is None else f"{program} {usage}",
        description=description,
        epilog=epilog,
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
    """Type of an option for a file to write; what can't be one ends the tool before its work."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; give a file in it.")
    return path


def picture_file(text: str) -> Path:
    """As :func:`output_file`, with a suffix that matplotlib writes."""
    path = output_file(text)
    kinds = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix[1:].lower() not in kinds:
        raise argparse.ArgumentTypeError(
            f"{text} has no suffix of a picture; give one of {', '.join(kinds)}."
        )
    return path


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Context of a tool's work, with a log; what a user can do wrong ends it with one sentence."""
    silence_known_warnings()
    setup_logger(name="rankdet")
    try:
        yield
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


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
