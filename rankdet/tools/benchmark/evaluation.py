"""Scores detections by the rules of LVIS: time and memory, against the lvis package."""

import logging
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from rankdet.data.annotation_checks import Record
from rankdet.engine.arguments import whole_number
from rankdet.evaluation.lvis_scoring import score_lvis
from rankdet.tools.benchmark.lvis_like_data import federated_annotations, random_detections
from rankdet.tools.benchmark.timing import machine
from rankdet.tools.command_line import tool_parser


class Measurement(NamedTuple):
    """What scoring one task took, in a process of its own."""

    ap: float
    """Per cent."""
    seconds: float
    gb_before: float
    """Peak memory of the process before it began to score: imports, annotations and detections."""
    gb_peak: float


Scorer = Callable[[Record, Sequence[Record], str], float]
"""Gives the AP of (annotations, detections, task)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each scorer in a process of its own, and print the figures."""
    parser = tool_parser("benchmark evaluation", __doc__)
    add = partial(parser.add_argument, type=whole_number(1), help="default: %(default)d")
    add("--images", default=2_000, help="for the comparison with lvis; default: %(default)d")
    add("--full-images", default=20_000, help="scored by rankdet alone; default: %(default)d")
    add("--detections", default=300, help="per image; default: %(default)d")
    parser.add_argument("--task", choices=("bbox", "segm"), default="bbox")
    options = parser.parse_args(arguments)
    print(machine())
    measured = {
        (name, num_images): measure(scorer, num_images, options.detections, options.task)
        for name, scorer, num_images in (
            ("lvis", lvis_ap, options.images),
            ("rankdet", rankdet_ap, options.images),
            ("rankdet", rankdet_ap, options.full_images),
            ("rankdet, Fixed AP", fixed_ap, options.full_images),
        )
    }
    headers = ("", "images", "AP", "seconds", "GB before", "GB peak")
    rows = [(*key, *measurement) for key, measurement in measured.items()]
    print(tabulate(rows, headers=headers, floatfmt=("", "", ".6f", ".1f", ".2f", ".2f")))
    slow, fast = (measured[name, options.images] for name in ("lvis", "rankdet"))
    print(f"lvis takes {slow.seconds / fast.seconds:.1f} times as long; ", end="")
    print(f"the APs differ by {abs(slow.ap - fast.ap):.0e}.")


def measure(scorer: Scorer, num_images: int, num_per_image: int, task: str) -> Measurement:
    """Score random detections in a new process, whose peak memory nothing else has touched.

    Args:
        scorer: what to measure.
        num_images: number of images.
        num_per_image: detections of each.
        task: "bbox" or "segm".
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure_here, scorer, num_images, num_per_image, task).result()


def _measure_here(scorer: Scorer, num_images: int, num_per_image: int, task: str) -> Measurement:
    rng = np.random.default_rng(0)
    content = federated_annotations(num_images, rng)
    results = random_detections(content, num_per_image, task, rng)
    gb_before = _peak_gb()
    start = time.perf_counter()
    ap = scorer(content, results, task)
    return Measurement(ap, time.perf_counter() - start, gb_before, _peak_gb())


def rankdet_ap(content: Record, results: Sequence[Record], task: str) -> float:
    """AP by rankdet."""
    return score_lvis(content, results, task).metrics["AP"]


def fixed_ap(content: Record, results: Sequence[Record], task: str) -> float:
    """Fixed AP by rankdet."""
    scores = score_lvis(content, results, task, max_dets_per_image=None, max_dets_per_class=10_000)
    return scores.metrics["AP"]


def lvis_ap(content: Record, results: Sequence[Record], task: str) -> float:
    """AP by the lvis package, which changes what it is given."""
    import lvis.eval

    # lvis 0.5.3 uses np.float, which NumPy 1.24 dropped.
    lvis.eval.np = SimpleNamespace(**vars(np), float=float)
    ground_truth = lvis.LVIS.__new__(lvis.LVIS)
    ground_truth.dataset, ground_truth.logger = content, logging.getLogger("lvis")
    ground_truth._create_index()
    dicts = list(results)
    if task == "segm":
        for result in dicts:
            del result["bbox"]  # else it would take the areas of the boxes
    evaluation = lvis.LVISEval(ground_truth, lvis.LVISResults(ground_truth, dicts), task)
    evaluation.run()
    return 100 * float(evaluation.results["AP"])


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # KiB
