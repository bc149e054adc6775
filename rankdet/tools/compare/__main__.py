"""Train configs with several seeds and compare them: ``python -m rankdet.tools.compare``.

Each run goes into DIR/CONFIG/seedS. The same command again resumes interrupted runs and skips
finished ones. At the end it writes DIR/comparison.md and DIR/report.html.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rankdet.engine.arguments import whole_number
from rankdet.engine.trust import add_trust
from rankdet.tools.command_line import (
    THEORY_IMAGES,
    add_theory_images,
    errors_as_sentences,
    split_overrides,
    tool_parser,
)
from rankdet.tools.compare.jobs import job_environments, train_all
from rankdet.tools.compare.runs import plan_runs
from rankdet.tools.compare.table import write_comparison
from rankdet.tools.report.writer import write_report

_EXAMPLE = """
example, with all of it on one line:
  python -m rankdet.tools.compare --seeds 0 1 2 --jobs 2 --output output/ce_and_ecm
    --configs glyphs/mask_rcnn_r18_fpn.py glyphs/mask_rcnn_r18_fpn_ecm.py
    train.max_iter=1200
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and compare. User errors and failed runs exit with a one-line message."""
    arguments = sys.argv[1:] if arguments is None else arguments
    arguments, overrides = split_overrides(arguments)
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with errors_as_sentences():
            compare(overrides=overrides, **vars(options))
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on from the last checkpoints.")


def compare(
    configs: Sequence[Path],
    seeds: Sequence[int],
    output: Path,
    jobs: int | None = None,
    theory_images: int = THEORY_IMAGES,
    overrides: Sequence[str] = (),
    trust: Sequence[str] = (),
) -> None:
    """Train what is not done, and write table and report into ``output``.

    Args:
        configs: files of experiments, or names of rankdet's configs.
        seeds: of each.
        output: folder, made if it is missing.
        jobs: trainings at a time; None: one for each GPU, or one.
        theory_images: see :func:`rankdet.tools.report.write_report`.
        overrides: ``key=value`` for all of them.
        trust: modules whose code a ``config.yaml`` may name.

    Raises:
        FileNotFoundError: a config does not exist.
        ValueError: an argument is wrong, a folder holds a run of another config, or a run failed;
            the others are trained and compared first.
    """
    runs = plan_runs(configs, seeds, output, overrides, trust)
    todo = [run for run in runs if not run.is_finished()]
    environments = job_environments(jobs, any(run.device.startswith("cuda") for run in todo))
    print(f"{len(todo)} of {len(runs)} runs to do.", flush=True)
    failed = train_all(todo, environments) if todo else []
    done = [run for run in runs if run not in failed]
    if done:
        print(write_comparison(done, output / "comparison.md"))
        write_report([run.folder for run in done], output / "report.html", theory_images, trust)
        print(f"Table: {output / 'comparison.md'}\nReport: {output / 'report.html'}")
    if failed:
        names = ", ".join(run.name for run in failed)
        raise ValueError(
            f"{len(failed)} of {len(runs)} runs failed: {names}; their last lines are above, and "
            "the same command tries them again."
        )


def _parser() -> argparse.ArgumentParser:
    parser = tool_parser(
        "compare",
        __doc__,
        _EXAMPLE,
        usage="--configs A [B ...] [--seeds S [S ...]] [--output DIR] [--jobs N] "
        "[--theory-images N] [--trust MODULE] [key=value ...]",
    )
    parser.add_argument(
        "--configs",
        metavar="FILE",
        nargs="+",
        type=Path,
        required=True,
        help="to compare: files, or names of rankdet's configs",
    )
    parser.add_argument(
        "--seeds",
        metavar="S",
        nargs="+",
        type=whole_number(0),
        default=[0],
        help="of each; default: 0",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("output/compare"),
        help="default: %(default)s",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=whole_number(1),
        help="runs at a time; default: one for each GPU, or one",
    )
    add_theory_images(parser)
    add_trust(parser)
    return parser


if __name__ == "__main__":
    main()
