"""Draw how models confuse the classes: ``python -m rankdet.tools.plot_confusion RUN [RUN ...]``.

Shows the confusion matrices of one or more runs side by side, for instance without and with PCB,
and the pairwise bias (PwB) in training. First run ``python -m rankdet.tools.collect_confusion``.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from rankdet.data.class_stats import image_counts
from rankdet.data.frequency_groups import read_classes
from rankdet.engine.training import dataset_names
from rankdet.engine.trust import add_trust
from rankdet.modeling.calibration import ConfusionStatistics, load_statistics
from rankdet.tools.command_line import errors_as_sentences, picture_file, tool_parser
from rankdet.tools.confusion_matrix_plot import ConfusionRun, plot_confusion_matrices
from rankdet.tools.run_folder import find_config, load_run_config, read_metrics

_PWB = "roi_head/pairwise_bias"  # A cascade's: of its last stage, "stage2/" before it.


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw. User errors exit with a one-line message."""
    options = _parser().parse_args(arguments)
    with errors_as_sentences():
        draw(**vars(options))


def draw(
    run_folders: Sequence[Path],
    output: Path,
    dataset: str | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Draw the confusion of runs, and print where the picture is.

    Args:
        run_folders: ``train.output_dir`` of each run.
        output: file of the picture.
        dataset: what the statistics were collected on; None: what the first run tests on.
        trust: modules whose code the runs' configs may name.

    Raises:
        FileNotFoundError: there is no such run, or it has no statistics of the data set.
        ValueError: the data set is not registered, or the runs have other classes.
    """
    configs = [load_run_config(find_config(run), trust=trust) for run in run_folders]
    train_names = dataset_names(configs[0], "train")
    name = dataset or dataset_names(configs[0], "test")[0]
    classes = read_classes(name, train_names)
    runs = [
        ConfusionRun(
            label, _statistics(run, name, len(classes.names)), _curve(run), cfg.train.max_iter
        )
        for run, label, cfg in zip(run_folders, _labels(run_folders), configs, strict=True)
    ]
    figure = plot_confusion_matrices(runs, classes, image_counts(train_names), name)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)
    print(f"Wrote {output}.")


def _labels(runs: Sequence[Path]) -> list[str]:
    """The folders, each as seen from where they all lie."""
    root = os.path.commonpath([run.resolve().parent for run in runs])
    return [str(run.resolve().relative_to(root)) for run in runs]


def _statistics(run: Path, dataset: str, num_classes: int) -> ConfusionStatistics:
    path = run / f"calibration_{dataset}.pth"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; collect the statistics with `python -m "
            f"rankdet.tools.collect_confusion {run} --dataset {dataset}`."
        )
    statistics = load_statistics(path)
    if len(statistics.matrix) != num_classes:
        raise ValueError(
            f"{path} has {len(statistics.matrix)} classes, but {dataset!r} has {num_classes}; "
            "collect the statistics again."
        )
    return statistics


def _curve(run: Path) -> dict[int, float]:
    """Iteration to PwB, of the last stage of a cascade; empty without a PCBLoss."""
    curve = {}
    for record in read_metrics(run):
        values = [record[key] for key in sorted(record) if key.endswith(_PWB)]
        if values:
            curve[record["iteration"]] = values[-1]
    if not curve:
        print(f"No curve of {run}: its metrics.json has no PwB; only a PCBLoss logs it.")
    return dict(sorted(curve.items()))


def _parser() -> argparse.ArgumentParser:
    parser = tool_parser("plot_confusion", __doc__)
    parser.add_argument(
        "run_folders", metavar="RUN", type=Path, nargs="+", help="its train.output_dir"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=picture_file, required=True, help="picture to write"
    )
    parser.add_argument(
        "--dataset", metavar="NAME", help="of the statistics; default: what the first run tests on"
    )
    add_trust(parser)
    return parser


if __name__ == "__main__":
    main()
