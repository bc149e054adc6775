import copy

import pytest
import torch
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.utils.events import EventStorage
from modeling.iterative_toy import (
    BASES,
    CHANNELS,
    HIDDEN,
    NUM_CLASSES,
    attention_with,
    make_batch,
    make_heads,
    make_pcb,
    recorded_steps,
    run,
    standard_parts,
)
from modeling.slow_steps import slow_steps
from torch.nn.parallel import DistributedDataParallel

from rankdet.losses.rank_sort import RankSortLoss
from rankdet.modeling.box_predictor import STATS_PERIOD

bases = pytest.mark.parametrize("base", BASES)
WEIGHTS = (0.2, 0.2, 0.6)
STEPS = ("_step0", "_step1", "")


@pytest.mark.parametrize("agnostic", [True, False])
@pytest.mark.parametrize("normalizes", [True, False])
@pytest.mark.parametrize("size", [(5, 5), (7, 7), (2, 3)])
def test_steps_equal_a_slow_computation(size, normalizes, agnostic):
    options = {"refinement": attention_with(normalizes_logits=normalizes)}
    roi_heads = make_heads(make_pcb(), options=options, size=size, agnostic=agnostic).double()
    assert isinstance(roi_heads.refinement.norm, torch.nn.LayerNorm) == normalizes
    assert roi_heads.refinement.mlp_cls[0].out_features == HIDDEN
    pooled = torch.randn(2, CHANNELS, *size, dtype=torch.float64, requires_grad=True)
    actual, expected = roi_heads._predict_steps(pooled), slow_steps(roi_heads, pooled)
    assert len(actual) == len(expected) == 3
    assert actual[0][1].shape[1] == (4 if agnostic else 4 * NUM_CLASSES)
    for predictions, slow in zip(actual, expected, strict=True):
        torch.testing.assert_close(predictions, slow, rtol=1e-10, atol=1e-12)
    inputs = [pooled, *roi_heads.parameters()]
    gradients = [
        torch.autograd.grad((steps[-1][0].sin() + steps[-1][1].sum(1, keepdim=True)).sum(), inputs)
        for steps in (actual, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


@bases
def test_losses_are_those_of_the_steps_in_order(base):
    roi_heads = make_heads(make_pcb(base), loss_weight=2.0)
    slow = copy.deepcopy(roi_heads.box_predictor.loss)
    steps = recorded_steps(roi_heads)
    for _ in range(3):  # The statistics of one iteration are in the loss of the next.
        steps.clear()
        with EventStorage():
            sampled, losses = roi_heads(None, *make_batch())
        labels = torch.cat([image.gt_classes for image in sampled])
        slow.observe(steps[-1][0], labels)
        boxes = torch.zeros(2, int((labels < NUM_CLASSES).sum()))
        expected = [
            slow.losses_of_step(step, 3, logits, labels, *boxes)["loss_cls"]
            for step, (logits, _) in enumerate(steps)
        ]
        values = [losses["loss_cls_step0"], losses["loss_cls_step1"], losses["loss_cls"]]
        for value, weight, loss in zip(values, WEIGHTS, expected, strict=True):
            torch.testing.assert_close(value, 2 * weight * loss)
    boxes = torch.cat([image.proposal_boxes.tensor for image in sampled])
    gt_boxes = torch.cat([image.gt_boxes.tensor for image in sampled])
    box_loss = roi_heads.box_predictor.box_reg_loss(boxes, gt_boxes, steps[-1][1], labels)
    torch.testing.assert_close(losses["loss_box_reg"], 2 * box_loss)
    assert set(losses) == {"loss_cls_step0", "loss_cls_step1", "loss_cls", "loss_box_reg"}
    assert slow.num_iterations == roi_heads.box_predictor.loss.num_iterations == 3


def test_one_step_is_detectron2s_head():
    loss = make_pcb()
    iterative = make_heads(copy.deepcopy(loss), options={"step_weights": (1.0,)})
    standard = StandardROIHeads(**standard_parts(loss))
    standard.load_state_dict(iterative.state_dict())
    actual, expected = run(iterative), run(standard)
    assert actual == expected and actual["loss_box_reg"] > 0
    for roi_heads, losses in ((iterative, actual), (standard, expected)):
        sum(losses.values()).backward()
        roi_heads.eval()
    for name, parameter in standard.named_parameters():
        assert torch.equal(iterative.get_parameter(name).grad, parameter.grad), name
    for image, same in zip(run(iterative), run(standard), strict=True):
        assert len(image) > 0
        assert torch.equal(image.scores, same.scores)
        assert torch.equal(image.pred_boxes.tensor, same.pred_boxes.tensor)


@pytest.mark.parametrize("normalizes", [True, False])
def test_attention_starts_without_effect_and_learns(normalizes):
    options = {"normalizes_logits": normalizes, "starts_as_identity": True}
    roi_heads = make_heads(make_pcb(), options={"refinement": attention_with(**options)})
    steps = recorded_steps(roi_heads)
    optimizer = torch.optim.SGD(roi_heads.parameters(), lr=0.1)
    sum(run(roi_heads).values()).backward()
    torch.testing.assert_close([steps[0], steps[0]], steps[1:], rtol=0, atol=0)
    optimizer.step()
    steps.clear()
    run(roi_heads)
    for first, second in zip(*steps[:2], strict=True):
        assert not torch.allclose(first, second)


@bases
@pytest.mark.parametrize("key", ["loss_cls", "loss_box_reg"])
def test_the_last_step_teaches_both_mlps(base, key):
    roi_heads = make_heads(
        make_pcb(base), options={"refinement": attention_with(normalizes_logits=True)}
    )
    run(roi_heads)[key].backward()
    for name, parameter in roi_heads.refinement.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("step", [None, 0, 1, 2])
def test_scores_are_those_of_the_step_and_boxes_those_of_the_last(step):
    roi_heads = make_heads(make_pcb(), options={"inference_step": step}).eval()
    steps, seen = recorded_steps(roi_heads), []
    inference = roi_heads.box_predictor.inference
    roi_heads.box_predictor.inference = lambda *args: seen.append(args[0]) or inference(*args)
    detections = run(roi_heads)
    logits = [logits for logits, _ in steps]
    assert len(steps) == 3 and not torch.equal(logits[0], logits[2])
    assert torch.equal(seen[0][0], logits[-1 if step is None else step])
    assert torch.equal(seen[0][1], steps[2][1])
    assert all(len(image) > 0 for image in detections)


@bases
@pytest.mark.parametrize("classes", [((), ()), ((0, 2), ())], ids=["none", "one image"])
def test_images_without_annotations(base, classes):
    roi_heads = make_heads(make_pcb(base))
    run(roi_heads)
    losses = run(roi_heads, classes)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert (losses["loss_box_reg"] == 0) == (classes == ((), ()))
    assert all(torch.isfinite(p.grad).all() for p in roi_heads.parameters())


@bases
def test_no_proposals_at_all(base):
    """They still count as an iteration, and leave no parameter without gradient."""
    roi_heads = make_heads(make_pcb(base))
    features, proposals, _ = make_batch()
    _, _, targets = make_batch(((), ()))
    with EventStorage():
        _, losses = roi_heads(None, features, [image[:0] for image in proposals], targets)
    sum(losses.values()).backward()
    assert all(loss == 0 for loss in losses.values())
    assert all((p.grad == 0).all() for p in roi_heads.parameters())
    assert roi_heads.box_predictor.loss.num_iterations == 1


@bases
def test_statistics_are_in_the_checkpoint(base):
    trained, resumed = make_heads(make_pcb(base)), make_heads(make_pcb(base))
    run(trained)
    run(trained)
    resumed.load_state_dict(trained.state_dict())
    assert run(resumed) == run(trained) and resumed.box_predictor.loss.num_iterations == 3
    for name, buffer in trained.named_buffers():
        assert torch.equal(resumed.get_buffer(name), buffer), name


def test_statistics_are_logged_now_and_then():
    roi_heads = make_heads(make_pcb())
    with EventStorage(STATS_PERIOD - 1) as storage:
        roi_heads(None, *make_batch())
        assert "roi_head/pairwise_bias" not in storage.latest()
        storage.step()
        roi_heads(None, *make_batch())
        expected = roi_heads.box_predictor.loss.statistics()
        for name, value in expected.items():
            assert storage.latest()[f"roi_head/{name}"] == (pytest.approx(float(value)), 20)
    assert expected["pairwise_bias"] > 0


@bases
@pytest.mark.parametrize("step_weights", [(1.0,), WEIGHTS])
def test_ddp_finds_a_gradient_for_every_parameter(base, step_weights, gloo):
    """DDP refuses a second iteration when a parameter had no part in the first."""
    roi_heads = make_heads(make_pcb(base), options={"step_weights": step_weights})
    ddp = DistributedDataParallel(roi_heads)
    for _ in range(2):
        with EventStorage():
            _, losses = ddp(None, *make_batch())
        sum(losses.values()).backward()
    assert all(p.grad is not None for p in roi_heads.parameters())


@pytest.fixture(scope="module")
def gloo(tmp_path_factory):
    """A process group of this process alone."""
    store = f"file://{tmp_path_factory.mktemp('gloo')}/store"
    torch.distributed.init_process_group("gloo", store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_weights": ()}, r"step_weights is \(\); give a weight >= 0 for each step"),
        ({"step_weights": (1, -1, 1)}, r"step_weights is \(1, -1, 1\); give a weight >= 0"),
        ({"step_weights": (1, float("inf"), 1)}, "give a weight >= 0 for each step"),
        ({"inference_step": 3}, "inference_step is 3, but step_weights has 3 steps"),
        ({"inference_step": -1}, "inference_step is -1, but step_weights has 3 steps"),
    ],
)
def test_steps_that_do_not_fit_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_heads(make_pcb(), options=options)


def test_a_ranking_loss_ranks_in_every_step():
    roi_heads = make_heads(RankSortLoss(NUM_CLASSES))
    losses = run(roi_heads)
    names = {f"{part}{step}" for part in ("loss_rank", "loss_sort") for step in STEPS}
    assert set(losses) == {*names, "loss_box_reg"}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in roi_heads.parameters())


@pytest.mark.gpu
@bases
def test_trains_on_cuda_under_autocast(base):
    roi_heads = make_heads(make_pcb(base)).cuda()
    features, proposals, targets = make_batch()
    with EventStorage(), torch.autocast("cuda", dtype=torch.float16):
        _, losses = roi_heads(
            None,
            {name: level.cuda() for name, level in features.items()},
            [image.to("cuda") for image in proposals],
            [image.to("cuda") for image in targets],
        )
    assert all(x.dtype == torch.float32 and torch.isfinite(x) for x in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in roi_heads.parameters())
