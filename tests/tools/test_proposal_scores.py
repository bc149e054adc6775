import copy

import pytest
import torch
from detectron2.modeling.roi_heads import CascadeROIHeads
from modeling.detr.co_detr_toy import make_co_detr

from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.config import load_config
from rankdet.engine.training import build_model
from rankdet.modeling.cascade_heads import CascadeHeads
from rankdet.tools.proposal_scores import annotated_loader, score_proposals

C = 10
NORCAL = (
    "model.roi_heads.box_predictor.calibration={_target_: rankdet.modeling.calibration.NorCal, "
    "gamma: 1, class_counts: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}"
)


@pytest.fixture(scope="module")
def run(untrained_run):
    return untrained_run


@pytest.fixture(scope="module")
def batch(run):
    return next(iter(annotated_loader(load_config(str(run / "config.yaml")))))[:3]


def load_model(run, *overrides):
    model = build_model(load_config(str(run / "config.yaml"), list(overrides)))
    Checkpointer(model).load_strictly(str(run / "model_final.pth"))
    return model


def test_every_proposal_of_every_image_is_scored(run, batch):
    model = load_model(run)
    found = list(score_proposals(model, [batch[:2], batch[2:]]))
    assert model.training
    model.eval()
    with torch.no_grad():
        for image, scored in zip(batch, found, strict=True):
            inputs = model.preprocess_image([image])
            (proposals,), _ = model.proposal_generator(inputs, model.backbone(inputs.tensor), None)
            assert scored.image is image
            assert scored.scores.shape == (len(proposals), C + 1)
            torch.testing.assert_close(scored.scores.sum(1), torch.ones(len(proposals)))
            assert torch.equal(scored.scores, scored.uncalibrated_scores)


def test_scores_are_those_that_rank_detections(run, batch):
    model = load_model(run, NORCAL)
    (found,) = score_proposals(model, [batch[:1]])
    predictor = model.roi_heads.box_predictor
    expected = predictor.calibration(found.uncalibrated_scores)
    torch.testing.assert_close(found.scores, expected)
    assert not torch.allclose(found.scores, found.uncalibrated_scores)


def test_scores_of_a_cascade_are_the_mean_of_its_stages(run, batch):
    model = load_model(run)
    (plain,) = score_proposals(model, [batch[:1]])
    heads = model.roi_heads
    second = copy.deepcopy(heads.box_predictor)
    torch.nn.init.zeros_(second.cls_score.weight)
    torch.nn.init.zeros_(second.cls_score.bias)
    model.roi_heads = CascadeROIHeads(
        box_in_features=heads.box_in_features,
        box_pooler=heads.box_pooler,
        box_heads=[heads.box_head, heads.box_head],
        box_predictors=[heads.box_predictor, second],
        proposal_matchers=[heads.proposal_matcher] * 2,
        num_classes=C,
        batch_size_per_image=8,
        positive_fraction=0.25,
    )
    (found,) = score_proposals(model, [batch[:1]])
    torch.testing.assert_close(found.scores, (plain.scores + 1 / (C + 1)) / 2)
    assert torch.equal(found.labels, plain.labels)


def test_scores_of_mean_logits_are_those_that_rank_detections(run, batch):
    model = load_model(run)
    (plain,) = score_proposals(model, [batch[:1]])
    heads = model.roi_heads
    model.roi_heads = CascadeHeads(
        box_in_features=heads.box_in_features,
        box_pooler=heads.box_pooler,
        box_heads=[heads.box_head],
        box_predictors=[heads.box_predictor],
        proposal_matchers=[heads.proposal_matcher],
        num_classes=C,
    )
    (found,) = score_proposals(model, [batch[:1]])
    torch.testing.assert_close(found.scores, plain.scores)


def test_without_objects_all_is_background(run, batch):
    image = {**batch[0], "instances": batch[0]["instances"][:0]}
    (found,) = score_proposals(load_model(run), [[image]])
    assert len(found.labels) and (found.labels == C).all()


def test_an_error_of_the_caller_restores_the_model(run, batch):
    model = load_model(run)
    images = score_proposals(model, [batch])
    next(images)
    images.close()
    assert model.training
    predictor = model.roi_heads.box_predictor
    assert not predictor.calibration._forward_hooks


def test_a_model_without_predictor_is_named():
    with pytest.raises(ValueError, match="Linear has no BoxPredictor for its detections, so it"):
        next(score_proposals(torch.nn.Linear(1, 1), []))


def test_the_predictor_of_a_collaborative_head_is_none_of_the_model():
    with pytest.raises(ValueError, match="CoDETR has no BoxPredictor for its detections, so it"):
        next(score_proposals(make_co_detr(), []))
