"""Post-hoc calibration: scores of a trained model, corrected at test time by what it is biased to.

Shapes: N proposals, C foreground classes; scores are ``(N, C + 1)`` in [0, 1], background last.

"PCB" is He et al., CVPR 2022. The gains of its table 1 are an upper bound: the statistics are those
of the validation set itself. With those of the training set the confusion matrix loses 0.2 AP
(table 4), because a model confuses its training images otherwise than new ones. What becomes
fairer is the choice among the classes; AP can fall all the same, so evaluate both.

Exclusive (softmax) scores sum to 1, so that to keep their sum is to rescale them as the sources do.
PCB's equations are for them alone; here one-vs-all scores keep their sum, too, each at most 1.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rankdet.losses._class_counts import check_counts
from rankdet.losses.confusion import posterior

logger = logging.getLogger(__name__)

TOOL = "python -m rankdet.tools.collect_confusion RUN_FOLDER --dataset NAME"
SMALLEST_MEAN = 1e-12  # of a score: its inverse has to stay finite


class ConfusionStatistics(NamedTuple):
    """How a model confuses the objects of a data set."""

    matrix: Tensor
    """``(C, C)`` float32, M: row i is the mean prediction for samples of class i (PCB eq. 3)."""
    num_samples: Tensor
    """``(C,)`` int64; a class without samples has a row of zeros."""

    @property
    def is_seen(self) -> Tensor:
        """``(C,)`` bool: classes with samples."""
        return self.num_samples > 0


def foreground_probs(scores: Tensor) -> Tensor:
    """Distribution over the foreground classes alone, ``(N, C)``: PCB eq. 1.

    Equals the softmax of the foreground logits for softmax and Seesaw scores; one-vs-all scores are
    divided by their sum, too.
    """
    foreground = scores[:, :-1]
    return foreground / _positive(foreground.sum(dim=1, keepdim=True))


def confusion_transfer(statistics: ConfusionStatistics) -> Tensor:
    """Share of the score of predicted class j that goes to class i.

    Source: PCB eq. 5. A predicted class keeps its score if the data set has no sample of it, or if
    it was never predicted: the equation is undefined there.

    Args:
        statistics: of the data set.

    Returns:
        ``(C, C)``: row i, column j; columns sum to 1.
    """
    matrix = statistics.matrix
    is_kept = ~statistics.is_seen | (matrix.sum(dim=0) == 0)
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return torch.where(is_kept, identity, posterior(matrix))


def calibrate_by_transfer(scores: Tensor, transfer: Tensor) -> Tensor:
    """Move foreground scores to the classes that they are mistaken from.

    Source: PCB eqs. 4 and 6. As columns sum to 1, the foreground keeps its sum, 1 - background,
    without the paper's division and multiplication.

    Args:
        scores: ``(N, C + 1)``.
        transfer: ``(C, C)`` from :func:`confusion_transfer`.

    Returns:
        ``(N, C + 1)``; background is unchanged.
    """
    foreground = scores[:, :-1] @ transfer.T.to(scores.dtype)
    return torch.cat([foreground.clamp(max=1), scores[:, -1:]], dim=1)


def calibrate_by_division(scores: Tensor, divisors: Tensor, is_calibrated: Tensor) -> Tensor:
    """Divide scores by numbers per class and restore the sum of those that changed.

    Args:
        scores: ``(N, C + 1)``.
        divisors: ``(C + 1,)`` > 0.
        is_calibrated: ``(C + 1,)`` bool; other columns are unchanged.

    Returns:
        ``(N, C + 1)``.
    """
    before = scores * is_calibrated
    after = before / divisors.to(scores.dtype)
    scale = before.sum(dim=1, keepdim=True) / _positive(after.sum(dim=1, keepdim=True))
    return torch.where(is_calibrated, (after * scale).clamp(max=1), scores)


class Calibration(nn.Module, ABC):
    """Corrects the scores of a trained model; what ``BoxPredictor(calibration=...)`` takes.

    Its buffers are not in checkpoints, so that it can be switched on for any of them. In a cascade,
    it is the last stage's; Detectron2's averages the calibrated scores of all stages.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    @abstractmethod
    def forward(self, scores: Tensor) -> Tensor:
        """Scores ``(N, C + 1)`` in [0, 1], background last, to scores of the same shape."""

    def extra_repr(self) -> str:
        """Show the size when the model is printed."""
        return f"num_classes={self.num_classes}"


