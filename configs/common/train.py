"""Training options of all experiments; unknown names are errors."""

import torch
from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from rankdet.engine.hooks import BackgroundRatioHook, EpochLengthHook

train = model_zoo.get_config("common/train.py").train
train.seed = 0
train.device = "cuda" if torch.cuda.is_available() else "cpu"
train.checkpointer.max_to_keep = 3
OmegaConf.set_struct(train, True)

# A dict, because LazyConfig keeps no lists; every value becomes a hook of the trainer.
hooks = dict(
    background_ratio=L(BackgroundRatioHook)(num_iterations=100),  # for ECM
    epoch_length=L(EpochLengthHook)(),  # for aLRP, PCB and online label smoothing
)
