import math

import torch
from support.loss_tester import NUM_CLASSES, LossTester, random_batch

from rankdet.losses._inputs import one_hot
from rankdet.losses.sigmoid import SigmoidBCELoss, sigmoid_bce_loss


class TestSigmoidBCELoss(LossTester):
    def make(self):
        return SigmoidBCELoss(NUM_CLASSES)

    def reference(self, logits, labels):
        total = logits.new_zeros(())
        for x, y in zip(logits, labels, strict=True):
            for c in range(NUM_CLASSES):
                score = 1 / (1 + (-x[c]).exp())
                total = total - (score.log() if c == y else (1 - score).log())
        return total / len(labels)


def test_function_is_the_module():
    logits, labels = random_batch(9, NUM_CLASSES)
    assert torch.equal(
        sigmoid_bce_loss(logits, labels), SigmoidBCELoss(NUM_CLASSES)(logits, labels)
    )


def test_logit_zero_costs_log_2_per_class():
    value = sigmoid_bce_loss(torch.zeros(2, 7), torch.tensor([3, 7]))
    assert math.isclose(value.item(), 7 * math.log(2), rel_tol=1e-6)


def test_background_has_no_positive_column():
    targets = one_hot(torch.tensor([1, 3]), like=torch.zeros(2, 3))
    assert targets.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_background_score_is_the_chance_of_no_class():
    scores = SigmoidBCELoss(2).scores(torch.zeros(1, 2))
    assert scores.tolist() == [[0.5, 0.5, 0.25]]


def test_initial_logits_have_the_prior_as_score():
    scores = SigmoidBCELoss(3).initial_logits(0.01).sigmoid()
    torch.testing.assert_close(scores, torch.full((3,), 0.01))
