"""How far a batch walks through the package: few calls, few rooms."""

import sys
from pathlib import Path

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from support.tiny_two_stage import NUM_CLASSES, make_detector, make_image, make_predictor

import rankdet
from rankdet.losses import ECMLoss, RankSortLoss

FOLDER = Path(rankdet.__file__).parent
COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>")


def calls_of(step):
    """Files of the package whose functions a step calls, one entry per call."""
    files = []

    def record(frame, event, arg):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(FOLDER):
            if frame.f_code.co_name not in COMPREHENSIONS:
                files.append(path.relative_to(FOLDER))

    with EventStorage(1):  # Nothing is logged in this iteration.
        step()
        sys.setprofile(record)
        try:
            step()
        finally:
            sys.setprofile(None)
    return files


def room(path):
    """The shelf of pair sums is one room."""
    return path.parent if path.parent.name == "_pair_sums" else path


def test_a_step_of_ecm_takes_at_most_27_calls():
    predictor = make_predictor(ECMLoss([9] * NUM_CLASSES))
    boxes = Boxes(torch.tensor([[0.0, 0, 9, 9], [3, 3, 19, 19]]))
    labels = torch.tensor([1, NUM_CLASSES])
    images = [
        Instances((32, 32), proposal_boxes=boxes, gt_boxes=boxes, gt_classes=labels)
        for _ in range(2)
    ]
    predictions = predictor(torch.randn(4, 16))
    files = calls_of(lambda: predictor.losses(predictions, images))
    assert 0 < len(files) <= 27


def test_a_step_of_rs_in_two_heads_enters_at_most_10_rooms():
    model = make_detector(RankSortLoss)
    model.roi_heads.mask_on = False
    images = [make_image([0, 1], seed=1), make_image([2], seed=2)]
    rooms = {room(path) for path in calls_of(lambda: model(images))}
    assert Path("losses/rank_sort.py") in rooms and Path("modeling/rpn.py") in rooms
    assert len(rooms) <= 10
