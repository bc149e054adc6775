"""Perfect predictions for a data set, evaluated in one process or on two ranks."""

from functools import partial

import torch
from detectron2.data import DatasetCatalog
from detectron2.data.detection_utils import annotations_to_instances
from detectron2.structures import Instances
from support.two_ranks import run_two_trainers

from rankdet.evaluation import RankdetEvaluator, detection_table


def perfect_predictions(record, masks=True):
    """The objects of an image, each with a score of its own."""
    size = (record["height"], record["width"])
    annotations = [dict(annotation) for annotation in record["annotations"]]
    truth = annotations_to_instances(annotations, size, mask_format="bitmask")
    predictions = Instances(size, pred_boxes=truth.gt_boxes, pred_classes=truth.gt_classes)
    predictions.scores = torch.linspace(0.9, 0.5, len(truth))
    if masks:
        predictions.pred_masks = truth.gt_masks.tensor
    return predictions


def cut_predictions(record):
    """The same with boxes cut, more and more from image to image."""
    predictions = perfect_predictions(record)
    predictions.pred_boxes.tensor[:, 2] -= 2 * record["image_id"]
    return predictions


def evaluate(evaluator, predict, records):
    """Give an evaluator the predictions for these images, one at a time."""
    evaluator.reset()
    for record in records:
        evaluator.process([record], [{"instances": predict(record)}])
    return evaluator.evaluate()


def evaluate_rank(folder, rank):
    """Evaluate: rank 0 has one image, rank 1 all others; detections travel two at a time."""
    detection_table.DETECTIONS_PER_MESSAGE = 2
    records = DatasetCatalog.get("lvis_v1_val")
    records = records[1:] if rank else records[:1]
    evaluator = RankdetEvaluator("lvis_v1_val", ("bbox", "segm"), output_dir=str(folder))
    return evaluate(evaluator, cut_predictions, records)


def evaluate_on_two_ranks(folder):
    """Run :func:`evaluate_rank` on two ranks; gives the metrics of each."""
    return run_two_trainers(partial(evaluate_rank, folder), folder)
