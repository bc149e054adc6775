"""COCO 2017 at the single scale of the ranking-loss papers, 1333 x 800."""

from detectron2 import model_zoo

dataloader = model_zoo.get_config("common/data/coco.py").dataloader
dataloader.train.mapper.image_format = "RGB"
dataloader.train.mapper.augmentations[0].short_edge_length = [800]
dataloader.evaluator.output_dir = "${train.output_dir}/inference"
