"""A small PAA for 128 px images that trains from scratch on a CPU in minutes."""

from detectron2.config import LazyCall as L

from rankdet.modeling.dense.candidates import Locations
from rankdet.modeling.dense.paa import PAAAssigner
from rankdet.modeling.dense.paa_division import UpToLikeliest
from rankdet.modeling.dense.paa_voting import ScoreVoting
from rankdet.modeling.dense.quality import PredictedIoU

from .atss_r18_fpn import model

model.assigner = L(PAAAssigner)(
    num_classes="${..num_classes}",
    box2box_transform="${..box2box_transform}",
    num_candidates=9,
    iou_threshold=0.1,
    division=L(UpToLikeliest)(regularization=1e-6),
)
model.loss.box_weight = 1.3
model.quality = L(PredictedIoU)(loss_weight=0.5)
model.candidates = L(Locations)()
model.box_voting = L(ScoreVoting)(sigma=0.025)
