"""Run benchmarks by name: `python -m rankdet.tools.benchmark NAME ... [its options]`."""

import argparse
from collections.abc import Sequence
from importlib import import_module

from rankdet.cli import program_name
from rankdet.tools.benchmark.report import machine

BENCHMARKS = (
    "class_stats",
    "dense_iteration",
    "evaluation",
    "iteration",
    "losses",
    "pcb_iteration",
    "ranking_iteration",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the command line names, or all of them.

    Args:
        argv: Command line; None: that of the process. Options that are unknown here go to the
            benchmarks.
    """
    modules = {name: import_module(f"{__package__}.{name}") for name in BENCHMARKS}
    parser = argparse.ArgumentParser(
        prog=program_name("python -m rankdet.tools.benchmark"),
        description="Run benchmarks and print their figures.",
        epilog="\n".join(
            f"{name:18} {_summary(module.__doc__)}" for name, module in modules.items()
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    parser.add_argument("-h", "--help", action="store_true", help="after a NAME: its options")
    arguments, options = parser.parse_known_args(argv)
    for name in set(arguments.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {name!r}; the names are {', '.join(BENCHMARKS)}")
    if arguments.help and not arguments.names:
        parser.print_help()
        return
    if arguments.help:
        options = ["--help"]
    names = arguments.names or BENCHMARKS
    print(machine())
    for name in names:
        print(f"\n{name}: {_summary(modules[name].__doc__)}")
        modules[name].main(options)


def _summary(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


if __name__ == "__main__":
    main()
