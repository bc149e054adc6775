"""RoI heads that read their own predictions and predict again (He et al., CVPR 2022: "PCB").

Shapes: N proposals of all images, D channels and H x W cells of a pooled RoI, L logits, R steps.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import Instances
from fvcore.nn.weight_init import c2_msra_fill
from torch import Tensor, nn

from rankdet.modeling.box_predictor import BoxPredictor

Predictions = tuple[Tensor, Tensor]  # Logits (N, L) and box deltas (N, 4 or 4 C).
Refinement = Callable[[ShapeSpec, int, int], nn.Module]
"""(pooled shape, L, columns of deltas) -> module: (features, predictions) -> next features."""


class PredictionAttention(nn.Module):
    """Refines RoI features by what was predicted from them: X MLP_loc(b) + MLP_cls(z).

    The box deltas b give one factor per cell, the logits z one summand per channel. Gradients go
    through both.

    Source: PCB section 3.3, steps 3 and 4. The paper does not say how the MLPs start. Here their
    last layers start so that the features stay as they are and all steps predict the same. In the
    release they start like any linear layer: the factors near 0, so that the last step at first
    sees next to nothing, which costs a short training from scratch a part of its AP
    (configs/glyphs/README.md).

    Args:
        input_shape: channels, height and width of the pooled RoI features.
        num_logits: L.
        num_deltas: columns of the box deltas, class-specific or not.
        hidden_features: width of the hidden layer of both MLPs.
        normalizes_logits: LayerNorm in front of MLP_cls, for EQL v2 (section 4.1).
        starts_as_identity: False: start as released.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        num_logits: int,
        num_deltas: int,
        *,
        hidden_features: int = 512,
        normalizes_logits: bool = False,
        starts_as_identity: bool = True,
    ) -> None:
        super().__init__()
        self.size = (input_shape.height, input_shape.width)
        self.norm = nn.LayerNorm(num_logits) if normalizes_logits else nn.Identity()
        self.mlp_cls = _mlp(num_logits, hidden_features, input_shape.channels)
        self.mlp_loc = _mlp(num_deltas, hidden_features, math.prod(self.size))
        if starts_as_identity:
            _end_with(self.mlp_cls, 0.0)
            _end_with(self.mlp_loc, 1.0)

    @classmethod
    def with_options(
        cls,
        hidden_features: int = 512,
        normalizes_logits: bool = False,
        starts_as_identity: bool = True,
    ) -> Refinement:
        """Give a constructor for a ``refinement`` argument."""
        return partial(
            cls,
            hidden_features=hidden_features,
            normalizes_logits=normalizes_logits,
            starts_as_identity=starts_as_identity,
        )

    def forward(self, features: Tensor, predictions: Predictions) -> Tensor:
        """Features ``(N, D, H, W)`` and predictions to the features of the next step."""
        logits, deltas = predictions
        cells: Tensor = self.mlp_loc(deltas).unflatten(1, (1, *self.size))
        channels: Tensor = self.mlp_cls(self.norm(logits))[:, :, None, None]
        return features * cells + channels


class DeepSupervision(nn.Module):
    """Refines RoI features by a 3x3 convolution that sees no predictions; the next step is deeper.

    In :class:`IterativeROIHeads` this is the baseline DSN of PCB's table 4. The paper does not say
    how that was built; it cites Deeply-supervised nets (Lee et al., AISTATS 2015) and the auxiliary
    classifiers of GoogLeNet. So this is the simplest form: the loss supervises the head at R depths
    and nothing but the feedback differs from the iterative paradigm. Like the head, the layer is
    the same in all steps.

    Args:
        input_shape: channels, height and width of the pooled RoI features.
        num_logits: L, which it does not need.
        num_deltas: columns of the box deltas, which it does not need.
    """

    def __init__(self, input_shape: ShapeSpec, num_logits: int, num_deltas: int) -> None:
        super().__init__()
        num_channels = input_shape.channels
        self.conv = Conv2d(num_channels, num_channels, 3, padding=1, activation=nn.ReLU())
        c2_msra_fill(self.conv)

    def forward(self, features: Tensor, predictions: Predictions) -> Tensor:
        """Features ``(N, D, H, W)`` to those of the next step; predictions do not matter."""
        refined: Tensor = self.conv(features)
        return refined


