import torch
from support.loss_tester import NUM_CLASSES, LossTester, random_batch

from rankdet.losses.softmax import SoftmaxCrossEntropyLoss, softmax_cross_entropy


class TestSoftmaxCrossEntropyLoss(LossTester):
    def make(self):
        return SoftmaxCrossEntropyLoss(NUM_CLASSES)

    def reference(self, logits, labels):
        rows = [-(x[y].exp() / x.exp().sum()).log() for x, y in zip(logits, labels, strict=True)]
        return torch.stack(rows).mean()


def test_function_is_the_module():
    logits, labels = random_batch(9, NUM_CLASSES + 1)
    module = SoftmaxCrossEntropyLoss(NUM_CLASSES)
    assert torch.equal(softmax_cross_entropy(logits, labels), module(logits, labels))


def test_uniform_logits_cost_log_of_the_number_of_logits():
    value = softmax_cross_entropy(torch.zeros(3, 6), torch.tensor([0, 3, 5]))
    torch.testing.assert_close(value, torch.tensor(6.0).log())
