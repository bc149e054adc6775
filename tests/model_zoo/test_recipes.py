"""Recipes name what does not fit by what the user has given."""

import pytest
from omegaconf import OmegaConf

from rankdet import model_zoo
from rankdet.engine.build import build
from rankdet.model_zoo.recipes import use_dense_ranking, use_pcb, use_ranking
from rankdet.modeling import Locations, LowUpToLikeliest, ScaledHead

ECM = {"_target_": "rankdet.losses.ECMLoss", "class_counts": [5, 3, 1]}


def small_config():
    model = model_zoo.get_config("common/models/mask_rcnn_r18_fpn.py").model
    return OmegaConf.create({"model": model}, flags={"allow_objects": True})


def test_a_loss_without_num_classes_is_told_none():
    cfg = small_config()
    cfg.model.roi_heads.box_predictor.loss = ECM
    use_pcb(cfg.model, alpha=0.4)
    with pytest.raises(ValueError, match="base is ECMLoss, which cannot take soft targets"):
        build(cfg, "model")
    cfg = small_config()
    use_ranking(cfg.model, OmegaConf.create(ECM))
    with pytest.raises(ValueError, match="the loss has num_classes=3 and 4 logits, but an RPN"):
        build(cfg, "model")


def test_any_loss_of_the_list_fits_the_rpn():
    cfg, losses = small_config(), model_zoo.get_config("common/losses.py")
    use_ranking(cfg.model, losses.rank_sort, rpn_loss=losses.focal)
    model = build(cfg, "model")
    assert model.proposal_generator.loss.num_classes == 1
    assert model.roi_heads.box_predictor.loss.num_classes == 36


def test_models_that_a_recipe_cannot_change_are_named():
    cascade = model_zoo.get_config("common/models/cascade_mask_rcnn_fpn.py").model
    with pytest.raises(ValueError, match="use_pcb takes a Faster or Mask R-CNN with one box_pred"):
        use_pcb(cascade, alpha=0.4)
    model = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model
    use_pcb(model, alpha=0.4)
    with pytest.raises(ValueError, match="or use_pcb has changed it already"):
        use_pcb(model, alpha=0.4)
    varifocal = model_zoo.get_config("common/models/varifocalnet_r18_fpn.py").model
    with pytest.raises(ValueError, match="RetinaNetHead or QualityHead or ScaledHead, not Vari"):
        use_dense_ranking(varifocal, model_zoo.get_config("common/losses.py").rank_sort)


@pytest.mark.parametrize("name", ["atss", "paa"])
def test_dense_ranking_takes_the_heads_and_candidates_of_the_releases(name):
    model = model_zoo.get_config(f"common/models/{name}_r50_fpn.py").model
    use_dense_ranking(model, model_zoo.get_config("common/losses.py").rank_sort)
    cfg = OmegaConf.create({"model": model}, flags={"allow_objects": True})
    detector = build(cfg, "model")
    assert type(detector.head) is ScaledHead and detector.quality is None
    assert detector.num_cell_anchors == 3 and isinstance(detector.candidates, Locations)
    if name == "paa":
        division = detector.assigner.division
        assert isinstance(division, LowUpToLikeliest) and division.regularization == 1e-5