class IterativeROIHeads(StandardROIHeads):
    """Detectron2's heads whose box head and predictor run R times on ever refined RoI features.

    All steps share their weights, proposals and targets. The loss is called once per step; it
    observes the batch once, with the logits of the last step. Boxes are regressed in the last step
    alone, with weight 1: so the paper's appendix and the released code (eq. 12 sums box losses,
    too). Masks are not balanced against the loss (:meth:`HeadLoss.balance`). With a loss that knows
    no steps this is table 4's iterative paradigm without PCB, and with :class:`DeepSupervision` as
    ``refinement`` table 4's DSN. With one step these are Detectron2's heads.

    Source: PCB section 3.3; appendix A.

    Args:
        box_in_features: as in Detectron2.
        box_pooler: see there.
        box_head: see there.
        box_predictor: of any loss.
        pooled_shape: D, H and W, the input shape of ``box_head``.
        step_weights: R weights of the losses without that of boxes; the loss weight of the
            predictor comes on top.
        inference_step: the step in [0, R) that scores detections (the paper's table 7); boxes are
            those of the last step, the only ones that are regressed. None: the last.
        refinement: makes the module that makes the features of the next step:
            :class:`PredictionAttention`, ``PredictionAttention.with_options(...)`` or
            :class:`DeepSupervision`. One step needs none.
        num_classes: as in Detectron2.
        batch_size_per_image: see there.
        positive_fraction: see there.
        proposal_matcher: see there.
        mask_in_features: see there; there is one mask loss for all steps.
        mask_pooler: see there.
        mask_head: see there.

    Raises:
        ValueError: weights are missing, negative or not finite, or there is no such step.
    """

    def __init__(  # noqa: PLR0913  (Detectron2's constructor plus the steps)
        self,
        *,
        box_in_features: list[str],
        box_pooler: ROIPooler,
        box_head: nn.Module,
        box_predictor: BoxPredictor,
        pooled_shape: ShapeSpec,
        step_weights: Sequence[float] = (0.2, 0.2, 0.6),
        inference_step: int | None = None,
        refinement: Refinement = PredictionAttention,
        num_classes: int,
        batch_size_per_image: int,
        positive_fraction: float,
        proposal_matcher: Matcher,
        mask_in_features: list[str] | None = None,
        mask_pooler: ROIPooler | None = None,
        mask_head: nn.Module | None = None,
    ) -> None:
        _check_steps(step_weights, inference_step)
        super().__init__(
            box_in_features=box_in_features,
            box_pooler=box_pooler,
            box_head=box_head,
            box_predictor=box_predictor,
            num_classes=num_classes,
            batch_size_per_image=batch_size_per_image,
            positive_fraction=positive_fraction,
            proposal_matcher=proposal_matcher,
            mask_in_features=mask_in_features,
            mask_pooler=mask_pooler,
            mask_head=mask_head,
        )
        self.step_weights = tuple(step_weights)
        self.inference_step = inference_step
        if len(step_weights) > 1:  # Else it would have no gradient, which DDP refuses.
            num_deltas = box_predictor.bbox_pred.out_features
            self.refinement = refinement(pooled_shape, box_predictor.loss.num_logits, num_deltas)

    def _forward_box(
        self, features: dict[str, Tensor], proposals: list[Instances]
    ) -> dict[str, Tensor] | list[Instances]:
        """Losses in training, of earlier steps as ``loss_cls_step0`` ...; else detections."""
        levels = [features[name] for name in self.box_in_features]
        pooled = self.box_pooler(levels, [image.proposal_boxes for image in proposals])
        steps = self._predict_steps(pooled)
        if self.training:
            return self._losses(steps, proposals)
        step = -1 if self.inference_step is None else self.inference_step
        predictions = steps[step][0], steps[-1][1]
        detections: list[Instances] = self.box_predictor.inference(predictions, proposals)[0]
        return detections

    def _predict_steps(self, features: Tensor) -> list[Predictions]:
        """Predictions of all steps from the pooled features ``(N, D, H, W)``."""
        steps = [self.box_predictor(self.box_head(features))]
        for _ in self.step_weights[1:]:
            features = self.refinement(features, steps[-1])
            steps.append(self.box_predictor(self.box_head(features)))
        return steps

    def _losses(self, steps: list[Predictions], proposals: list[Instances]) -> dict[str, Tensor]:
        """Weighted losses of all steps; the boxes are those of the last."""
        predictor, (last_logits, last_deltas) = self.box_predictor, steps[-1]
        targets = predictor.targets(last_deltas, proposals)
        if predictor.loss.training:
            predictor.loss.observe(last_logits, targets.labels)
        losses = {}
        for step, (weight, (logits, _)) in enumerate(zip(self.step_weights, steps, strict=True)):
            of_step = predictor.loss.losses_of_step(step, len(steps), logits, *targets)
            box_loss = of_step.pop("loss_box_reg")
            suffix = "" if step == len(steps) - 1 else f"_step{step}"
            losses.update({name + suffix: weight * loss for name, loss in of_step.items()})
        losses["loss_box_reg"] = box_loss
        predictor.report(last_logits, targets.labels, proposals)
        return {name: predictor.loss_weight * loss for name, loss in losses.items()}


def _mlp(in_features: int, hidden_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_features, hidden_features),
        nn.ReLU(),
        nn.Linear(hidden_features, out_features),
    )


def _end_with(mlp: nn.Sequential, value: float) -> None:
    """Make the last layer give a constant."""
    weight, bias = mlp[-1].parameters()
    nn.init.zeros_(weight)
    nn.init.constant_(bias, value)


def _check_steps(weights: Sequence[float], inference_step: int | None) -> None:
    if not len(weights) or not all(0 <= weight < math.inf for weight in weights):
        raise ValueError(f"step_weights is {weights}; give a weight >= 0 for each step.")
    if inference_step is not None and not 0 <= inference_step < len(weights):
        raise ValueError(
            f"inference_step is {inference_step}, but step_weights has {len(weights)} steps; "
            "give one of them, counted from 0, or None for the last."
        )
