"""The command line of a training: Detectron2's, with its numbers checked."""

import math
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence

from detectron2.engine import default_argument_parser
from detectron2.engine.launch import DEFAULT_TIMEOUT

from rankdet.cli import program_name
from rankdet.engine.config_file import REMEDY
from rankdet.engine.trust import add_trust

_EXAMPLES = """
examples:
  train:       {program} --config-file glyphs/mask_rcnn_r18_fpn_ecm.py
  8 GPUs:      {program} --config-file FILE --num-gpus 8
  continue:    {program} --config-file FILE --resume
  evaluate:    {program} --config-file FILE --eval-only train.init_checkpoint=MODEL.pth
  change:      {program} --config-file FILE train.seed=1 train.output_dir=output/other
"""


def whole_number(low: int) -> Callable[[str], int]:
    """Type of an option for a whole number of at least ``low``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if number < low:
            raise ArgumentTypeError(f"{text!r} is no whole number of {low} or more.")
        return number

    return parse


def number(low: float, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """Type of an option for a finite number from ``low`` (not itself if ``above``) to ``high``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or math.isinf(value) or (above and value == low):
            limits = f"above {low:g}" if above else f"of {low:g} or more"
            limits += f" and at most {high:g}" if math.isfinite(high) else ""
            raise ArgumentTypeError(f"{text!r} is no number {limits}.")
        return value

    return parse


def parse_arguments(arguments: Sequence[str] | None = None) -> Namespace:
    """Parse the command line. User errors exit with a one-line message.

    Args:
        arguments: None: those of this process.

    Returns:
        Detectron2's arguments, ``overwrite``, ``trust`` and ``dist_timeout`` (seconds).
    """
    parser = _parser()
    args = parser.parse_args(arguments)
    if not args.config_file:
        parser.error(f"--config-file is missing; {REMEDY}")
    if args.machine_rank >= args.num_machines:
        parser.error(
            f"--machine-rank is {args.machine_rank} of --num-machines {args.num_machines}; ranks "
            f"are from 0 to {args.num_machines - 1}."
        )
    if args.dist_url != "auto" and "://" not in args.dist_url:
        parser.error(f"--dist-url is {args.dist_url!r}; give tcp://HOST:PORT.")
    if args.dist_url == "auto" and args.num_machines > 1:
        parser.error("--dist-url auto is for one machine; give tcp://HOST:PORT of the master.")
    if args.overwrite and (args.resume or args.eval_only):
        parser.error(
            "--overwrite deletes the run in train.output_dir and begins another; leave it out "
            "with --resume and --eval-only."
        )
    return args


def _parser() -> ArgumentParser:
    program = program_name(f"python {sys.argv[0]}")
    examples = _EXAMPLES.format(program=program.replace("rankdet eval", "rankdet train"))
    parser: ArgumentParser = default_argument_parser(examples)
    parser.prog = program
    for action in parser._actions:
        if action.dest == "config_file":
            action.help = "a file, a run's config.yaml, or the name of one of rankdet's configs"
        if action.dest in ("num_gpus", "num_machines"):
            action.type = whole_number(1)
        if action.dest == "machine_rank":
            action.type = whole_number(0)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="delete the run that train.output_dir holds, and begin another",
    )
    add_trust(parser)
    parser.add_argument(
        "--dist-timeout",
        metavar="SECONDS",
        type=whole_number(1),
        default=int(DEFAULT_TIMEOUT.total_seconds()),
        help="how long processes wait for each other; default: %(default)s",
    )
    return parser
