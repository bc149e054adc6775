"""What losses have learned gets into their buffers."""

import pytest
import torch
from tools.convert.tiny_target import Parts, tiny_conversion, tiny_target

from rankdet.losses import ECMLoss, EQLv2Loss, PCBLoss, SeesawLoss, SoftmaxCrossEntropyLoss
from rankdet.tools.convert.loss_state import class_counts, loss_rules
from rankdet.tools.convert.rules import convert_weights

AT = "roi_head.bbox_head.loss_cls."
COUNTS = [10.0, 4000.0, 7.0]


def convert(loss, **state):
    target = tiny_target(roi_heads=Parts(box_predictor=Parts(loss=loss)))
    conversion = tiny_conversion({f"{AT}{name}": value for name, value in state.items()}, target)
    result = convert_weights(conversion, loss_rules())
    target.model.load_state_dict({**target.weights, **result.weights})
    return conversion, result


def ecm_state(ratio=6.3313):
    """As released, in float32."""
    counts = torch.tensor(COUNTS)
    sample_n = torch.cat([counts, counts.sum()[None] * ratio])
    odds = (sample_n.sum() - sample_n) / sample_n
    weights = odds * ((1 + odds) / odds).log()
    return {"sample_n": sample_n, "detection_cls_weight": weights[None]}


def test_ecm_gets_the_counts_and_the_ratio():
    loss = ECMLoss(COUNTS)
    conversion, result = convert(loss, **ecm_state())
    assert class_counts(conversion.source).tolist() == COUNTS
    assert loss.class_counts.tolist() == COUNTS
    assert loss.background_ratio.item() == 6.3313
    assert not loss.is_measuring
    # The released weights, of which float32 keeps four digits.
    expected = ecm_state()["detection_cls_weight"][0]
    assert torch.allclose(loss.weights.float(), expected, rtol=2e-3)
    assert list(result.ignored.values()) == [[f"{AT}detection_cls_weight"]]


def test_a_ratio_with_more_digits_stays():
    loss = ECMLoss(COUNTS)
    convert(loss, **ecm_state(1.23456))
    assert loss.background_ratio.item() == pytest.approx(1.23456, rel=1e-6)


def test_no_ecm_no_counts():
    conversion, _ = convert(SeesawLoss(3), cum_samples=torch.tensor([3.0, 1.0, 2.0, 99.0]))
    assert class_counts(conversion.source) is None


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_seesaw_gets_the_counts_without_background(is_wrapped):
    loss = SeesawLoss(3)
    convert(PCBLoss(loss) if is_wrapped else loss, cum_samples=torch.tensor([3.0, 1.0, 2.0, 99.0]))
    assert loss.class_counts.tolist() == [3, 1, 2]


def test_eql_v2_gets_its_gradients():
    loss = EQLv2Loss(2)
    state = {"pos_grad": torch.tensor([1.0, 2.0]), "neg_grad": torch.tensor([4.0, 2.0])}
    _, result = convert(loss, **state, pos_neg=torch.tensor([0.25, 1.0]))
    assert loss.pos_gradients.tolist() == [1.0, 2.0]
    assert loss.neg_gradients.tolist() == [4.0, 2.0]
    # f(g) = sigmoid(12 (g - 0.8))
    expected = [1 / (1 + 2.718281828 ** (12 * 0.55)), 1 / (1 + 2.718281828 ** (-12 * 0.2))]
    assert loss.neg_weights.tolist() == pytest.approx(expected, rel=1e-6)
    assert list(result.ignored) == ["the ratio of pos_grad and neg_grad"]


def test_pcb_gets_its_matrix_and_knows_the_classes_that_were_seen():
    loss = PCBLoss(SoftmaxCrossEntropyLoss(3))
    matrix = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.0, 0.0], [0.3, 0.3, 0.4]])
    convert(
        loss,
        fg_confusion_matrix=matrix,
        num_inst_cnt=torch.tensor([12.0, 0.0, 1.0]),
        _epoch=torch.tensor([24.0]),
    )
    assert torch.equal(loss.confusion.matrix, matrix)
    assert loss.confusion.is_known.tolist() == [True, False, True]


def test_the_state_of_another_loss_is_ignored_with_the_reason():
    _, result = convert(SoftmaxCrossEntropyLoss(3), cum_samples=torch.ones(4))
    reason = "the state of a loss that the config does not have"
    assert result.ignored == {reason: [f"{AT}cum_samples"]}
    assert not result.weights


def test_other_classes_name_both_sides():
    message = r"cum_samples of the checkpoint has shape \(5,\), but roi_heads.*class_counts of the"
    with pytest.raises(ValueError, match=message):
        convert(SeesawLoss(3), cum_samples=torch.ones(5))
