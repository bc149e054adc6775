"""Transformer detectors whose transformer, matching and losses are injected.

Letters used in this package: B images, D channels, L levels, S tokens of all levels, Q queries,
G layers whose predictions are penalized, C classes, K logits of a query.

Boxes are center x, center y, width and height in shares of an image's own size, without padding,
unless pixels are said.
"""

from rankdet.modeling.detr.attention import DeformableAttention
from rankdet.modeling.detr.auxiliary_queries import AuxiliaryPositives, AuxiliaryQueries
from rankdet.modeling.detr.co_detr import CoDETR
from rankdet.modeling.detr.collaborative_heads import (
    CollaborativeATSS,
    CollaborativeHead,
    CollaborativeHeads,
    CollaborativeRCNN,
)
from rankdet.modeling.detr.decoder import BoxHead, Decoder, DecoderLayer
from rankdet.modeling.detr.detector import DeformableDETR
from rankdet.modeling.detr.encoder import Encoder, EncoderLayer
from rankdet.modeling.detr.maps import Memory, padding_masks
from rankdet.modeling.detr.matching import HungarianMatcher
from rankdet.modeling.detr.neck import ChannelMapper
from rankdet.modeling.detr.positions import SinePositionEncoding, box_code
from rankdet.modeling.detr.queries import Predictions, Queries
from rankdet.modeling.detr.query_loss import QueryLoss, QueryTargets, targets_of_queries
from rankdet.modeling.detr.query_selection import QuerySelection, Selection

__all__ = [
    "AuxiliaryPositives",
    "AuxiliaryQueries",
    "BoxHead",
    "ChannelMapper",
    "CoDETR",
    "CollaborativeATSS",
    "CollaborativeHead",
    "CollaborativeHeads",
    "CollaborativeRCNN",
    "Decoder",
    "DecoderLayer",
    "DeformableAttention",
    "DeformableDETR",
    "Encoder",
    "EncoderLayer",
    "HungarianMatcher",
    "Memory",
    "Predictions",
    "Queries",
    "QueryLoss",
    "QuerySelection",
    "QueryTargets",
    "Selection",
    "SinePositionEncoding",
    "box_code",
    "padding_masks",
    "targets_of_queries",
]
