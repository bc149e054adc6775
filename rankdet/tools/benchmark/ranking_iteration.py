"""Time of a training iteration of Faster R-CNN with each ranking loss against softmax CE."""

import argparse
from collections.abc import Sequence

from omegaconf import DictConfig
from tabulate import tabulate

from rankdet.engine.arguments import whole_number
from rankdet.engine.config import load_config
from rankdet.shipped_configs import configs_folder
from rankdet.tools.benchmark.interleaved import FORMATS, HEADERS, compare, load_batches

CONFIGS = configs_folder() / "glyphs"
RANKING = {"AP": "ap", "BAP": "bap", "aLRP": "alrp", "NDCG": "ndcg", "RS": "rs", "BRS": "brs"}
ALL_PROPOSALS = 10**6


def main(argv: Sequence[str] | None = None) -> None:
    """Time the quick start's Faster R-CNN; all losses get all proposals of the same RPN settings.

    Args:
        argv: Options; None: the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rankdet.tools.benchmark ranking_iteration", description=__doc__
    )
    parser.add_argument("--iterations", type=whole_number(2), default=60, help="per loss")
    options = parser.parse_args(argv)
    experiments = _experiments()
    batches = load_batches(experiments["softmax CE"])
    rows = compare(experiments, batches, options.iterations)
    print(tabulate(rows, headers=("loss", *HEADERS), floatfmt=("", *FORMATS)))


def _experiments() -> dict[str, DictConfig]:
    baseline = load_config(str(CONFIGS / "faster_rcnn_r18_fpn.py"))
    baseline.model.roi_heads.batch_size_per_image = ALL_PROPOSALS
    ranking = {
        name: load_config(str(CONFIGS / f"faster_rcnn_r18_fpn_{suffix}.py"))
        for name, suffix in RANKING.items()
    }
    return {"softmax CE": baseline, **ranking}
