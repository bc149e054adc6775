"""Rules for the RPN and the RoI heads of Faster, Mask and Cascade R-CNN, and of PCB."""

import torch

from rankdet.tools.convert.backbones import conv_rules
from rankdet.tools.convert.changes import (
    background_last,
    box_units,
    drop_background,
    fit_boxes,
    order_anchors,
)
from rankdet.tools.convert.rules import Changed, Piece, Rule

_KIND = r"(?P<kind>weight|bias)"
_ROI_HEAD = r"(roi_head\.)?"  # mmdetection 1 has no such part.
_STAGE = r"(?P<stage>\d\.)?"
_BOX = rf"{_ROI_HEAD}bbox_head\.{_STAGE}"
_MASK = rf"{_ROI_HEAD}mask_head\.{_STAGE}"
_OUR_BOX = "roi_heads.box_head.{stage}"
_OUR_PREDICTOR = "roi_heads.box_predictor.{stage}"
_OUR_MASK = "roi_heads.mask_head.{stage}"
_OUR_RPN = "proposal_generator.rpn_head."

_HEADS = "give a config with the same RoI heads and as many stages"
_CLASSES = (
    "give the config as many classes (model.roi_heads.num_classes) and the same loss and masks: "
    "softmax, ECM and EQL v2 have C + 1 logits, ranking losses C, Seesaw C + 2"
)
_BOXES = (
    "give the config as many classes, and cls_agnostic_bbox_reg=True where the checkpoint has 4 "
    "rows, else False"
)
_MASKS = (
    "give the config as many classes and mask heads: a cascade of mmdetection has one for each "
    "stage, see rankdet.modeling.cascade_heads"
)
_ANCHORS = "give the config as many anchors per location"
_PCB = "give a config of PCB (IterativeROIHeads with PredictionAttention) of the same loss"


def rpn_rules() -> list[Rule]:
    """Rules for the RPN of mmdetection 1 to 3, which is the same for all losses."""
    return [
        Rule(rf"rpn_head\.rpn_conv\.{_KIND}", f"{_OUR_RPN}conv.{{kind}}"),
        Rule(
            rf"rpn_head\.rpn_cls\.{_KIND}",
            f"{_OUR_RPN}objectness_logits.{{kind}}",
            (order_anchors,),
            remedy=_ANCHORS,
        ),
        Rule(
            rf"rpn_head\.rpn_reg\.{_KIND}",
            f"{_OUR_RPN}anchor_deltas.{{kind}}",
            (order_anchors, fit_boxes("rpn")),
            remedy=_ANCHORS,
        ),
    ]


def box_head_rules() -> list[Rule]:
    """Rules for shared layers and predictors of boxes."""
    return [
        *conv_rules(rf"{_BOX}shared_convs\.(?P<n>\d)", f"{_OUR_BOX}conv{{n:+1}}", _HEADS),
        Rule(
            rf"{_BOX}shared_fcs\.(?P<n>\d)\.{_KIND}",
            f"{_OUR_BOX}fc{{n:+1}}.{{kind}}",
            remedy=_HEADS,
        ),
        Rule(
            rf"{_BOX}fc_cls\.{_KIND}",
            f"{_OUR_PREDICTOR}cls_score.{{kind}}",
            (background_last,),
            remedy=_CLASSES,
        ),
        Rule(
            rf"{_BOX}fc_reg\.{_KIND}",
            f"{_OUR_PREDICTOR}bbox_pred.{{kind}}",
            (drop_background, fit_boxes("roi")),
            remedy=_BOXES,
        ),
    ]


def mask_head_rules() -> list[Rule]:
    """Rules for mask heads."""
    return [
        *conv_rules(rf"{_MASK}convs\.(?P<n>\d)", f"{_OUR_MASK}mask_fcn{{n:+1}}", _MASKS),
        Rule(rf"{_MASK}upsample\.{_KIND}", f"{_OUR_MASK}deconv.{{kind}}", remedy=_MASKS),
        Rule(
            rf"{_MASK}conv_logits\.{_KIND}",
            f"{_OUR_MASK}predictor.{{kind}}",
            (drop_background,),
            remedy=_MASKS,
        ),
    ]


def pcb_rules() -> list[Rule]:
    """Rules for the layers by which PCB's heads read their own predictions."""
    ours = "roi_heads.refinement."
    linear = r"roi_head\.{}_sub_module\.layers\.fc{}\.(?P<kind>weight|bias)"
    return [
        Rule(linear.format("cls", 1), f"{ours}mlp_cls.0.{{kind}}", remedy=_PCB),
        Rule(linear.format("cls", 2), f"{ours}mlp_cls.2.{{kind}}", remedy=_PCB),
        Rule(linear.format("loc", 1), f"{ours}mlp_loc.0.{{kind}}", (_read_boxes,), remedy=_PCB),
        Rule(linear.format("loc", 2), f"{ours}mlp_loc.2.{{kind}}", remedy=_PCB),
        Rule(
            rf"roi_head\.cls_sub_module\.layer_norm\.{_KIND}", f"{ours}norm.{{kind}}", remedy=_PCB
        ),
    ]


def _read_boxes(piece: Piece) -> Changed:
    """Let a layer that reads box deltas read them in the config's units."""
    scales, shifts = box_units("roi", piece)
    if shifts.any():
        raise ValueError("the checkpoint's RoI boxes have means other than 0; PCB's have not.")
    if piece.target_name.endswith("bias") or torch.equal(scales, torch.ones(4).double()):
        return Changed(piece.tensor)
    columns = piece.tensor.double().unflatten(1, (-1, 4)) / scales
    return Changed(columns.flatten(1), "units of boxes changed")
