"""The command ``rankdet``: finds a subcommand's module and hands it the rest of the command line.

Nothing but the standard library is imported until a subcommand is known, so that help is quick.
"""

import difflib
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from rankdet import __version__
from rankdet.environment import check_environment


class Subcommand(NamedTuple):
    """A part of the command line with a program of its own."""

    module: str
    """Has the function ``main(arguments)``."""
    summary: str
    arguments: tuple[str, ...] = ()
    """Stand before those of the user."""
    needs_detectron2: bool = True


SUBCOMMANDS = {
    "train": Subcommand("rankdet.engine.main", "train an experiment, and evaluate it at the end"),
    "eval": Subcommand("rankdet.engine.main", "evaluate saved weights", ("--eval-only",)),
    "predict": Subcommand("rankdet.tools.predict", "draw detections in pictures and videos"),
    "compare": Subcommand("rankdet.tools.compare.__main__", "train configs with several seeds"),
    "report": Subcommand("rankdet.tools.report.__main__", "write one HTML page about runs"),
    "dataset": Subcommand("rankdet.tools.dataset", "generate, describe, check and draw data sets"),
    "visualize": Subcommand("rankdet.tools.visualize", "show what a run has learned"),
    "ranking-errors": Subcommand(
        "rankdet.tools.ranking_errors", "compare a run with the ranking theory of ECM"
    ),
    "collect-confusion": Subcommand(
        "rankdet.tools.collect_confusion", "collect how a model confuses the classes"
    ),
    "plot-confusion": Subcommand(
        "rankdet.tools.plot_confusion", "draw what collect-confusion found"
    ),
    "convert": Subcommand(
        "rankdet.tools.convert.__main__", "convert checkpoints of mmdetection and torchvision"
    ),
    "benchmark": Subcommand("rankdet.tools.benchmark.__main__", "measure losses and iterations"),
    "install-detectron2": Subcommand(
        "rankdet.tools.install_detectron2", "install Detectron2", needs_detectron2=False
    ),
}
_MODULE = "python -m rankdet"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line says.

    Args:
        arguments: None: those of this process.

    Raises:
        SystemExit: at the end of help and version, with the status of a subcommand that fails, or
            2 if there is no such subcommand.
    """
    program = _MODULE if os.path.basename(sys.argv[0]) == "__main__.py" else "rankdet"
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(_help(program))
    elif name == "--version":
        print(f"rankdet {__version__}")
    elif name in SUBCOMMANDS:
        sys.argv[0] = f"{program} {name}"
        run(name, rest)
    else:
        nearest = difflib.get_close_matches(name, SUBCOMMANDS, n=1, cutoff=0.0)[0]
        print(
            f"error: there is no subcommand {name!r}; the nearest is {nearest!r}, and "
            f"`{program} --help` lists all.",
            file=sys.stderr,
        )
        sys.exit(2)


def run(name: str, arguments: Sequence[str]) -> None:
    """Run a subcommand in this process.

    Args:
        name: one of ``SUBCOMMANDS``.
        arguments: what stands behind it.

    Raises:
        SystemExit: the environment lacks something, or the subcommand fails.
    """
    subcommand = SUBCOMMANDS[name]
    if subcommand.needs_detectron2:
        try:
            check_environment()
        except ImportError as error:
            sys.exit(f"error: {error}")
    import_module(subcommand.module).main([*subcommand.arguments, *arguments])


def program_name(other: str) -> str:
    """What the user typed to start this process, for the help of a subcommand.

    Args:
        other: what it is where the process was not started by ``rankdet SUBCOMMAND``.
    """
    return sys.argv[0] if _front_door() else other


def as_typed(text: str) -> str:
    """Name tools as the user does: ``rankdet TOOL`` or ``python -m rankdet.tools.TOOL``.

    Args:
        text: of a help, with ``python -m rankdet.tools.TOOL`` in it.
    """
    program = _front_door()
    for name, subcommand in SUBCOMMANDS.items() if program else ():
        module = re.escape(subcommand.module.removesuffix(".__main__"))
        text = re.sub(rf"python -m {module}\b", f"{program} {name}", text)
    return text


def _front_door() -> str:
    """What stands before the subcommand; empty: the process was started in another way."""
    program, _, name = sys.argv[0].rpartition(" ")
    return program if program in ("rankdet", _MODULE) and name in SUBCOMMANDS else ""


def _help(program: str) -> str:
    width = max(map(len, SUBCOMMANDS))
    lines = [f"  {name:{width}}  {one.summary}" for name, one in SUBCOMMANDS.items()]
    return "\n".join(
        [
            f"usage: {program} SUBCOMMAND ...",
            "",
            "Losses, heads and metrics for long-tailed and ranking detection on Detectron2.",
            "",
            "subcommands:",
            *lines,
            "",
            "options:",
            f"  {'--version':{width}}  print the version",
            f"  {'-h, --help':{width}}  print this, and behind a subcommand its options",
        ]
    )
