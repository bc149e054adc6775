"""The state of PCB losses: on two ranks, and in a checkpoint."""

import pytest
import torch
from losses.pcb_ranks import (
    BASES,
    NUM_CLASSES_LVIS,
    C,
    batches_of_rank,
    make_loss,
    run_two_ranks,
    train,
)

all_bases = pytest.mark.parametrize("base", BASES)


def same_state(state, expected):
    assert state.keys() == expected.keys()
    for key, buffer in expected.items():
        torch.testing.assert_close(state[key], buffer, rtol=1e-10, atol=1e-10)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return run_two_ranks(tmp_path_factory.mktemp("pcb"))


@all_bases
def test_two_ranks_are_one_process_on_the_union(base, ranks):
    loss = make_loss(base)
    of_ranks = [batches_of_rank(loss.num_logits, rank) for rank in range(2)]
    union = [
        [torch.cat(x) for x in zip(*pair, strict=True)] for pair in zip(*of_ranks, strict=True)
    ]
    expected = train(loss, union)
    assert loss.confusion.num_updates.sum() > C  # the batches did move the state
    results = [rank[base.__name__] for rank in ranks]
    for result in results:
        same_state(result["state"], loss.state_dict())
    for i, (total, gradient) in enumerate(expected):
        values, gradients = zip(*(result["values"][i] for result in results), strict=True)
        torch.testing.assert_close(sum(values), total, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(torch.cat(gradients), gradient, rtol=1e-10, atol=1e-10)


def test_ranks_send_the_rows_that_changed_and_one_of_counts(ranks):
    row = NUM_CLASSES_LVIS * 4
    for result in (rank["lvis"] for rank in ranks):
        assert result["bytes"] == [row * (1 + changed) for changed in (3, 2, 0)]
        assert result["known"] == [3, 5, 6, 7, 900]


@all_bases
@pytest.mark.parametrize("num_before", [1, 3])
def test_a_resumed_training_goes_on_as_it_was(base, num_before):
    whole, before, after = (make_loss(base) for _ in range(3))
    batches = batches_of_rank(whole.num_logits, 0)
    expected = train(whole, batches)
    train(before, batches[:num_before])
    after.load_state_dict(before.state_dict())
    results = train(after, batches[num_before:])
    for (total, gradient), (value, slope) in zip(expected[num_before:], results, strict=True):
        assert torch.equal(value, total) and torch.equal(slope, gradient)
    assert all(torch.equal(x, whole.state_dict()[key]) for key, x in after.state_dict().items())


def test_other_classes_in_the_checkpoint_start_the_epochs_anew():
    trained, tuned = make_loss(BASES[0]), make_loss(BASES[0])
    train(trained, batches_of_rank(trained.num_logits, 0))
    assert trained.num_iterations == 5
    state = trained.state_dict()
    del state["confusion.matrix"]  # as Detectron2's checkpointer does where shapes differ
    tuned.load_state_dict(state, strict=False)
    assert tuned.num_iterations == 0
    logits, labels = batches_of_rank(tuned.num_logits, 0)[0]
    assert torch.equal(tuned(logits, labels), tuned.base(logits, labels))


@all_bases
def test_evaluation_moves_nothing(base):
    loss = make_loss(base)
    train(loss, batches_of_rank(loss.num_logits, 0))
    before = {key: x.clone() for key, x in loss.state_dict().items()}
    train(loss.eval(), batches_of_rank(loss.num_logits, 1))
    same_state(loss.state_dict(), before)
