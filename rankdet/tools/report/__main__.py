"""Report on runs: ``python -m rankdet.tools.report RUN [RUN ...] [--output report.html]``.

Writes one HTML page that needs no network. Runs of equal config except for the seed are one method;
the first is the baseline. What the page needs is computed once and kept in RUN/analysis.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rankdet.engine.trust import add_trust
from rankdet.tools.command_line import (
    add_theory_images,
    errors_as_sentences,
    output_file,
    tool_parser,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write. User errors exit with a one-line message."""
    options = _parser().parse_args(arguments)
    from rankdet.tools.report.writer import write_report

    with errors_as_sentences():
        write_report(options.runs, options.output, options.theory_images, options.trust)
        print(f"Wrote {options.output}.")


def _parser() -> argparse.ArgumentParser:
    parser = tool_parser("report", __doc__)
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="its train.output_dir")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=output_file,
        default=Path("report.html"),
        help="default: %(default)s",
    )
    add_theory_images(parser)
    add_trust(parser)
    return parser


if __name__ == "__main__":
    main()
