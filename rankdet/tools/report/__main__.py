"""Report on runs: ``python -m rankdet.tools.report RUN [RUN ...] [--output report.html]``.

Writes one HTML page that needs no network. Runs of equal config but for the seed are one method;
the first is the baseline. What has to be computed goes to RUN/analysis first, and is used again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detectron2.utils.logger import setup_logger

from rankdet.engine.known_warnings import silence_known_warnings
from rankdet.tools.report.options import add_theory_images
from rankdet.tools.report.writer import write_report


def main(arguments: Sequence[str] | None = None) -> None:
    """Write; what a user can do wrong ends it with one sentence."""
    options = _parser().parse_args(arguments)
    silence_known_warnings()
    setup_logger(name="rankdet")
    try:
        write_report(options.runs, options.output, options.theory_images)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"Wrote {options.output}.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rankdet.tools.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="its train.output_dir")
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), help="default: %(default)s"
    )
    add_theory_images(parser)
    return parser


if __name__ == "__main__":
    main()
