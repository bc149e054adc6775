"""LVIS v0.5 with repeat factor sampling (threshold 1e-3) and multi-scale training."""

from .lvis_v1 import dataloader

dataloader.train.dataset.names = "lvis_v0.5_train"
dataloader.test.dataset.names = "lvis_v0.5_val"
