"""What ranking losses change in Deformable DETR and Co-DETR."""

import pytest
import torch
from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from rankdet import model_zoo
from rankdet.engine.build import build
from rankdet.losses import APLoss, NDCGLoss, RankSortLoss
from rankdet.model_zoo.detr_recipes import use_detr_ranking
from rankdet.modeling import GIoUBoxLoss, ScaledHead, UnsampledROIHeads

MODELS = ["deformable_detr_r18", "co_detr_r18"]


def ranked(name, loss, **options):
    model = model_zoo.get_config(f"common/models/{name}.py").model
    if "heads" in model:
        model.heads.rcnn.proposal_generator.padding_divisor = 1
    use_detr_ranking(model, loss, **options)
    cfg = OmegaConf.create({"model": model}, flags={"allow_objects": True})
    with torch.device("meta"):
        return build(cfg, "model")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("algorithm", ["exact", "bucketed"])
def test_both_boxes_of_every_layer_are_balanced(name, algorithm):
    detector = ranked(name, L(RankSortLoss)(num_classes=5, algorithm=algorithm))
    assert detector.matcher.class_weight == 4 and detector.matcher.l1_weight == 5
    query_losses = [(detector.loss, 36), (detector.selection_loss, 1)]
    if name == "co_detr_r18":
        query_losses += [(x, 36) for x in detector.auxiliary_query_losses.values()]
        assert len(query_losses) == 4
    for query_loss, num_classes in query_losses:
        assert query_loss.class_weight == query_loss.l1_weight == query_loss.giou_weight == 2
        loss = query_loss.loss
        assert loss.num_classes == num_classes and loss.algorithm == algorithm
        assert not loss.score_weighted_boxes


def test_heads_are_those_of_brs_detr():
    rank_sort = model_zoo.get_config("common/losses.py").bucketed_rank_sort
    heads = ranked("co_detr_r18", rank_sort).heads
    atss, rpn, roi_heads = heads.atss.detector, heads.rcnn.proposal_generator, heads.rcnn.roi_heads
    assert heads.atss.loss_weight == heads.rcnn.loss_weight == 5
    assert rpn.loss_weight == pytest.approx(1 / 5) and roi_heads.box_predictor.loss_weight == 1
    assert atss.quality is None and type(atss.head) is ScaledHead and atss.num_cell_anchors == 1
    assert not rpn.batch_size_per_image and type(roi_heads) is UnsampledROIHeads
    assert rpn.box2box_transform.weights == (10, 10, 5, 5)
    assert roi_heads.proposal_append_gt and rpn.padding_divisor == 1
    for part, num_classes in ((atss, 36), (rpn, 1), (roi_heads.box_predictor, 36)):
        assert isinstance(part.box_loss, GIoUBoxLoss) and part.loss.num_classes == num_classes
        assert part.loss.algorithm == "bucketed" and not part.loss.score_weighted_boxes


def test_other_losses_and_another_one_for_the_rpn():
    losses = [L(APLoss)(num_classes=5), L(NDCGLoss)(num_classes=5)]
    detector = ranked("co_detr_r18", losses[0], rpn_loss=losses[1])
    assert not detector.loss.loss.score_weighted_boxes
    assert isinstance(detector.heads.rcnn.proposal_generator.loss, NDCGLoss)
    assert isinstance(detector.heads.rcnn.roi_heads.box_predictor.loss, APLoss)
    assert isinstance(ranked("co_detr_r18", losses[1]).heads.atss.detector.loss, NDCGLoss)


def test_the_loss_of_the_caller_stays_as_it_was():
    loss = L(RankSortLoss)(num_classes=5)
    ranked("co_detr_r18", loss)
    assert loss == L(RankSortLoss)(num_classes=5)


def test_other_detectors_are_refused():
    retinanet = model_zoo.get_config("common/models/retinanet_r18_fpn.py").model
    with pytest.raises(ValueError, match="takes a transformer detector with query_selection, not "):
        use_detr_ranking(retinanet, L(RankSortLoss)(num_classes=5))
