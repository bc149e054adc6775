"""LVIS v1 with repeat factor sampling (threshold 1e-3) and multi-scale training."""

from detectron2 import model_zoo
from detectron2.config import LazyCall as L

from rankdet.evaluation.rankdet_evaluation import RankdetEvaluator

from .repeat_factors import mmdetection_sampler

dataloader = model_zoo.get_config("common/data/coco.py").dataloader
dataloader.train.mapper.image_format = "RGB"
dataloader.train.dataset.names = "lvis_v1_train"
dataloader.train.sampler = mmdetection_sampler
dataloader.test.dataset.names = "lvis_v1_val"
dataloader.evaluator = L(RankdetEvaluator)(
    dataset_name="${..test.dataset.names}",
    output_dir="${train.output_dir}/inference",
    max_dets_per_image=300,
)
