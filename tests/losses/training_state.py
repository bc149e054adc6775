"""What holds of every loss whose state moves in training.

``train(loss, batches)`` gives the sum of the losses and its gradient for each batch.
"""

import torch


def same_state(state, expected):
    assert state.keys() == expected.keys()
    for key, buffer in expected.items():
        torch.testing.assert_close(state[key], buffer, rtol=1e-10, atol=1e-10)


def check_ranks(ranks, loss, train, batches_of_ranks):
    """``ranks``, the state and the values of each, are those of ``loss`` on all their batches."""
    pairs = zip(*batches_of_ranks, strict=True)
    union = [[torch.cat(x) for x in zip(*pair, strict=True)] for pair in pairs]
    expected = train(loss, union)
    for rank in ranks:
        same_state(rank["state"], loss.state_dict())
    for i, (total, gradient) in enumerate(expected):
        values, gradients = zip(*(rank["values"][i] for rank in ranks), strict=True)
        torch.testing.assert_close(sum(values), total, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(torch.cat(gradients), gradient, rtol=1e-10, atol=1e-10)


def check_resume(make_loss, train, batches, num_before):
    """A checkpoint after ``num_before`` batches changes nothing."""
    whole, before, after = (make_loss() for _ in range(3))
    expected = train(whole, batches)
    train(before, batches[:num_before])
    after.load_state_dict(before.state_dict())
    results = train(after, batches[num_before:])
    for (total, gradient), (value, slope) in zip(expected[num_before:], results, strict=True):
        assert torch.equal(value, total) and torch.equal(slope, gradient)
    assert all(torch.equal(x, whole.state_dict()[key]) for key, x in after.state_dict().items())


def check_evaluation(loss, train, batches):
    """Batches in evaluation move nothing."""
    before = {key: x.clone() for key, x in loss.state_dict().items()}
    train(loss.eval(), batches)
    assert all(torch.equal(x, before[key]) for key, x in loss.state_dict().items())
