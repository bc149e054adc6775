"""Which of an object's candidates are its own, by a mixture of two Gaussians of their losses.

Letters: G objects, K candidates per object.
"""

import math

from torch import Tensor

from rankdet.modeling.dense.gaussian_mixture import fit_mixture


class UpToLikeliest:
    """Takes the candidates whose loss is at most that of the likeliest one of low loss.

    Of low loss are those that the mixture gives to the component that started from the smallest
    loss. If it gives none to it, as may be where all losses are almost equal, all are taken; so is
    a single one. Candidates of equal loss are all taken or none.

    Source: PAA (Kim and Lee, ECCV 2020), separation scheme (c) of the authors' release.

    Args:
        regularization: what is added to the variances of the mixture; losses squared.

    Raises:
        ValueError: ``regularization`` is not positive.
    """

    def __init__(self, regularization: float = 1e-6) -> None:
        if not regularization > 0:
            raise ValueError(
                f"regularization is {regularization}, and equal losses have no variance; give a "
                "small number above 0: 1e-6, or 1e-5 as in the RS and BRS releases."
            )
        self.regularization = regularization

    def __call__(self, losses: Tensor) -> Tensor:
        """Divide the candidates of each object.

        Comparisons take a NaN for a low loss: its anchor is foreground, so that NaN surfaces in the
        losses of training.

        Args:
            losses: ``(G, K)``; infinite where there is no candidate.

        Returns:
            ``(G, K)`` bool.
        """
        return self._divide(losses)[1]

    def _divide(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Which candidates are of low loss, and which are not above the likeliest of these."""
        is_candidate = losses != math.inf
        mixture = fit_mixture(losses, is_candidate, regularization=self.regularization)
        log_joint = mixture.log_joint(losses)
        is_low = is_candidate & ~(log_joint[..., 0] < log_joint[..., 1])
        log_likelihoods = log_joint.logsumexp(-1).masked_fill(~is_low, -math.inf)
        is_likeliest = log_likelihoods == log_likelihoods.amax(1, keepdim=True)
        # Infinite if no candidate is of low loss.
        bound = losses.where(is_low & is_likeliest, math.inf).amin(1, keepdim=True)
        return is_low, is_candidate & ~(losses > bound)


class LowUpToLikeliest(UpToLikeliest):
    """Takes of the same candidates those of low loss alone, and never a single one.

    Candidates below the bound may belong to the other component, where it is the wider one.

    Source: mmdetection; with a ``regularization`` of 1e-5 the RS and BRS releases, whose AP and BAP
    have it, too.

    Args:
        regularization: see :class:`UpToLikeliest`.

    Raises:
        ValueError: see there.
    """

    def __call__(self, losses: Tensor) -> Tensor:
        """See :meth:`UpToLikeliest.__call__`."""
        is_low, is_below = self._divide(losses)
        is_divided = (losses != math.inf).sum(1, keepdim=True) > 1
        return is_low & is_below & is_divided
