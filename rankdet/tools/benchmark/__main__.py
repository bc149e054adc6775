"""Run benchmarks by name: ``python -m rankdet.tools.benchmark [NAME ...] [options of a NAME]``."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import takewhile

from rankdet.tools.command_line import errors_as_sentences, tool_parser

BENCHMARKS = {
    "class_stats": "count the classes of an annotation file of the size of LVIS v1",
    "evaluation": "score detections by the rules of LVIS, against the lvis package",
    "iteration": "training iterations of configs, against a baseline",
    "layers": "losses of a decoder's layers, at once and one by one",
    "losses": "ranking losses, forward and backward, against torch.sort",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the command line names, or all of them.

    Args:
        arguments: names, then options of the benchmarks; None: those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    names = list(takewhile(lambda one: not one.startswith("-") and "=" not in one, arguments))
    options = arguments[len(names) :]
    parser = _parser()
    if not names and {"-h", "--help"} & set(options):
        parser.print_help()
        return
    for name in set(names) - BENCHMARKS.keys():
        parser.error(f"there is no benchmark {name!r}; the names are {', '.join(BENCHMARKS)}")
    with errors_as_sentences():
        for name in names or BENCHMARKS:
            import_module(f"{__package__}.{name}").main(options)


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"{name:12} {summary}" for name, summary in BENCHMARKS.items())
    parser = tool_parser("benchmark", "Run benchmarks and print their figures.", listed)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    return parser


if __name__ == "__main__":
    main()
