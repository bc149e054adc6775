"""Every one-stage detector of the glyphs experiments learns four images by heart."""

from pathlib import Path

import pytest
from support.overfit import NUM_CLASSES, overfit

from rankdet.engine.config import load_config

GLYPHS = Path(__file__).parents[3] / "configs/glyphs"
DETECTORS = [path for path in sorted(GLYPHS.glob("*_r18_fpn.py")) if "rcnn" not in path.stem]


@pytest.mark.slow
@pytest.mark.parametrize("path", DETECTORS, ids=lambda path: path.stem)
def test_ap50_of_four_images(path):
    cfg = load_config(str(path), [f"model.num_classes={NUM_CLASSES}"])
    assert overfit(cfg.model, iterations=40, lr=2e-3) > 0.9
