"""What does not fit into a cascade is named."""

import pytest
import torch
from modeling.cascade_toy import make_inputs, make_released, run
from support.tiny_two_stage import NUM_CLASSES, make_cascade_heads, make_predictor

from rankdet.losses import SigmoidBCELoss, SoftmaxCrossEntropyLoss
from rankdet.modeling.calibration import NorCal


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size_per_image": 0}, "batch_size_per_image is 0; sample at least one"),
        ({"box_predictors": []}, "box_heads has 2 stages, box_predictors 0"),
        ({"proposal_matchers": []}, "proposal_matchers has 0 stages, box_predictors 2"),
        ({"mask_heads": [None]}, "mask_heads has 1 stages, box_predictors 2; give one for each"),
        (
            {"mask_heads": None},
            "mask_heads is None; give it, or mask_in_features=None",
        ),
        ({"mask_pooler": None}, "mask_pooler is None; give it, or mask_in_features=None"),
    ],
)
def test_parts_that_do_not_fit_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_cascade_heads(SigmoidBCELoss, **options)


def stages_of(first, **options):
    last = make_predictor(SigmoidBCELoss(NUM_CLASSES), cls_agnostic_bbox_reg=True)
    options = {"cls_agnostic_bbox_reg": True, **options}
    return [make_predictor(first(NUM_CLASSES), **options), last]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (lambda: stages_of(SoftmaxCrossEntropyLoss), r"box_predictors.0 has 4 logits, .* stage 3;"),
        (lambda: stages_of(SigmoidBCELoss, cls_agnostic_bbox_reg=False), "predicts boxes per cl"),
        (
            lambda: stages_of(SigmoidBCELoss, calibration=NorCal([9, 3, 1], gamma=0.6)),
            "box_predictors.0 has a calibration, which would not be used; give it to the last",
        ),
    ],
)
def test_stages_that_do_not_fit_are_named(stages, message):
    with pytest.raises(ValueError, match=message):
        make_cascade_heads(SigmoidBCELoss, box_predictors=stages())


def test_a_predictor_of_another_kind_is_named():
    parts = [torch.nn.Linear(1, 1)] * 2
    with pytest.raises(TypeError, match=r"box_predictors.0 is a Linear; CascadeHeads averages log"):
        make_cascade_heads(SigmoidBCELoss, box_predictors=parts)


def test_training_without_ground_truth_is_named():
    with pytest.raises(ValueError, match="targets is None; give the ground truth of each image"):
        run(make_released(), make_inputs()[:2])
