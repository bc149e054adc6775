"""The smallest training that is still the demo's: its experiment on glyphs_smoke, batches of 2."""

from pathlib import Path

from detectron2.engine import HookBase
from omegaconf import DictConfig

from rankdet.engine.config import load_config

ROOT = Path(__file__).parents[1]
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


class AtIteration(HookBase):
    """Does something to the trainer before one of its iterations."""

    def __init__(self, iteration, action):
        self.iteration = iteration
        self.action = action

    def before_step(self):
        if self.trainer.iter == self.iteration:
            self.action(self.trainer)
