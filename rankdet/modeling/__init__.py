"""Heads and predictors for Detectron2 models whose losses are injected."""

from rankdet.environment import check_environment

check_environment()

# The imports below need the environment that the line above has just checked.
from rankdet.modeling.backbone import (  # noqa: E402
    FixedStatisticsBatchNorm2d,
    StochasticDepthSwin,
    XavierFPN,
)
from rankdet.modeling.box_head import XavierBoxHead  # noqa: E402
from rankdet.modeling.box_losses import (  # noqa: E402
    BoxLoss,
    GIoUBoxLoss,
    L1BoxLoss,
    SmoothL1BoxLoss,
)
from rankdet.modeling.box_predictor import BoxPredictor  # noqa: E402
from rankdet.modeling.calibration import (  # noqa: E402
    Calibration,
    ConfusionCalibration,
    ConfusionStatistics,
    MeanScoreCalibration,
    NorCal,
)
from rankdet.modeling.cascade_heads import CascadeHeads  # noqa: E402
from rankdet.modeling.dense.assignment import (  # noqa: E402
    AnchorTargets,
    Assigner,
    CenterAssigner,
    IoUAssigner,
    OnImageAssigner,
)
from rankdet.modeling.dense.atss import ATSSAssigner  # noqa: E402
from rankdet.modeling.dense.candidates import Candidates, Locations, Pairs  # noqa: E402
from rankdet.modeling.dense.dense_head import (  # noqa: E402
    ClassQualityHead,
    QualityHead,
    ScaledHead,
)
from rankdet.modeling.dense.detector import OneStageDetector  # noqa: E402
from rankdet.modeling.dense.distances import ExponentialDistances  # noqa: E402
from rankdet.modeling.dense.paa import PAAAssigner  # noqa: E402
from rankdet.modeling.dense.paa_division import (  # noqa: E402
    LowUpToLikeliest,
    UpToLikeliest,
)
from rankdet.modeling.dense.paa_voting import ScoreVoting  # noqa: E402
from rankdet.modeling.dense.quality import Centerness, PredictedIoU, Quality  # noqa: E402
from rankdet.modeling.dense.top_block import PlainP6P7  # noqa: E402
from rankdet.modeling.dense.varifocal_head import VarifocalHead  # noqa: E402
from rankdet.modeling.dense.varifocal_net import VarifocalNet  # noqa: E402
from rankdet.modeling.detr import (  # noqa: E402
    AuxiliaryPositives,
    AuxiliaryQueries,
    BoxHead,
    ChannelMapper,
    CoDETR,
    CollaborativeATSS,
    CollaborativeHeads,
    CollaborativeRCNN,
    Decoder,
    DecoderLayer,
    DeformableAttention,
    DeformableDETR,
    Encoder,
    EncoderLayer,
    HungarianMatcher,
    QueryLoss,
    QuerySelection,
    SinePositionEncoding,
)
from rankdet.modeling.detr.collaborative_heads import CollaborativeHead  # noqa: E402
from rankdet.modeling.iterative_head import (  # noqa: E402
    DeepSupervision,
    IterativeROIHeads,
    PredictionAttention,
)
from rankdet.modeling.mask_head import DiceMaskHead, MaskHead  # noqa: E402
from rankdet.modeling.matching import BestAnchorMatcher  # noqa: E402
from rankdet.modeling.normed_layers import NormedConv2d, NormedLinear  # noqa: E402
from rankdet.modeling.rpn import LossRPN  # noqa: E402
from rankdet.modeling.unsampled_roi_heads import (  # noqa: E402
    UnsampledCascadeROIHeads,
    UnsampledROIHeads,
)

__all__ = [
    "ATSSAssigner",
    "AnchorTargets",
    "Assigner",
    "AuxiliaryPositives",
    "AuxiliaryQueries",
    "BestAnchorMatcher",
    "BoxHead",
    "BoxLoss",
    "BoxPredictor",
    "Calibration",
    "Candidates",
    "CascadeHeads",
    "CenterAssigner",
    "Centerness",
    "ChannelMapper",
    "ClassQualityHead",
    "CoDETR",
    "CollaborativeATSS",
    "CollaborativeHead",
    "CollaborativeHeads",
    "CollaborativeRCNN",
    "ConfusionCalibration",
    "ConfusionStatistics",
    "Decoder",
    "DecoderLayer",
    "DeepSupervision",
    "DeformableAttention",
    "DeformableDETR",
    "DiceMaskHead",
    "Encoder",
    "EncoderLayer",
    "ExponentialDistances",
    "FixedStatisticsBatchNorm2d",
    "GIoUBoxLoss",
    "HungarianMatcher",
    "IoUAssigner",
    "IterativeROIHeads",
    "L1BoxLoss",
    "Locations",
    "LossRPN",
    "LowUpToLikeliest",
    "MaskHead",
    "MeanScoreCalibration",
    "NorCal",
    "NormedConv2d",
    "NormedLinear",
    "OnImageAssigner",
    "OneStageDetector",
    "PAAAssigner",
    "Pairs",
    "PlainP6P7",
    "PredictedIoU",
    "PredictionAttention",
    "Quality",
    "QualityHead",
    "QueryLoss",
    "QuerySelection",
    "ScaledHead",
    "ScoreVoting",
    "SinePositionEncoding",
    "SmoothL1BoxLoss",
    "StochasticDepthSwin",
    "UnsampledCascadeROIHeads",
    "UnsampledROIHeads",
    "UpToLikeliest",
    "VarifocalHead",
    "VarifocalNet",
    "XavierBoxHead",
    "XavierFPN",
]
