"""The state of PCB losses: on two ranks, and in a checkpoint."""

import pytest
import torch
from losses.pcb_ranks import (
    BASES,
    NUM_CLASSES_LVIS,
    C,
    batches_of_rank,
    make_loss,
    train,
    train_rank,
)
from losses.training_state import check_evaluation, check_ranks, check_resume
from support.two_ranks import run_two_ranks

all_bases = pytest.mark.parametrize("base", BASES)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return run_two_ranks(train_rank, tmp_path_factory.mktemp("pcb"))


@all_bases
def test_two_ranks_are_one_process_on_the_union(base, ranks):
    loss = make_loss(base)
    of_ranks = [batches_of_rank(loss.num_logits, rank) for rank in range(2)]
    check_ranks([rank[base.__name__] for rank in ranks], loss, train, of_ranks)
    assert loss.confusion.num_updates.sum() > C  # the batches did move the state


def test_ranks_send_the_rows_that_changed_and_one_of_counts(ranks):
    row = NUM_CLASSES_LVIS * 4
    for result in (rank["lvis"] for rank in ranks):
        assert result["bytes"] == [row * (1 + changed) for changed in (3, 2, 0)]
        assert result["known"] == [3, 5, 6, 7, 900]


@all_bases
@pytest.mark.parametrize("num_before", [1, 3])
def test_a_resumed_training_goes_on_as_it_was(base, num_before):
    batches = batches_of_rank(make_loss(base).num_logits, 0)
    check_resume(lambda: make_loss(base), train, batches, num_before)


def test_other_classes_in_the_checkpoint_start_the_epochs_anew():
    trained, tuned = make_loss(BASES[0]), make_loss(BASES[0])
    train(trained, batches_of_rank(trained.num_logits, 0))
    assert trained.num_iterations == 5
    state = trained.state_dict()
    del state["confusion.matrix"]  # as Detectron2's checkpointer does where shapes differ
    tuned.load_state_dict(state, strict=False)
    assert tuned.num_iterations == 0
    logits, labels = batches_of_rank(tuned.num_logits, 0)[0]
    tuned.observe(logits, labels)
    assert torch.equal(tuned(logits, labels), tuned.base(logits, labels))


@all_bases
def test_evaluation_moves_nothing(base):
    loss = make_loss(base)
    train(loss, batches_of_rank(loss.num_logits, 0))
    check_evaluation(loss, train, batches_of_rank(loss.num_logits, 1))
