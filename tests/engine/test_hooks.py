import logging

import pytest
import torch
from detectron2.engine import SimpleTrainer
from support.two_stage_toy import TwoStageToy, image, train_on_two_ranks, train_toy
from torch import nn

from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.hooks import BackgroundRatioHook, FiniteLossHook, GradientClippingHook

BATCHES = [
    [image(1, [0, 3, 3, 3]), image(2, [1, 1, 3, 3])],
    [image(3, [3, 3, 3, 3]), image(4, [2, 3, 3, 0])],
    [image(5, [0, 0, 0, 3]), image(6, [])],
    [image(7, [0, 0, 0, 0]), image(8, [0, 0])],
]


def ratios(model):
    return [stage.background_ratio.item() for stage in model.stages]


def test_ratio_is_frozen_after_num_iterations(tmp_path):
    model, _ = train_toy(tmp_path, BATCHES, num_measured=3)
    assert model.stages[0].num_samples.tolist() == [8, 12]
    assert model.stages[1].num_samples.tolist() == [6, 4]
    assert ratios(model) == [12 / 8, 4 / 6]
    assert all(stage.background_ratio_is_frozen for stage in model.stages)


def test_ratio_runs_until_then(tmp_path):
    model, trainer = train_toy(tmp_path, BATCHES, num_measured=9)
    assert model.stages[0].num_samples.tolist() == [14, 12]
    assert not any(stage.background_ratio_is_frozen for stage in model.stages)
    assert "ecm/background_ratio/stage0" not in trainer.storage.latest()


def test_ratio_of_each_stage_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="rankdet"):
        _, trainer = train_toy(tmp_path, BATCHES, num_measured=3)
    logged = trainer.storage.latest()
    assert logged["ecm/background_ratio/stage0"] == (12 / 8, 2)
    assert logged["ecm/background_ratio/stage1"] == (4 / 6, 2)
    assert [r.getMessage() for r in caplog.records if "Froze" in r.getMessage()] == [
        "Froze ecm/background_ratio/stage0 at 1.5000.",
        "Froze ecm/background_ratio/stage1 at 0.6667.",
    ]


def test_ratio_of_a_single_loss_has_no_stage(tmp_path):
    model = TwoStageToy()
    del model.stages[1]
    trainer = SimpleTrainer(model, BATCHES, torch.optim.SGD(model.parameters(), lr=0.1))
    trainer.register_hooks([BackgroundRatioHook(1)])
    trainer.train(0, 1)
    assert trainer.storage.latest()["ecm/background_ratio"] == (5 / 3, 0)


def test_model_without_ecm_needs_no_measurement():
    model = nn.Linear(1, 1)
    trainer = SimpleTrainer(model, [torch.ones(1, 1)], torch.optim.SGD(model.parameters(), lr=0.1))
    trainer.register_hooks([BackgroundRatioHook(1)])
    trainer.train(0, 1)
    assert "ecm/background_ratio" not in trainer.storage.latest()


def test_number_of_iterations_must_be_positive():
    with pytest.raises(ValueError, match="num_iterations is 0; measure at least one iteration"):
        BackgroundRatioHook(0)


def test_two_ranks_measure_what_one_process_measures(tmp_path):
    # Rank 1 sees no foreground, no proposal at all, and no background, in turn.
    batches = [
        [[image(1, [0, 3, 3, 3])], [image(2, [3, 3])]],
        [[image(3, [3, 1, 3, 3])], [image(4, [])]],
        [[image(5, [2, 3, 3, 3])], [image(6, [0, 0, 0, 0])]],
        [[image(7, [0, 0, 0, 0])], [image(8, [0, 3])]],
    ]
    whole, _ = train_toy(tmp_path, [[*rank0, *rank1] for rank0, rank1 in batches], num_measured=3)
    ranks = train_on_two_ranks(tmp_path, list(zip(*batches, strict=True)), num_measured=3)
    for key, expected in whole.stages.state_dict(prefix="stages.").items():
        for state in ranks:
            assert torch.equal(state[key], expected), key
    for state in ranks:
        assert torch.equal(state["logits.weight"], ranks[0]["logits.weight"])


def nan_batches():
    return [BATCHES[0], [image(71, [0, 3], scale=torch.nan), image(72, [1])], BATCHES[2]]


def test_non_finite_loss_stops_before_it_reaches_the_weights(tmp_path):
    with pytest.raises(FloatingPointError) as error:
        train_toy(tmp_path, nan_batches(), num_measured=9)
    message = str(error.value)
    assert message.startswith("non-finite loss at iteration 1: {'loss_stage0': nan")
    assert "images [71, 72]; lower the learning rate" in message
    assert "--resume continues from the start, as there is no earlier checkpoint" in message
    state = torch.load(tmp_path / "non_finite.pth")
    assert state["model"]["logits.weight"].isfinite().all()
    assert state["trainer"]["iteration"] == 1
    assert not (tmp_path / "last_checkpoint").exists()


def test_non_finite_loss_of_one_rank_stops_both(tmp_path):
    good, bad = [[batch[0]] for batch in nan_batches()], [BATCHES[0][1:]] * 3
    bad[1] = [image(71, [0, 3], scale=torch.inf)]
    good[1] = [image(70, [0, 3])]
    messages = train_on_two_ranks(tmp_path, [good, bad], num_measured=9)
    assert "iteration 1: on another rank, images [70]" in messages[0]
    assert "iteration 1: {'loss_stage0': nan" in messages[1]
    assert "images [71]" in messages[1]
    assert (tmp_path / "non_finite.pth").exists()


def test_non_finite_gradient_of_a_finite_loss_stops_before_it_reaches_the_weights():
    class Root(nn.Linear):
        def forward(self, batch):
            return {"loss": super().forward(torch.ones(1, 1)).sum().abs().sqrt()}  # slope: inf

    model = Root(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    trainer = SimpleTrainer(model, [[{"image_id": 7}]], torch.optim.SGD(model.parameters(), lr=0.1))
    trainer.register_hooks([FiniteLossHook(Checkpointer(model)), GradientClippingHook(1.0)])
    with pytest.raises(FloatingPointError, match=r"iteration 0: the norm of the gradient is \w"):
        trainer.train(0, 1)
    assert model.weight.item() == 0


class Scaler:
    """Undoes a loss scale of 8, as AMP's scaler does."""

    def unscale_(self, optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad /= 8


@pytest.mark.parametrize(
    ("max_norm", "scaler", "expected"),
    [(5.0, None, [3.0, 4.0]), (1.0, None, [0.6, 0.8]), (5.0, Scaler(), [3 / 8, 4 / 8])],
)
def test_gradients_are_clipped_to_a_norm(max_norm, scaler, expected):
    class Linear(nn.Linear):
        def forward(self, x):
            return {"loss": (super().forward(x) * torch.tensor([3.0, 4.0])).sum()}

    model = Linear(1, 2, bias=False)
    trainer = SimpleTrainer(model, [torch.ones(1, 1)], torch.optim.SGD(model.parameters(), lr=0.1))
    trainer.grad_scaler = scaler
    trainer.register_hooks([GradientClippingHook(max_norm)])
    trainer.train(0, 1)
    torch.testing.assert_close(model.weight.grad.flatten(), torch.tensor(expected))
