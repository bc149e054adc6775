"""Losses as pure tensor functions with thin modules; importable with torch alone.

Letters used in this package: N samples (proposals), C foreground classes. ``logits`` are real
numbers, ``labels`` are int64 in [0, C] where C is background.
"""

from rankdet.losses._distributed import positives_per_rank
from rankdet.losses._inputs import IGNORED
from rankdet.losses.alrp import ALRPLoss, ALRPLosses, alrp_loss
from rankdet.losses.ap import APLoss, ap_loss
from rankdet.losses.base import (
    ClassificationLoss,
    HeadLoss,
    JointLoss,
    SoftTargetLoss,
    independent_scores,
)
from rankdet.losses.confusion import PairwiseConfusion, pairwise_bias, posterior
from rankdet.losses.dice import dice_losses
from rankdet.losses.ecm import ECMLoss, class_margins, ecm_loss
from rankdet.losses.ecm_surrogate import ECMSurrogate
from rankdet.losses.epochs import EpochLoss
from rankdet.losses.eql import EQLLoss, EQLv2Loss, eql_loss
from rankdet.losses.federated import FederatedLoss, federated_loss
from rankdet.losses.focal import FocalLoss, QualityFocalLoss, VarifocalLoss
from rankdet.losses.label_smoothing import LabelSmoothingLoss, OnlineLabelSmoothingLoss
from rankdet.losses.ndcg import NDCGLoss, ndcg_loss
from rankdet.losses.pcb import PCBLoss
from rankdet.losses.rank_sort import RankSortLoss, RankSortLosses, rank_sort_loss
from rankdet.losses.ranking import RankingLoss
from rankdet.losses.seesaw import SeesawLoss, SeesawTerms, seesaw_loss
from rankdet.losses.sigmoid import SigmoidBCELoss, sigmoid_bce_loss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss, softmax_cross_entropy

__all__ = [
    "IGNORED",
    "ALRPLoss",
    "ALRPLosses",
    "APLoss",
    "ClassificationLoss",
    "ECMLoss",
    "ECMSurrogate",
    "EQLLoss",
    "EQLv2Loss",
    "EpochLoss",
    "FederatedLoss",
    "FocalLoss",
    "HeadLoss",
    "JointLoss",
    "LabelSmoothingLoss",
    "NDCGLoss",
    "OnlineLabelSmoothingLoss",
    "PCBLoss",
    "PairwiseConfusion",
    "QualityFocalLoss",
    "RankSortLoss",
    "RankSortLosses",
    "RankingLoss",
    "SeesawLoss",
    "SeesawTerms",
    "SigmoidBCELoss",
    "SoftTargetLoss",
    "SoftmaxCrossEntropyLoss",
    "VarifocalLoss",
    "alrp_loss",
    "ap_loss",
    "class_margins",
    "dice_losses",
    "ecm_loss",
    "eql_loss",
    "federated_loss",
    "independent_scores",
    "ndcg_loss",
    "pairwise_bias",
    "positives_per_rank",
    "posterior",
    "rank_sort_loss",
    "seesaw_loss",
    "sigmoid_bce_loss",
    "softmax_cross_entropy",
]