class ConfusionCalibration(Calibration):
    """Calibration by the confusion matrix of a data set: PCB eqs. 4-6.

    See the top of this module for what to expect of which data set. A class without samples in it
    keeps its score, and a warning says how many there are.

    Args:
        path: file from ``python -m rankdet.tools.collect_confusion``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or another kind of file.
    """

    transfer: Tensor

    def __init__(self, path: str | Path) -> None:
        statistics = _load_for_calibration(path)
        super().__init__(len(statistics.matrix))
        self.register_buffer("transfer", confusion_transfer(statistics), persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """See :func:`calibrate_by_transfer`."""
        return calibrate_by_transfer(scores, self.transfer)


class MeanScoreCalibration(Calibration):
    """Calibration by the mean score of each class on a data set, M's diagonal: PCB eqs. 7 and 8.

    Foreground scores are divided by s_i and keep their sum; background is unchanged. A class
    without samples keeps its score, and a warning says how many there are.

    Args:
        path: file from ``python -m rankdet.tools.collect_confusion``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or another kind of file.
    """

    divisors: Tensor
    is_calibrated: Tensor

    def __init__(self, path: str | Path) -> None:
        statistics = _load_for_calibration(path)
        super().__init__(len(statistics.matrix))
        means = statistics.matrix.diagonal().clamp(min=SMALLEST_MEAN)
        is_calibrated = nn.functional.pad(statistics.is_seen, (0, 1))
        self.register_buffer("divisors", nn.functional.pad(means, (0, 1), value=1.0), False)
        self.register_buffer("is_calibrated", is_calibrated, persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """See :func:`calibrate_by_division`."""
        return calibrate_by_division(scores, self.divisors, self.is_calibrated)


class NorCal(Calibration):
    """Normalized calibration by the class counts of the training set.

    Foreground scores are divided by count^gamma, background by 1, and all C + 1 keep their sum.
    So background gains against the foreground, even where all classes have the same count above 1.

    Source: Pan et al., "On Model Calibration for Long-Tailed Object Detection and Instance
    Segmentation", arXiv 2107.02170, as released for softmax: on probabilities, renormalized.

    Args:
        class_counts: ``(C,)`` training images of each class, as released; 0 counts as 1.
        gamma: strength, >= 0. 0 changes nothing; the release has no other default.

    Raises:
        ValueError: a count or gamma is negative or not finite.
    """

    divisors: Tensor
    is_calibrated: Tensor

    def __init__(self, class_counts: Tensor | Sequence[float], gamma: float) -> None:
        counts = check_counts("class_counts", class_counts)
        super().__init__(len(counts))
        if not 0 <= gamma < float("inf"):
            raise ValueError(
                f"gamma is {gamma}; it is the power of the class counts, finite and >= 0, and 0 "
                "switches NorCal off."
            )
        self.gamma = gamma
        divisors = nn.functional.pad(counts.clamp(min=1) ** gamma, (0, 1), value=1.0)
        self.register_buffer("divisors", divisors.float(), persistent=False)
        self.register_buffer("is_calibrated", torch.ones_like(divisors).bool(), persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """See :func:`calibrate_by_division`."""
        return calibrate_by_division(scores, self.divisors, self.is_calibrated)

    def extra_repr(self) -> str:
        """Show the settings when the model is printed."""
        return f"{super().extra_repr()}, gamma={self.gamma}"


def load_statistics(path: str | Path) -> ConfusionStatistics:
    """Read the statistics that ``python -m rankdet.tools.collect_confusion`` has written.

    Args:
        path: the file.

    Returns:
        The statistics, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or another kind of file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"the calibration file {str(path)!r} does not exist; write it with `{TOOL}`."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        statistics = ConfusionStatistics(content["matrix"], content["num_samples"])
        if statistics.matrix.shape != (len(statistics.num_samples),) * 2:
            raise TypeError("the matrix has another number of classes than the samples")
    except Exception as e:  # Damaged and hostile files make torch.load raise anything.
        raise ValueError(
            f"{path} is no calibration file, or damaged ({type(e).__name__}); write it again with "
            f"`{TOOL}`."
        ) from e
    return statistics


def save_statistics(path: str | Path, statistics: ConfusionStatistics) -> None:
    """Write what :func:`load_statistics` reads."""
    torch.save(statistics._asdict(), path)


def _load_for_calibration(path: str | Path) -> ConfusionStatistics:
    statistics = load_statistics(path)
    num_unseen = int((~statistics.is_seen).sum())
    if num_unseen:
        logger.warning(
            "%s has no sample of %d of %d classes; their scores are not calibrated.",
            path,
            num_unseen,
            len(statistics.matrix),
        )
    return statistics


def _positive(sums: Tensor) -> Tensor:
    return sums.clamp(min=torch.finfo(sums.dtype).tiny)
