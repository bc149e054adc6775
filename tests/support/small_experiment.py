"""Experiments of LVIS, COCO and Cityscapes at a size that trains and evaluates in seconds."""

from pathlib import Path

from omegaconf import DictConfig

from rankdet.engine.config import load_config

ROOT = Path(__file__).parents[2] / "configs"
AUGMENTATIONS = "dataloader.train.mapper.augmentations"
SHORT_EDGE = f"{AUGMENTATIONS}.0.short_edge_length=[64]"

_SMALL = (
    "train.device=cpu",
    "train.max_iter=1",
    "train.init_checkpoint=''",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "dataloader.test.num_workers=0",
    "dataloader.test.mapper.augmentations.0.short_edge_length=64",
)


def small_experiment(path: Path, folder: Path, *overrides: str) -> DictConfig:
    """The experiment of one iteration with few proposals and detections, results in ``folder``.

    Masks of all detections would take most of the time.
    """
    cfg = load_config(str(path), [*_SMALL, f"train.output_dir={folder}", *overrides])
    if "query_selection" in cfg.model:
        cfg.model.max_detections_per_image = 5
        if "heads" in cfg.model:
            cfg.model.heads.rcnn.proposal_generator.post_nms_topk = [40, 20]
        return cfg
    if "roi_heads" not in cfg.model:
        cfg.model.update(test_score_thresh=0.0, test_topk_candidates=5, max_detections_per_image=5)
        return cfg
    cfg.model.proposal_generator.post_nms_topk = [40, 20]
    heads = cfg.model.roi_heads
    for predictor in heads.get("box_predictors") or [heads.box_predictor]:
        predictor.test_topk_per_image = 5
    return cfg
