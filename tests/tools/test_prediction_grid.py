import pytest
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image
from torch import nn

from rankdet.data.frequency_groups import Classes
from rankdet.tools.prediction_grid import (
    choose_records,
    draw_prediction_grid,
    matching_threshold,
    predict,
)

CLASSES = Classes(["a", "b", "c", "d"], ["r", "c", "f", "f"])


def record(image_id, class_ids, crowd=0):
    annotations = [
        {"category_id": index, "bbox": [2, 2, 12, 8], "bbox_mode": 0, "iscrowd": crowd}
        for index in class_ids
    ]
    return {"image_id": image_id, "height": 20, "width": 40, "annotations": annotations}


@pytest.fixture
def pictured(tmp_path):
    """Two records with a file."""
    Image.new("RGB", (40, 20), "gray").save(tmp_path / "gray.png")
    records = [record(1, [0, 1]), record(2, [2])]
    return [{**one, "file_name": str(tmp_path / "gray.png")} for one in records]


def detections(scores, size=(220, 440)):
    boxes = torch.tensor([[50.0 * i, 10.0, 50.0 * i + 40, 60.0] for i in range(len(scores))])
    return Instances(
        size,
        pred_boxes=Boxes(boxes.reshape(-1, 4)),
        scores=torch.tensor(scores),
        pred_classes=torch.arange(len(scores)) % 4,
    )


def chosen_ids(records, number):
    return [one["image_id"] for one in choose_records(records, CLASSES.groups, number)]


def test_images_show_all_groups_in_turn():
    records = [record(i, [2]) for i in range(5)] + [record(5, [3]), record(6, [1]), record(7, [0])]
    assert chosen_ids(records, 3) == [0, 6, 7]
    # The next rare or common class does not exist, the next frequent one is in image 5.
    assert set(chosen_ids(records, 6)) > {0, 5, 6, 7}


def test_only_annotated_images_are_chosen_and_each_once():
    records = [record(1, []), record(2, [0], crowd=1), record(3, [0]), {"image_id": 4}]
    assert chosen_ids(records, 8) == [3]


def test_threshold_leaves_as_many_predictions_as_objects():
    records = [record(1, [0, 1]), record(2, [2])]
    predictions = [detections([0.2, 0.9]), detections([0.1, 0.6, 0.3])]
    assert matching_threshold(records, predictions) == pytest.approx(0.3)
    assert matching_threshold(records, [detections([0.4])]) == pytest.approx(0.4)
    assert matching_threshold(records, [detections([])]) == 0.0


class TwiceTheSame(nn.Module):
    """Finds one object as two classes, and another one."""

    def forward(self, inputs):
        height, width = inputs[0]["height"], inputs[0]["width"]
        boxes = [[0.0, 0.0, 100.0, 100.0], [0.0, 0.0, 100.0, 90.0], [200.0, 0.0, 300.0, 100.0]]
        instances = Instances(
            (height, width),
            pred_boxes=Boxes(torch.tensor(boxes)),
            scores=torch.tensor([0.4, 0.7, 0.1]),
            pred_classes=torch.tensor([0, 1, 2]),
        )
        return [{"instances": instances}]


def test_prediction_has_the_size_of_the_drawing_and_no_duplicates(pictured):
    model = TwiceTheSame().train()
    (found,) = predict(model, lambda one: {"image": one["image_id"]}, pictured[:1])
    assert found.image_size == (220, 440)
    assert found.scores.tolist() == pytest.approx([0.7, 0.1])


def test_grid_pairs_ground_truth_with_predictions_over_the_threshold(pictured):
    predictions = [detections([0.9, 0.2]), detections([0.5])]
    figure = draw_prediction_grid(pictured, predictions, CLASSES, 0.5)
    axes = [one for pair in figure.subfigs for one in pair.axes]
    assert [one.get_title() for one in axes] == [
        "image 1: ground truth",
        "predictions",
        "image 2: ground truth",
        "predictions",
    ]
    texts = [{text.get_text() for text in one.texts} for one in axes]
    assert texts == [{"a", "b"}, {"a 0.90"}, {"c"}, {"a 0.50"}]
    assert "0.50 and higher" in figure.get_suptitle()
