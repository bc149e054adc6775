"""Writes the report of one or more runs."""

import os
from collections.abc import Sequence
from pathlib import Path

from rankdet.data.atomic_file import write_atomically
from rankdet.tools.command_line import THEORY_IMAGES
from rankdet.tools.report import plots
from rankdet.tools.report.methods import Method, group_methods
from rankdet.tools.report.page import build_page
from rankdet.tools.report.reported_run import read_run
from rankdet.tools.report.sections import build_sections


def write_report(
    runs: Sequence[Path],
    output: Path,
    theory_images: int = THEORY_IMAGES,
    trust: Sequence[str] = (),
) -> None:
    """Write one self-contained HTML page about runs, and what it has to compute into their folders.

    Runs of equal config except for the seed are one method. The others are compared with the first.
    The page says what a run lacks.

    Args:
        runs: the ``train.output_dir`` of each, tested on one data set.
        output: file of the page.
        theory_images: to score for the section on ranking theory, unless at least as many are kept,
            spread evenly over the data set; all if it has fewer; 0 leaves the section out.
        trust: modules whose code the runs' configs may name.

    Raises:
        FileNotFoundError: a folder is not that of a run.
        ValueError: a run is given twice, or the runs were tested on different data sets.
    """
    methods = group_methods([read_run(folder, trust) for folder in runs])
    datasets = list(dict.fromkeys(run.dataset for method in methods for run in method.runs))
    if len(datasets) > 1:
        raise ValueError(
            f"the runs were tested on {' and '.join(datasets)}; make a report of each data set."
        )
    root = Path(os.path.commonpath([folder.resolve().parent for folder in runs]))
    with plots.style():
        sections = build_sections(methods, root, theory_images, trust)
    page = build_page(_title(methods), _subtitle(methods, datasets[0]), sections, root)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, page)


def _title(methods: Sequence[Method]) -> str:
    names = [method.name for method in methods]
    return " against ".join(names) if len(names) < 3 else f"{len(names)} methods compared"


def _subtitle(methods: Sequence[Method], dataset: str) -> str:
    num_runs = sum(len(method.runs) for method in methods)
    return f"{num_runs} run{'s' if num_runs > 1 else ''}, evaluated on {dataset}."
