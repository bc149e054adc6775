"""Time of a training iteration with PCB against its base loss, in a head of one step."""

import argparse
from collections.abc import Sequence

from omegaconf import DictConfig
from tabulate import tabulate

from rankdet.engine.arguments import whole_number
from rankdet.engine.config import load_config
from rankdet.shipped_configs import configs_folder
from rankdet.tools.benchmark.interleaved import FORMATS, HEADERS, compare, load_batches
from rankdet.tools.benchmark.iteration import relabel

CONFIGS = configs_folder() / "glyphs"
METHODS = {"softmax": "pcb", "EQL v2": "eqlv2_pcb", "Seesaw": "seesaw_pcb"}


def main(argv: Sequence[str] | None = None) -> None:
    """Time the quick start's Mask R-CNN, with PCB active from the first iteration on.

    Args:
        argv: Options; None: the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rankdet.tools.benchmark pcb_iteration", description=__doc__
    )
    parser.add_argument("--iterations", type=whole_number(2), default=40, help="per loss")
    parser.add_argument("--classes", type=whole_number(1), default=1203)
    options = parser.parse_args(argv)
    rows = []
    for name, suffix in METHODS.items():
        experiments = _experiments(name, suffix, options.classes)
        batches = relabel(load_batches(experiments[name]), options.classes)
        rows += compare(experiments, batches, options.iterations)
    print(tabulate(rows, headers=("loss", *HEADERS), floatfmt=("", *FORMATS)))


def _experiments(name: str, suffix: str, num_classes: int) -> dict[str, DictConfig]:
    """The base loss, and PCB on it."""
    balanced = load_config(str(CONFIGS / f"mask_rcnn_r18_fpn_{suffix}.py"))
    heads = balanced.model.roi_heads
    heads.update(num_classes=num_classes, step_weights=[1.0])
    heads.box_predictor.loss.update(num_steps=1, start_epoch=0)
    base = balanced.copy()
    base.model.roi_heads.box_predictor.loss = heads.box_predictor.loss.base
    return {name: base, f"{name} + PCB": balanced}
