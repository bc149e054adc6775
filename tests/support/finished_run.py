"""Writes the folder of a finished run, with detections made up from the annotations."""

import json
import random
from copy import deepcopy
from functools import lru_cache

from detectron2.config import LazyConfig
from support.smoke_run import smoke_config

from rankdet.data.annotation_file import read_annotations
from rankdet.data.class_stats import annotation_path, ensure_dataset

DATASET = "glyphs_smoke_val"
LOG = """\
[11/21 13:07:15] detectron2 INFO: Environment info:
-----------------  ----------------------------------------
Python             3.11.7 (main, May  9 2026, 07:35:25) [GCC 12.2.0]
numpy              2.4.6
detectron2         0.6 @/lib/detectron2
PyTorch            2.11.0+cu130 @/lib/torch
GPU 0,1            NVIDIA H200 (arch=9.0)
-----------------  ----------------------------------------
[11/21 13:07:16] rankdet.engine.provenance INFO: Provenance: {"version": "0.1.0", \
"commit": "0123456789abcdef", "has_local_changes": true, \
"started": "2026-11-21T13:07:15+00:00", "cpu": "AMD EPYC", "num_cpus": 2, "num_threads": 1, \
"num_processes": 1}
[11/21 13:14:32] d2.evaluation.evaluator INFO: Total inference time: 0:02:37.300374 (5.0 s / iter)
"""


def write_run(folder, seed=0, overrides=(), results=None, predictions=None):
    """A run of the demo's experiment; without detections if ``predictions`` is empty."""
    (folder / "inference").mkdir(parents=True)
    config = LazyConfig.apply_overrides(deepcopy(experiment()), [f"train.seed={seed}", *overrides])
    config.train.output_dir = str(folder)
    LazyConfig.save(config, str(folder / "config.yaml"))
    metrics = {"AP": 30.0 + seed, "APr": 10.0, "APc": None, "APf": 50.0 - seed}
    results = {"bbox": metrics} if results is None else results
    (folder / "results.json").write_text(json.dumps(results))
    lines = [
        {"iteration": i, "total_loss": 3.0 / (1 + i), "loss_cls": 1.0, "time": 0.5, "lr": 1e-3}
        for i in (1, 3, 5)
    ]
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "log.txt").write_text(LOG)
    predictions = make_predictions(seed) if predictions is None else predictions
    if predictions:
        path = folder / "inference" / "lvis_instances_results.json"
        path.write_text(json.dumps(predictions))
    return folder


@lru_cache
def experiment():
    """Loaded once for all runs."""
    return smoke_config("elsewhere")


@lru_cache
def annotations():
    """Those of the test set."""
    path = annotation_path(ensure_dataset(DATASET))
    return read_annotations(path, dataset_name=DATASET)


def make_predictions(seed):
    """Objects found, taken for another class, or missed."""
    rng = random.Random(seed)
    content = annotations()
    ids = [category["id"] for category in content["categories"]]
    return [
        {
            "image_id": one["image_id"],
            "category_id": rng.choice([one["category_id"], rng.choice(ids)]),
            "bbox": one["bbox"],
            "score": rng.random(),
        }
        for one in content["annotations"]
        if rng.random() < 0.8
    ]
