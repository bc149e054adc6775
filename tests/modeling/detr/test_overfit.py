"""Every transformer detector of the glyphs experiments learns four images by heart."""

from pathlib import Path

import pytest
from support.overfit import NUM_CLASSES, overfit

from rankdet.engine.config import load_config

GLYPHS = Path(__file__).parents[3] / "configs/glyphs"
DETECTORS = sorted(GLYPHS.glob("*detr*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", DETECTORS, ids=lambda path: path.stem)
def test_ap50_of_four_images(path):
    cfg = load_config(str(path), [f"model.num_classes={NUM_CLASSES}"])
    assert overfit(cfg.model, iterations=100, lr=2e-3) > 0.9
