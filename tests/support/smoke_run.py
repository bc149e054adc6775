"""The smallest training that is still the demo's: its experiment on glyphs_smoke, batches of 2."""

from pathlib import Path

import torch
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from detectron2.engine import HookBase
from omegaconf import DictConfig

from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.config import load_config
from rankdet.engine.training import build_model
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs/glyphs/mask_rcnn_r18_fpn_ecm.py")
ANY_DETECTOR = (
    "train.device=cpu",
    "train.max_iter=6",
    "train.log_period=2",
    "train.checkpointer.period=3",
    "dataloader.train.dataset.names=glyphs_smoke_train",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "dataloader.test.dataset.names=glyphs_smoke_val",
    "dataloader.test.num_workers=0",
)
OVERRIDES = (
    *ANY_DETECTOR,
    "model.roi_heads.num_classes=10",
    "model.roi_heads.box_predictor.test_topk_per_image=2",
)
ONE_STAGE_OVERRIDES = (
    *ANY_DETECTOR,
    "model.num_classes=10",
    "model.max_detections_per_image=2",
)


def smoke_config(folder: Path, *overrides: str) -> DictConfig:
    """The experiment, with its results in ``folder``."""
    return load_config(CONFIG, [*OVERRIDES, f"train.output_dir={folder}", *overrides])


def save_untrained_run(folder: Path) -> Path:
    """A run of a softmax model that ended before it has learned anything."""
    cfg = smoke_config(folder)
    predictor = cfg.model.roi_heads.box_predictor
    predictor.update(loss=L(SoftmaxCrossEntropyLoss)(num_classes=10), prior_prob=None)
    # An RPN that knows nothing needs many tries to find an object.
    rpn = cfg.model.proposal_generator
    rpn.update(nms_thresh=0.95, pre_nms_topk=(300, 1000), post_nms_topk=(100, 300))
    torch.manual_seed(0)
    model = build_model(cfg)
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.002)
    Checkpointer(model, str(folder)).save("model_final")
    LazyConfig.save(cfg, str(folder / "config.yaml"))
    return folder


class AtIteration(HookBase):
    """Does something to the trainer before one of its iterations."""

    def __init__(self, iteration, action):
        self.iteration = iteration
        self.action = action

    def before_step(self):
        if self.trainer.iter == self.iteration:
            self.action(self.trainer)
