"""Rules for the heads of RetinaNet, ATSS, PAA, FCOS and VarifocalNet."""

from rankdet.tools.convert.backbones import norm_rules
from rankdet.tools.convert.changes import fit_boxes, order_anchors
from rankdet.tools.convert.rules import Rule
from rankdet.tools.convert.target import Target

_KIND = r"(?P<kind>weight|bias)"
_HEAD = r"bbox_head\."
_SAME = "give a config of the same head, with as many convolutions and the same norm"
_SCALES = "give the config a head with a learned scale for each level, such as ScaledHead"
_CLASSES = "give the config as many classes (model.num_classes) and anchors per location"
_QUALITY = "give a config whose head predicts centerness or IoU, such as QualityHead"


def one_stage_rules(target: Target) -> list[Rule]:
    """Rules for a head; the names of its layers tell RetinaNet, ATSS, FCOS, VarifocalNet apart."""
    return [*_branch_rules(target), *_output_rules(), *_scale_rules(), *_varifocal_rules()]


def _branch_rules(target: Target) -> list[Rule]:
    """The convolutions of both branches, which are numbered with their norms and ReLUs."""
    has_norm = "head.cls_subnet.1.weight" in target.weights
    step = 3 if has_norm else 2
    rules = []
    for theirs, ours in (("cls_convs", "cls_subnet"), ("reg_convs", "bbox_subnet")):
        for index in range(10):
            source = rf"{_HEAD}{theirs}\.{index}\."
            conv, norm = f"head.{ours}.{step * index}", f"head.{ours}.{step * index + 1}"
            rules.append(Rule(rf"{source}conv\.{_KIND}", f"{conv}.{{kind}}", remedy=_SAME))
            rules += norm_rules(rf"{source}[gb]n", norm)
    return rules


def _output_rules() -> list[Rule]:
    # mmdetection 1 names FCOS's layers by the detector.
    name = rf"{_HEAD}(retina|atss|conv|fcos|vfnet)"
    return [
        Rule(
            rf"{name}_cls\.{_KIND}",
            "head.cls_score.{kind}",
            (order_anchors,),
            remedy=_CLASSES,
        ),
        Rule(
            rf"{name}_reg\.{_KIND}",
            "head.bbox_pred.{kind}",
            (order_anchors, fit_boxes("dense")),
            remedy=_CLASSES,
        ),
        Rule(
            rf"{name}_centerness\.{_KIND}",
            "head.ctrness.{kind}",
            (order_anchors,),
            remedy=_QUALITY,
        ),
    ]


def _scale_rules() -> list[Rule]:
    level = r"\.(?P<level>\d+)\.scale"
    return [
        Rule(rf"{_HEAD}scales{level}", "head.scales", row="{level}", remedy=_SCALES),
        Rule(rf"{_HEAD}scales_refine{level}", "head.factor_scales", row="{level}", remedy=_SCALES),
    ]


def _varifocal_rules() -> list[Rule]:
    conv = rf"{_HEAD}vfnet_reg_conv\."
    return [
        Rule(rf"{conv}conv\.{_KIND}", "head.bbox_conv.{kind}", remedy=_SAME),
        *norm_rules(rf"{conv}[gb]n", "head.bbox_conv.norm"),
        Rule(rf"{_HEAD}vfnet_reg_refine_dconv\.weight", "head.bbox_star.weight", remedy=_SAME),
        Rule(rf"{_HEAD}vfnet_cls_dconv\.weight", "head.cls_star.weight", remedy=_SAME),
        Rule(rf"{_HEAD}vfnet_reg_refine\.{_KIND}", "head.bbox_factor.{kind}", remedy=_SAME),
    ]
