"""What the command lines of the report and of the comparison share."""

import argparse

THEORY_IMAGES = 500
"""Scored where nothing else is asked for; LVIS has 19,809, which takes hours on a CPU."""


def add_theory_images(parser: argparse.ArgumentParser) -> None:
    """Add ``--theory-images``; a wrong value ends the tool before it starts its work."""
    parser.add_argument(
        "--theory-images",
        metavar="N",
        type=_count,
        default=THEORY_IMAGES,
        help="images to score for the ranking theory; 0: without it; default: %(default)s",
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of images; give 0 or more.")
    return int(text)
