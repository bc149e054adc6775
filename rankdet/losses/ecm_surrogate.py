"""Effective Class-Margin loss of dense detectors (Cho and Krähenbühl, ECCV 2022, "ECM").

The paper describes it in two sentences of its appendix F and its authors released no code for
it: only foreground classes are counted, because focal weights deal with the background ("as
foreground and background imbalance is managed from focal weight"), and "we apply the computed focal
weights to our ECM Loss. Instead of a binary cross-entropy on the surrogate scoring function s-hat,
we use the focal loss".

So the score p of the focal loss, in its logarithm and in its modulator, is the surrogate s-hat =
sigmoid(2 f + bias) by default. ``modulates_by_score`` has sigmoid(f), the score at test time, in
the modulator instead. The paper leaves open whether the weights m_c of its eq. 10 multiply; here
they do, as in its loss of two-stage detectors. Without a background class m_c is close to 1,
except for classes with a large share of all instances (0.86 at a quarter, 0.69 at a half).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rankdet.losses._class_counts import check_counts, warn_of_empty_classes, warn_of_other_counts
from rankdet.losses._focal_base import Surrogate, SurrogateScore
from rankdet.losses.ecm import detection_weights, surrogate_bias


class ECMSurrogate(SurrogateScore):
    """Makes a dense loss ECM; see the head of this file.

    Give it to :class:`rankdet.losses.focal.FocalLoss`, or to a loss of IoUs: there the IoU q stays
    target and weight of a positive, and it is the surrogate that learns it. The loss of an IoU q is
    least at sigmoid(2 f + bias) = q, so that ``f = (logit(q) - bias) / 2``. At q = 1 that is ECM's
    target; for every class f rises with q, so that detections of a class are ranked by IoU; at
    equal q a rarer class scores higher, which is the margin.

    The counts are a buffer. When a checkpoint is loaded, the configured counts win, with a warning
    where the checkpoint's differ. The scores at test time stay sigmoid(f).

    Source: ECM eqs. 10 and 11, appendix F.

    Args:
        class_counts: ``(C,)`` training instances per class, >= 0, C >= 2. A class without instances
            counts as one and is named in a warning.
        modulates_by_score: sigmoid(f) in the modulator instead of the surrogate.

    Raises:
        ValueError: a count is negative or not finite, or there is one class only.
    """

    class_counts: Tensor
    bias: Tensor
    weights: Tensor

    def __init__(
        self, class_counts: Tensor | Sequence[float], *, modulates_by_score: bool = False
    ) -> None:
        super().__init__()
        counts = check_counts("class_counts", class_counts)
        if len(counts) == 1:
            raise ValueError(
                "class_counts has one class, which has no other to keep a margin to; use the loss "
                "without ECM."
            )
        warn_of_empty_classes(counts)
        num_pos = counts.clamp(min=1.0)
        num_neg = num_pos.sum() - num_pos
        self.num_classes = len(counts)
        self.modulates_by_score = modulates_by_score
        self.register_buffer("class_counts", counts)
        self.register_buffer("bias", surrogate_bias(num_pos, num_neg), persistent=False)
        self.register_buffer("weights", detection_weights(num_pos, num_neg), persistent=False)

    def forward(self, logits: Tensor, classes: Tensor | slice) -> Surrogate:
        """See :meth:`SurrogateScore.forward`: 2 f + bias (eq. 11), weighted by m_c (eq. 10)."""
        z = torch.add(self.bias[classes].to(logits.dtype), logits, alpha=2)
        return Surrogate(
            logits=z,
            modulator=logits if self.modulates_by_score else z,
            slope=2.0,
            modulator_slope=1.0 if self.modulates_by_score else 2.0,
            weights=self.weights[classes].to(logits.dtype),
        )

    def invert(self, logits: Tensor) -> Tensor:
        """See :meth:`SurrogateScore.invert`."""
        return ((logits - self.bias.cpu()) / 2).to(logits.dtype)

    def extra_repr(self) -> str:
        """Show the settings when the model is printed."""
        return f"modulates_by_score={self.modulates_by_score}"

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        configured = self.class_counts.clone()
        super()._load_from_state_dict(state_dict, prefix, *args)
        if not torch.equal(self.class_counts, configured):
            warn_of_other_counts(self.class_counts, configured)
            self.class_counts.copy_(configured)
