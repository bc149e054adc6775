"""What the command lines of the report and of the comparison share."""

import argparse

from rankdet.engine.arguments import whole_number

THEORY_IMAGES = 500
"""Scored where nothing else is asked for; LVIS has 19,809, which takes hours on a CPU."""


def add_theory_images(parser: argparse.ArgumentParser) -> None:
    """Add ``--theory-images``; a wrong value ends the tool before it starts its work."""
    parser.add_argument(
        "--theory-images",
        metavar="N",
        type=whole_number(0),
        default=THEORY_IMAGES,
        help="images to score for the ranking theory; 0: without it; default: %(default)s",
    )
