import pytest
import torch

from rankdet.losses._class_counts import check_counts
from rankdet.losses._inputs import _clamp_labels, check_inputs
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss


def test_labels_on_an_accelerator_are_made_safe_and_reported_without_a_sync():
    safe, is_valid = _clamp_labels(torch.tensor([0, 7, -3]), num_classes=5)
    assert safe.tolist() == [0, 5, 0] and not is_valid
    assert _clamp_labels(torch.tensor([0, 5]), num_classes=5)[1]


@pytest.mark.gpu
def test_bad_labels_on_cuda_make_the_loss_nan():
    logits = torch.zeros(2, 4, device="cuda")
    labels = torch.tensor([0, 9], device="cuda")
    assert torch.isnan(SoftmaxCrossEntropyLoss(3)(logits, labels))


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(3), torch.zeros(3).long(), "float matrix"),
        (torch.zeros(3, 2).long(), torch.zeros(3).long(), "float matrix"),
        (torch.zeros(3, 2), torch.zeros(2).long(), r"shape \(3,\)"),
        (torch.zeros(3, 2), torch.zeros(3), "must be integers"),
        (torch.zeros(3, 2), torch.zeros(3, dtype=torch.bool), "must be integers"),
    ],
)
def test_wrong_shapes_and_types_are_named(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        check_inputs(logits, labels, num_classes=1)


def test_counts_may_be_any_sequence():
    assert check_counts("counts", (1, 2.0)).dtype == torch.float64
    with pytest.raises(ValueError, match="counts must be a vector"):
        check_counts("counts", [])


def test_a_loss_needs_a_class():
    with pytest.raises(ValueError, match="num_classes is 0"):
        SoftmaxCrossEntropyLoss(0)
