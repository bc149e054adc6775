"""Collect how a model confuses the classes: ``python -m rankdet.tools.collect_confusion RUN``.

RUN is the folder of a run, or its config file. The tool runs the model over a data set, prints the
pairwise bias (PwB) of its confusion matrix, and writes calibration_DATASET.pth beside the weights,
for the calibrations of rankdet.modeling.calibration.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN
from torch import Tensor

from rankdet.engine.training import dataset_names
from rankdet.engine.trust import add_trust
from rankdet.losses.confusion import pairwise_bias
from rankdet.modeling.calibration import (
    ConfusionStatistics,
    foreground_probs,
    save_statistics,
)
from rankdet.shipped_configs import config_names
from rankdet.tools.command_line import errors_as_sentences, tool_parser
from rankdet.tools.proposal_scores import (
    MIN_IOU,
    annotated_loader,
    box_predictors,
    score_proposals,
)
from rankdet.tools.run_folder import find_checkpoint, find_config, load_model, load_run_config

_EXAMPLE = """
example, with all of it on one line:
  rankdet eval --config-file RUN_FOLDER/config.yaml
    train.init_checkpoint=RUN_FOLDER/model_final.pth train.output_dir=RUN_FOLDER/calibrated
    'model.roi_heads.box_predictor.calibration={_target_: PART, path: FILE}'
  PART: rankdet.modeling.calibration.ConfusionCalibration or .MeanScoreCalibration
  FILE: what this tool has written
  A cascade (CascadeHeads) has it in its last stage: box_predictors.2.calibration.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect, print and write. User errors exit with a one-line message."""
    options = _parser().parse_args(arguments)
    with errors_as_sentences():
        write_statistics(**vars(options))


def write_statistics(
    run_or_config: Path,
    dataset: str | None = None,
    checkpoint: Path | None = None,
    trust: Sequence[str] = (),
) -> Path:
    """Collect the confusion matrix of a model on a data set, print its PwB, and write it.

    Args:
        run_or_config: ``train.output_dir`` of a run, a config file, or the name of one of
            rankdet's configs.
        dataset: a registered data set with annotations; None: the one that the config tests on.
        checkpoint: weights; None: the last of the run.
        trust: modules whose code a run's config may name.

    Returns:
        The file, beside the weights.

    Raises:
        FileNotFoundError: there is no such run, config, checkpoint or data set.
        ValueError: the model has no :class:`BoxPredictor`, the weights or the data set do not fit
            it, or no proposal finds an object.
    """
    is_file = run_or_config.is_file() or str(run_or_config) in config_names()
    file = run_or_config if is_file else find_config(run_or_config)
    cfg = load_run_config(file, trust=trust)
    weights = find_checkpoint(Path(cfg.train.output_dir), checkpoint)
    if dataset is not None:
        cfg.dataloader.test.dataset.names = dataset
    name = "_".join(dataset_names(cfg, "test"))
    statistics = collect_statistics(load_model(cfg, weights), annotated_loader(cfg))
    path = Path(weights).with_name(f"calibration_{name}.pth")
    save_statistics(path, statistics)
    print(_summary(name, statistics))
    print(f"Statistics: {path}")
    return path


def collect_statistics(
    model: GeneralizedRCNN, loader: Iterable[list[dict[str, Any]]]
) -> ConfusionStatistics:
    """Average the predictions for the objects of each class, over a data set.

    The samples are the foreground proposals of :func:`score_proposals`. The prediction is the score
    of each foreground class before any calibration, divided by their sum (PCB eqs. 1 and 3); for
    one-vs-all losses, too, so that the PwB of all losses compares.

    Args:
        model: detector; its mode is restored afterwards.
        loader: batches of image dicts with "instances", see :func:`annotated_loader`.

    Returns:
        Statistics on the CPU; sums are in float64.

    Raises:
        ValueError: the model has no :class:`BoxPredictor`, or no proposal finds an object.
    """
    num_classes = box_predictors(model)[0].num_classes
    sums = torch.zeros(num_classes, num_classes, dtype=torch.float64, device=model.device)
    num_samples = torch.zeros(num_classes, dtype=torch.int64, device=model.device)
    for image in score_proposals(model, loader):
        is_foreground = image.labels < num_classes
        labels = image.labels[is_foreground]
        probs = foreground_probs(image.uncalibrated_scores[is_foreground])
        sums.index_add_(0, labels, probs.double())
        num_samples += labels.bincount(minlength=num_classes)
    return _means(sums.cpu(), num_samples.cpu())


def _means(sums: Tensor, num_samples: Tensor) -> ConfusionStatistics:
    if not num_samples.any():
        raise ValueError(
            f"no proposal has an IoU of {MIN_IOU} with an object of the data set, so nothing can "
            "be collected; train the model first, or choose another data set."
        )
    matrix = sums / num_samples.clamp(min=1).unsqueeze(1)
    return ConfusionStatistics(matrix.float(), num_samples)


def _summary(name: str, statistics: ConfusionStatistics) -> str:
    is_seen = statistics.is_seen
    num_samples, num_seen = int(statistics.num_samples.sum()), int(is_seen.sum())
    mean_score = statistics.matrix.diagonal()[is_seen].mean()
    bias = pairwise_bias(statistics.matrix, is_seen)
    text = f"{name}: PwB {bias:.3f}, mean score {mean_score:.3f} ({num_samples} proposals)"
    num_unseen = len(is_seen) - num_seen
    if num_unseen:
        text += (
            f"\n{num_unseen} of {len(is_seen)} classes have no proposal there: they are left out, "
            "and a calibration leaves their scores as they are."
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = tool_parser("collect_confusion", __doc__, epilog=_EXAMPLE)
    parser.add_argument("run_or_config", metavar="RUN", type=Path, help="a run, or its config file")
    parser.add_argument(
        "--dataset", metavar="NAME", help="with annotations; default: what the config tests on"
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", type=Path, help="weights; default: the last of the run"
    )
    add_trust(parser)
    return parser


if __name__ == "__main__":
    main()
