"""Mask R-CNN with softmax cross-entropy on ten glyphs: a whole run in about a minute."""

from .mask_rcnn_r18_fpn import dataloader, hooks, lr_multiplier, model, optimizer, train

for stage in model.backbone.bottom_up.stages:
    stage.update(num_blocks=1, stride_per_block=stage.stride_per_block[:1])
model.roi_heads.num_classes = 10
dataloader.train.dataset.names = "glyphs_smoke_train"
dataloader.test.dataset.names = "glyphs_smoke_val"
optimizer.lr = 2e-3
lr_multiplier.warmup_length = 0.1
train.update(output_dir="output/glyphs/mask_rcnn_smoke", max_iter=300)
