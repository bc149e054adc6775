"""Recipes name what does not fit by what the user has given."""

import pytest
import torch
from detectron2.config import LazyConfig
from detectron2.model_zoo import get_config as get_detectron2_config
from omegaconf import OmegaConf

from rankdet import model_zoo
from rankdet.engine.build import build
from rankdet.model_zoo.recipes import (
    use_dense_ranking,
    use_pcb,
    use_ranking,
)
from rankdet.modeling import Locations, LowUpToLikeliest, ScaledHead
from rankdet.modeling.cascade_heads import CascadeHeads
from rankdet.modeling.mask_head import DiceMaskHead
from rankdet.modeling.unsampled_roi_heads import UnsampledCascadeROIHeads

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


def ranked(model):
    use_ranking(model, model_zoo.get_config("common/losses.py").rank_sort)
    with torch.device("meta"):
        return build(OmegaConf.create({"model": model}, flags={"allow_objects": True}), "model")


def test_a_ranked_cascade_weighs_its_stages_the_same_and_samples_nothing(tmp_path):
    model = model_zoo.get_config("common/models/cascade_mask_rcnn_fpn.py").model
    cfg = OmegaConf.create({"model": model}, flags={"allow_objects": True})
    LazyConfig.save(cfg, str(tmp_path / "saved.yaml"))  # There, classes are their names.
    for model in (cfg.model, LazyConfig.load(str(tmp_path / "saved.yaml")).model):
        roi_heads = ranked(model).roi_heads
        assert type(roi_heads) is CascadeHeads and not roi_heads.batch_size_per_image
        for stage in range(3):
            predictor, mask_head = roi_heads.box_predictor[stage], roi_heads.mask_head[stage]
            assert predictor.box2box_transform.weights == (10, 10, 5, 5)
            assert type(mask_head) is DiceMaskHead
            assert predictor.loss_weight == mask_head.loss_weight == 1


def test_detectron2s_cascade_stays_detectron2s_when_it_is_ranked():
    roi_heads = ranked(get_detectron2_config("common/models/cascade_rcnn.py").model).roi_heads
    assert type(roi_heads) is UnsampledCascadeROIHeads
    assert type(roi_heads.mask_head) is DiceMaskHead


def test_models_that_a_recipe_cannot_change_are_named():
    cascade = model_zoo.get_config("common/models/cascade_mask_rcnn_fpn.py").model
    with pytest.raises(ValueError, match="use_pcb takes a Faster or Mask R-CNN with one box_pred"):
        use_pcb(cascade, alpha=0.4)
    model = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model
    use_pcb(model, alpha=0.4)
    with pytest.raises(ValueError, match="or use_pcb has changed it already"):
        use_pcb(model, alpha=0.4)
    rank_sort = model_zoo.get_config("common/losses.py").rank_sort
    with pytest.raises(ValueError, match="ATSSAssigner or PAAAssigner, not GeneralizedRCNN"):
        use_dense_ranking(model, rank_sort)
    for name, text in {
        "varifocalnet": "head is .*RetinaNetHead or QualityHead or ScaledHead, not VarifocalHead",
        "fcos": "assigner is ATSSAssigner or PAAAssigner, not CenterAssigner",
    }.items():
        model = model_zoo.get_config(f"common/models/{name}_r18_fpn.py").model
        with pytest.raises(ValueError, match=f"use_dense_ranking takes a model whose {text}"):
            use_dense_ranking(model, rank_sort)
    retinanet = model_zoo.get_config("common/models/retinanet_r18_fpn.py").model
    with pytest.raises(ValueError, match="two-stage detector with roi_heads, not OneStageDetector"):
        use_pcb(retinanet, alpha=0.4)
    with pytest.raises(ValueError, match="use_ranking takes a two-stage detector with roi_heads"):
        use_ranking(retinanet, rank_sort)


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
