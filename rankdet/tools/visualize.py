"""Show what a run has learned: ``python -m rankdet.tools.visualize RUN_FOLDER``.

Prints the metrics, and draws pictures into RUN_FOLDER/pictures: validation images with ground truth
and predictions, and for a model with Effective Class-Margin loss the margins and weights.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import instantiate
from matplotlib.figure import Figure
from omegaconf import DictConfig
from tabulate import tabulate
from torch import nn

from rankdet.data.frequency_groups import Classes, read_classes
from rankdet.engine.arguments import number, whole_number
from rankdet.engine.training import dataset_names
from rankdet.engine.trust import add_trust
from rankdet.losses.ecm import ECMLoss
from rankdet.tools.command_line import errors_as_sentences, tool_parser
from rankdet.tools.dataset import load
from rankdet.tools.margin_plot import plot_margins
from rankdet.tools.prediction_grid import (
    choose_records,
    draw_prediction_grid,
    matching_threshold,
    predict,
)
from rankdet.tools.run_folder import (
    find_checkpoint,
    find_config,
    load_model,
    load_run_config,
    read_results,
)

_TASKS = {"bbox": "boxes", "segm": "masks"}
_METRICS = ("AP", "AP50", "AP75", "APr", "APc", "APf")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print and draw. User errors exit with a one-line message."""
    options = _parser().parse_args(arguments)
    with errors_as_sentences():
        visualize(**vars(options))


def visualize(
    run_folder: Path,
    checkpoint: Path | None = None,
    num_images: int = 8,
    score_threshold: float | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Print the metrics of a run, draw its pictures, and print where they are.

    Args:
        run_folder: its ``train.output_dir``.
        checkpoint: weights to show; None: the last of the run.
        num_images: to draw, at most as many as are annotated.
        score_threshold: least score of a drawn prediction; None: the score that as many predictions
            reach as there are objects, because losses calibrate scores differently.
        trust: modules whose code the run's config may name.

    Raises:
        FileNotFoundError: there is no such run, checkpoint or dataset.
        ValueError: the checkpoint is of another model.
    """
    cfg = load_run_config(find_config(run_folder), trust=trust)
    model = load_model(cfg, find_checkpoint(run_folder, checkpoint))
    classes = read_classes(dataset_names(cfg, "test")[0], dataset_names(cfg, "train"))
    figures = {"predictions": _draw_predictions(cfg, model, classes, num_images, score_threshold)}
    print(metrics_table(run_folder))
    losses = [module for module in model.modules() if isinstance(module, ECMLoss)]
    if losses:
        figures["margins"] = plot_margins(losses[0], classes, num_stages=len(losses))
    else:
        print("No margins plot: the model has no ECMLoss, and only that has class margins.")
    print("The pictures are:")
    for name, figure in figures.items():
        print(f"  {_save(figure, run_folder / 'pictures' / f'{name}.png')}")


def metrics_table(run: Path) -> str:
    """Format the metrics that the evaluation left, or say that there are none."""
    path = run / "results.json"
    if not path.is_file():
        return (
            f"No metrics: {path} does not exist; it is written by the evaluation at the end of the "
            "training, or by `rankdet eval`."
        )
    results = read_results(run)
    if not results:
        return f"No metrics: {path} is empty, as for data sets without annotations."
    rows = [
        [label, *(results[task].get(metric) for metric in _METRICS)]
        for task, label in _TASKS.items()
        if task in results
    ]
    table: str = tabulate(rows, headers=["per cent", *_METRICS], floatfmt=".1f")
    return table


def _draw_predictions(
    cfg: DictConfig, model: nn.Module, classes: Classes, num_images: int, threshold: float | None
) -> Figure:
    name = dataset_names(cfg, "test")[0]
    records = choose_records(load(name)[0], classes.groups, num_images)
    if not records:
        raise ValueError(f"{name!r} has no annotated image to draw.")
    predictions = predict(model, instantiate(cfg.dataloader.test.mapper), records)
    if threshold is None:
        threshold = matching_threshold(records, predictions)
    return draw_prediction_grid(records, predictions, classes, threshold)


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    return path


def _parser() -> argparse.ArgumentParser:
    parser = tool_parser("visualize", __doc__)
    parser.add_argument("run_folder", metavar="RUN_FOLDER", type=Path, help="its train.output_dir")
    parser.add_argument(
        "--checkpoint", metavar="FILE", type=Path, help="weights; default: the last of the run"
    )
    parser.add_argument(
        "--num-images",
        metavar="N",
        type=whole_number(1),
        default=8,
        help="to draw; default: %(default)s",
    )
    parser.add_argument(
        "--score-threshold",
        metavar="SCORE",
        type=number(0, 1),
        help="least score of a drawn prediction; default: as many predictions as objects",
    )
    add_trust(parser)
    return parser


if __name__ == "__main__":
    main()
