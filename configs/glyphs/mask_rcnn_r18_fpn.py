"""Mask R-CNN with softmax cross-entropy on glyphs: the quick start's baseline."""

from detectron2.config import LazyCall as L

from rankdet.engine.hooks import GradientClippingHook

from ..common.data.glyphs import dataloader
from ..common.glyphs_schedule import lr_multiplier, schedule
from ..common.models.mask_rcnn_r18_fpn import model
from ..common.optim import AdamW as optimizer
from ..common.train import hooks, train

train.update(output_dir="output/glyphs/mask_rcnn_r18_fpn", eval_period=0, **schedule)
train.checkpointer.period = 400
hooks.gradient_clipping = L(GradientClippingHook)(max_norm=5.0)
