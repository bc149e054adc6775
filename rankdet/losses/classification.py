"""The interfaces between a loss and the head that it is injected into."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class HeadLoss(nn.Module, ABC):
    """A loss that fixes how many logits a head predicts and how they become scores.

    A subclass sets ``num_logits`` and implements ``forward`` and :meth:`scores`; a head asks it for
    both, so that logits, loss and activation always fit together.

    Args:
        num_classes: C, number of foreground classes, >= 1.
        num_logits: columns of the logits this loss takes.

    Raises:
        ValueError: ``num_classes`` is not positive.
    """

    def __init__(self, num_classes: int, num_logits: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; a detector needs at least one class.")
        self.num_classes = num_classes
        self.num_logits = num_logits

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """Turn logits into detection scores.

        Args:
            logits: ``(N, num_logits)``.

        Returns:
            ``(N, C + 1)`` in [0, 1]; the last column is background.
        """

    def foreground_scores(self, logits: Tensor) -> Tensor:
        """Scores of the C classes alone.

        Args:
            logits: ``(N, num_logits)``.

        Returns:
            ``(N, C)`` in [0, 1].
        """
        return self.scores(logits)[:, : self.num_classes]

    def initial_logits(self, prior_prob: float) -> Tensor:
        """Logits of a head that knows nothing, to start its bias from.

        Args:
            prior_prob: probability of each foreground class in the terms of the loss, in (0, 1).

        Returns:
            ``(num_logits,)``: the logit of that probability, and 0 for a background logit.

        Raises:
            ValueError: ``prior_prob`` is no probability.
        """
        if not 0 < prior_prob < 1:
            raise ValueError(f"prior_prob is {prior_prob}; give a probability in (0, 1) or None.")
        logits = torch.zeros(self.num_logits, device="cpu")
        logits[: self.num_classes] = math.log(prior_prob / (1 - prior_prob))
        return logits

    def statistics(self) -> dict[str, Tensor]:
        """Scalars to log with the losses, by name."""
        return {}

    def extra_repr(self) -> str:
        """Show the sizes when the model is printed."""
        return f"num_classes={self.num_classes}, num_logits={self.num_logits}"


class ClassificationLoss(HeadLoss):
    """A loss of logits and labels alone; box regression has a loss of its own.

    A subclass that learns from its batches does so where :attr:`is_learning` says so.
    """

    _is_paused = False

    @property
    def is_learning(self) -> bool:
        """Whether a call updates the statistics: in training, but in one recurrent step only."""
        return self.training and not self._is_paused

    def learns_in_step(self, step: int, num_steps: int) -> bool:
        """Whether statistics are taken from a recurrent step: from the first, as labels are.

        Args:
            step: in [0, ``num_steps``).
            num_steps: how often a head predicts for the same samples.
        """
        return step == 0

    @contextmanager
    def in_step(self, step: int, num_steps: int) -> Iterator[None]:
        """Within it, calls are of one recurrent step; so a batch is learned from once.

        Args:
            step: in [0, ``num_steps``).
            num_steps: how often a head predicts for the same samples.
        """
        before = self._is_paused
        self._is_paused = not self.learns_in_step(step, num_steps)
        try:
            yield
        finally:
            self._is_paused = before

    @abstractmethod
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Penalise the logits.

        Args:
            logits: ``(N, num_logits)``.
            labels: ``(N,)`` int64 in [0, C]; C is background.

        Returns:
            Scalar, mean over the N samples; 0 and connected to the graph if N = 0.
        """


def independent_scores(logits: Tensor) -> Tensor:
    """Scores of one-vs-all classifiers that have no background logit.

    Args:
        logits: ``(N, C)``.

    Returns:
        ``(N, C + 1)``: the sigmoid of each logit, and the probability that no class is present
        when the classes are independent.
    """
    scores = logits.sigmoid()
    return torch.cat([scores, (1 - scores).prod(dim=1, keepdim=True)], dim=1)
