"""What rankdet 0.1 called otherwise: hints for its configs, checkpoints and users."""

import re

_PREFIX = "rankdet."
_NAMES = {
    "modeling.ranking_box_predictor": "modeling.box_predictor.BoxPredictor",
    "modeling.ranking_rpn": "modeling.rpn.LossRPN",
    "modeling.ranking_roi_heads.RankingCascadeROIHeads": (
        "modeling.unsampled_roi_heads.UnsampledCascadeROIHeads"
    ),
    "modeling.ranking_roi_heads": "modeling.unsampled_roi_heads.UnsampledROIHeads",
    "modeling.dice_mask_head": "modeling.mask_head.DiceMaskHead",
    "modeling.targets.box_quality": "modeling.box_losses.GIoUBoxLoss",
    "modeling.targets": "modeling.box_predictor",
    "modeling.dense.assignment.Targets": "modeling.dense.assignment.AnchorTargets",
    "modeling.dense.assignment.Foreground": "modeling.dense.assignment.Positives",
    "modeling.dense.box_losses": "modeling.box_losses",
    "modeling.dense.mixture": "modeling.dense.gaussian_mixture",
    "modeling.dense.voting": "modeling.dense.paa_voting",
    "losses.soft_targets.SoftTargetSoftmaxLoss": "losses.SoftmaxCrossEntropyLoss",
    "losses.soft_targets.SoftTargetSeesawLoss": "losses.SeesawLoss",
    "losses.soft_targets.SoftTargetEQLv2Loss": "losses.EQLv2Loss",
    "losses.soft_targets": "losses.base.SoftTargetLoss",
    "losses.classification": "losses.base",
    "losses.joint": "losses.base",
    "losses.dense": "losses.focal",
    "losses.dense_ecm": "losses.ecm_surrogate",
    "losses.calibration": "modeling.calibration",
    "losses.bounds": "evaluation.ranking_theory",
    "evaluation.what_if": "evaluation.fixed_errors",
    "evaluation.detection_evaluation": "evaluation.rankdet_evaluation",
    "evaluation.detection_matches": "evaluation.matching",
    "evaluation.lvis_evaluation": 'evaluation.RankdetEvaluator(metrics=("ap",))',
    "evaluation.lrp_evaluation": 'evaluation.RankdetEvaluator(metrics=("lrp",))',
    "evaluation.score_calibration": "evaluation.reliability",
    "evaluation.class_groups": "data.frequency_groups",
    "engine.train": "engine.training",
    "engine.launch": "engine.launcher",
}
_ARGUMENTS = {
    "box_reg_loss_type": "box_loss, a part of rankdet.modeling.box_losses",
    "smooth_l1_beta": "box_loss, a part of rankdet.modeling.box_losses",
    "num_steps": "not needed, because the head tells its loss the number of steps",
    "updates_every_step": "gone: the matrix is updated once per iteration",
    "sync_counts": "gone: counts are those of all processes",
    "background_in_soft_part": "gone: the soft part is the paper's",
    "weighs_mixed_targets": "gone: weights are the paper's",
    "has_factors_of_label": "gone: factors are the paper's",
}
_WEIGHTS = (".attention.", ".num_calls", ".last_terms")


def hint_of_name(text: str) -> str:
    """What a name of rankdet 0.1 in a text is now, as the end of a sentence; empty: no such name.

    Args:
        text: a dotted name, or a message that holds one.
    """
    for old, new in _NAMES.items():
        # A whole name: engine.train is also how engine.training begins.
        if re.search(rf"{re.escape(_PREFIX + old)}\b", text):
            return _ending(_PREFIX + old, _PREFIX + new)
    return ""


def hint_of_argument(message: str) -> str:
    """What an argument of rankdet 0.1 is now, as the end of a sentence; empty: no such argument.

    Args:
        message: of the TypeError that an unknown argument raises.
    """
    for old, new in _ARGUMENTS.items():
        if f"unexpected keyword argument '{old}'" in message:
            return _ending(old, new)
    return ""


def hint_of_key(key: str) -> str:
    """What a key of a config of rankdet 0.1 is now, as the end of a sentence; else empty."""
    return _ending(key, _ARGUMENTS[key]) if key in _ARGUMENTS else ""


def hint_of_weight(name: str) -> str:
    """Why a weight is missing or unknown if rankdet 0.1 has written the checkpoint; else empty."""
    if not any(part in name for part in _WEIGHTS):
        return ""
    return (
        "; it seems to be of rankdet 0.1, which named weights otherwise (CHANGELOG.md lists all "
        "changes): train the model again, or use rankdet 0.1"
    )


def _ending(old: str, new: str) -> str:
    return f" (since rankdet 0.2, {old} is {new}; CHANGELOG.md lists all changes)"
