"""Make the golden files of the one-stage detectors, from slow references alone.

    python tests/golden/make_dense.py

Each file holds inputs and what the rules make of them. Run it only if a rule is meant to change:
then say so in the commit. Nothing here calls rankdet.
"""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from detectron2.structures import Boxes, Instances  # noqa: E402
from golden.slow_heads import slow_dense_head, slow_varifocal_head  # noqa: E402
from golden.slow_rules import (  # noqa: E402
    SlowDeltas,
    SlowDistances,
    slow_centers,
    slow_ious,
)
from modeling.dense.slow_assigners import slow_atss, slow_paa  # noqa: E402
from modeling.dense.slow_division import (  # noqa: E402
    slow_low_up_to_likeliest,
    slow_up_to_likeliest,
)
from modeling.dense.slow_inference import slow_detections  # noqa: E402

STRIDES, SIZE, NUM_CLASSES = (8, 16, 32), 64, 3
CHANNELS, HEAD_SIZES, HEAD_STRIDES = 3, ((4, 3), (2, 2)), (8, 16)
DETECTORS = {  # code of boxes, quality, locations, voting
    "retinanet": (SlowDeltas, False, False, None),
    "atss": (SlowDeltas, True, False, None),
    "fcos": (SlowDistances, True, False, None),
    "paa": (SlowDeltas, True, True, 0.025),
    "varifocalnet": (SlowDistances, False, False, None),
}
THRESHOLDS, NUMBERS, IMAGE = (0.2, 0.6), (20, 12), (56, 60)

Arrays = dict[str, np.ndarray]


def anchors_of(size_in_strides: int) -> list[np.ndarray]:
    """By level, squares around the middles of the cells."""
    levels = []
    for stride in STRIDES:
        steps = np.arange(stride / 2, SIZE, stride)
        centers = np.array([(x, y) for y in steps for x in steps])
        half = size_in_strides * stride / 2
        levels.append(np.concatenate([centers - half, centers + half], axis=1))
    return levels


def assigners() -> Arrays:
    """Objects, predictions, and the object of each anchor by each rule (-1: none, -2: ignored)."""
    random = np.random.RandomState(13)
    corners, sides = random.randint(0, 50, (9, 2)), random.randint(3, 45, (9, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype("float32")
    logits = random.randn(84, NUM_CLASSES).astype("float32")
    deltas = random.randn(84, 4).astype("float32")
    classes = random.randint(0, NUM_CLASSES, 9)
    levels = [Boxes(torch.tensor(x, dtype=torch.float32)) for x in anchors_of(4)]
    gt = Instances(
        (SIZE, SIZE), gt_boxes=Boxes(torch.tensor(boxes)), gt_classes=torch.tensor(classes)
    )
    predictions = torch.tensor(logits), torch.tensor(deltas)
    flat = Boxes.cat(levels).tensor.tolist()
    return {
        "boxes": boxes,
        "classes": classes,
        "logits": logits,
        "deltas": deltas,
        "iou": np.array(slow_ious(flat, boxes.tolist(), gives_best=False)),
        "iou_released": np.array(slow_ious(flat, boxes.tolist(), gives_best=True)),
        "center": np.array(slow_centers(anchors_of(1), STRIDES, boxes.tolist())),
        "atss": np.array(slow_atss(levels, gt.gt_boxes)),
        "paa": np.array(slow_paa(levels, gt, *predictions, 9, 0.1, slow_up_to_likeliest)),
        "paa_released": np.array(
            slow_paa(levels, gt, *predictions, 9, 0.1, slow_low_up_to_likeliest)
        ),
    }


def heads() -> Arrays:
    """Weights and features of two levels, and the outputs of each head."""
    random = np.random.RandomState(5)
    conv = {
        "cls_subnet.0": (CHANNELS, CHANNELS),
        "bbox_subnet.0": (CHANNELS, CHANNELS),
        "bbox_conv": (CHANNELS, CHANNELS),
        "cls_score": (NUM_CLASSES, CHANNELS),
        "bbox_pred": (4, CHANNELS),
        "ctrness": (1, CHANNELS),
        "bbox_factor": (4, CHANNELS),
        "bbox_star": (CHANNELS, CHANNELS),
        "cls_star": (CHANNELS, CHANNELS),
    }
    weights: Arrays = {"scales": np.array([0.8, 1.3]), "factor_scales": np.array([1.1, 0.7])}
    for name, shape in conv.items():
        weights[f"{name}.weight"] = 0.3 * random.randn(*shape, 3, 3)
        if not name.endswith("star"):
            weights[f"{name}.bias"] = 0.3 * random.randn(shape[0])
    arrays = {name: x.astype("float32") for name, x in weights.items()}
    for level, size in enumerate(HEAD_SIZES):
        feature = random.randn(CHANNELS, *size).astype("float32")
        arrays[f"feature{level}"] = feature
        for branch in (None, "bbox", "cls"):
            outputs = slow_dense_head(weights, feature, level, branch)
            for number, output in enumerate(outputs):
                arrays[f"{branch or 'plain'}.{number}.{level}"] = output
        outputs = slow_varifocal_head(weights, feature, level, HEAD_STRIDES[level])
        for number, output in enumerate(outputs):
            arrays[f"varifocal.{number}.{level}"] = output
    return arrays


def inference() -> Arrays:
    """Predictions of one image, and the detections of each detector: score, class, box."""
    random = np.random.RandomState(3)
    arrays: Arrays = {}
    for level, stride in enumerate(STRIDES):
        cells = (SIZE // stride) ** 2
        arrays[f"logits{level}"] = (1.5 * random.randn(cells, NUM_CLASSES) - 1.5).astype("float32")
        arrays[f"deltas{level}"] = random.randn(cells, 4).astype("float32")
        arrays[f"quality{level}"] = random.randn(cells).astype("float32")
    for name, (code, has_quality, by_location, sigma) in DETECTORS.items():
        levels = []
        for level, anchors in enumerate(anchors_of(4 if code is SlowDeltas else 1)):
            logits, deltas, quality = (
                torch.tensor(arrays[f"{key}{level}"]) for key in ("logits", "deltas", "quality")
            )
            deltas = deltas if code is SlowDeltas else deltas + 2
            levels.append((torch.tensor(anchors), logits, deltas, quality if has_quality else None))
        found = slow_detections(
            levels,
            IMAGE,
            code(),
            by_location=by_location,
            thresholds=THRESHOLDS,
            numbers=NUMBERS,
            sigma=sigma,
        )
        arrays[name] = np.array([[score, label, *box] for score, label, box in found])
    return arrays


FILES = {
    "dense_assigners.npz": assigners,
    "dense_heads.npz": heads,
    "dense_inference.npz": inference,
}


if __name__ == "__main__":
    for file, make in FILES.items():
        np.savez_compressed(HERE / file, **make())
        print(f"{file}: {(HERE / file).stat().st_size} bytes")
