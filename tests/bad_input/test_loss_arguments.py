"""Bad arguments of losses: each gets a sentence that names the argument and its value."""

import math

import pytest
import torch
from bad_input.case import Case, table

from rankdet.losses.alrp import ALRPLoss, alrp_loss
from rankdet.losses.ap import APLoss, ap_loss
from rankdet.losses.confusion import PairwiseConfusion
from rankdet.losses.ecm import ECMLoss
from rankdet.losses.eql import EQLLoss, EQLv2Loss
from rankdet.losses.label_smoothing import LabelSmoothingLoss, OnlineLabelSmoothingLoss
from rankdet.losses.ndcg import NDCGLoss, ndcg_loss
from rankdet.losses.pcb import PCBLoss
from rankdet.losses.rank_sort import RankSortLoss, rank_sort_loss
from rankdet.losses.seesaw import SeesawLoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss

TINY = torch.finfo(torch.float32).tiny
LABELS = torch.tensor([0, 2, 3])
IOUS = torch.full((2,), 0.5)


def classify(logits=(3, 4), labels=LABELS, dtype=torch.float32):
    return SoftmaxCrossEntropyLoss(3)(torch.zeros(logits, dtype=dtype), labels)


def rank_rows(ious=IOUS, box_losses=IOUS, labels=LABELS):
    return APLoss(3)(torch.zeros(3, 3), labels, ious, box_losses)


def pcb(**options):
    return PCBLoss(SoftmaxCrossEntropyLoss(3), **options)


CASES = [
    Case("no class", lambda: SoftmaxCrossEntropyLoss(0), "num_classes is 0"),
    Case("negative number of classes", lambda: SeesawLoss(-2), "num_classes is -2"),
    Case("logits of one dimension", lambda: classify(logits=(4,)), r"logits must have shape"),
    Case("logits of three dimensions", lambda: classify(logits=(3, 4, 1)), r"got \(3, 4, 1\)"),
    Case("logits of another number", lambda: classify(logits=(3, 5)), r"\(N, 4\) for this loss"),
    Case("integer logits", lambda: classify(dtype=torch.int64), "logits must be a float matrix"),
    Case("fewer labels", lambda: classify(labels=LABELS[:2]), r"labels must have shape \(3,\)"),
    Case("float labels", lambda: classify(labels=LABELS.float()), "labels must be integers"),
    Case("bool labels", lambda: classify(labels=LABELS > 0), "labels must be integers"),
    Case("negative label", lambda: classify(labels=LABELS - 1), r"labels contains -1"),
    Case("label beyond background", lambda: classify(labels=LABELS + 1), r"labels contains 4"),
    Case("no rows", lambda: classify((0, 4), LABELS[:0]), meaning="0, on the graph"),
    Case("half precision", lambda: classify(dtype=torch.float16), meaning="float32 inside"),
    Case("ignored label of a joint loss", lambda: rank_rows(labels=LABELS - 4 * (LABELS == 3)),
         meaning="-1 is neither foreground nor background"),
    Case("joint label of -2", lambda: rank_rows(labels=LABELS - 2), "labels contains -2"),
    Case("too few IoUs", lambda: rank_rows(ious=IOUS[:1]), r"ious must have shape \(2,\)"),
    Case("too many box losses", lambda: rank_rows(box_losses=torch.ones(3)), "box_losses must"),
    Case("negative box weight", lambda: APLoss(3, box_weight=-1), "box_weight is -1"),
    Case("box weight that is no number", lambda: APLoss(3, box_weight=math.nan), "box_weight is n"),
    Case("interpolated BAP", lambda: APLoss(3, interpolate=True, algorithm="bucketed"), "BAP is"),
    Case("bucketed aLRP", lambda: ALRPLoss(3, algorithm="bucketed"), "algorithm is 'bucketed'"),
    Case("unknown algorithm", lambda: RankSortLoss(3, algorithm="fast"), "algorithm is 'fast'"),
    Case("a cube to rank", lambda: ap_loss(torch.ones(2, 2, 2), torch.ones(2, 2, 2)), "float vec"),
    Case("integers to rank", lambda: ap_loss(torch.tensor([1]), torch.ones(1)), "float vector"),
    Case("fewer targets", lambda: ap_loss(torch.ones(2), torch.ones(1)), "targets must have"),
    Case("other number of errors", lambda: alrp_loss(torch.ones(2), torch.ones(2), torch.ones(1)),
         r"loc_errors must have shape \(2,\)"),
    Case("negative count", lambda: ECMLoss([3, -1]), r"class_counts\[1\] is -1"),
    Case("infinite count", lambda: ECMLoss([math.inf, 1]), r"class_counts\[0\] is inf"),
    Case("NaN count", lambda: ECMLoss([math.nan, 1]), r"class_counts\[0\] is nan"),
    Case("no counts", lambda: ECMLoss([]), "one count per class"),
    Case("counts of a matrix", lambda: ECMLoss([[1, 2]]), "one count per class"),
    Case("count of zero", lambda: ECMLoss([1, 0]), meaning="counts as one, with a warning"),
    Case("negative background ratio", lambda: ECMLoss([1], -1), "background_ratio is -1"),
    Case("NaN background ratio", lambda: ECMLoss([1], math.nan), "background_ratio is nan"),
    Case("more images of a class than images", lambda: EQLLoss([9], 3), "num_images is 3"),
    Case("no images", lambda: EQLLoss([0], 0), "num_images is 0"),
    Case("negative threshold", lambda: EQLLoss([1], 3, -1), "threshold is -1"),
    Case("gamma of zero", lambda: EQLv2Loss(3, gamma=0), "gamma is 0"),
    Case("NaN mu", lambda: EQLv2Loss(3, mu=math.nan), "mu is nan"),
    Case("negative exponent", lambda: SeesawLoss(3, p=-1), "p is -1"),
    Case("infinite exponent", lambda: SeesawLoss(3, q=math.inf), "q is inf"),
    Case("eps of one", lambda: SeesawLoss(3, eps=1), "eps is 1"),
    Case("Seesaw without eps", lambda: SeesawLoss(3, eps=0), meaning="no limit, as in the paper"),
    Case("a smoothed share over 1", lambda: LabelSmoothingLoss(3, 1.5), "eps is 1.5"),
    Case("epoch of a negative length",
         lambda: OnlineLabelSmoothingLoss(3, iterations_per_epoch=-1), "iterations_per_epoch is"),
    Case("momentum of one", lambda: PairwiseConfusion(3, 1.0), "momentum is 1.0"),
    Case("negative momentum", lambda: pcb(momentum=-0.1), "momentum is -0.1"),
    Case("NaN momentum", lambda: pcb(momentum=math.nan), "momentum is nan"),
    Case("share of PCB over 1", lambda: pcb(alpha=2), "alpha is 2"),
    Case("negative start", lambda: pcb(start_epoch=-1), "start_epoch is -1"),
    Case("endless wait", lambda: pcb(start_epoch=math.inf), "start_epoch is inf"),
    Case("epoch of no iteration", lambda: pcb(iterations_per_epoch=0), "iterations_per_epoch is 0"),
    Case("prior of one", lambda: SoftmaxCrossEntropyLoss(3).initial_logits(1), "prior_prob is 1"),
    Case("prior over 1 / C", lambda: SeesawLoss(3).initial_logits(0.5), "prior_prob is 0.5"),
    Case("probabilities with background",
         lambda: PairwiseConfusion(3).update(torch.ones(3, 4), LABELS), "probs must have shape"),
]  # fmt: skip
DELTA_CASES = [
    Case("negative delta", -0.5, "delta is -0.5; give the half width"),
    Case("infinite delta", math.inf, "delta is inf"),
    Case("NaN delta", math.nan, "delta is nan"),
    Case("delta below the least float32", TINY / 2, "delta is 5.8.*; give 0, the hard step"),
    Case("delta that is 0 in float32", 1e-50, "delta is 1e-50, which float32 cannot divide by"),
    Case("least delta", TINY, meaning="nearly the hard step, H(0) = 1/2"),
    Case("delta of zero", 0.0, meaning="the hard step"),
]
RANKINGS = [
    (ap_loss, APLoss, ("exact", "pairwise", "bucketed")),
    (rank_sort_loss, RankSortLoss, ("exact", "pairwise", "bucketed")),
    (alrp_loss, ALRPLoss, ("exact", "pairwise")),
    (ndcg_loss, NDCGLoss, ("exact", "pairwise")),
]


@table(CASES)
def test_losses(case):
    if case.sentence is None:
        value = case.bad()
        values = value.values() if isinstance(value, dict) else [value]
        assert all(x.isfinite() for x in values if isinstance(x, torch.Tensor))
        return
    with pytest.raises(ValueError, match=case.sentence):
        case.bad()


@pytest.mark.parametrize(("function", "module", "algorithms"), RANKINGS, ids=lambda x: str(x)[:20])
@table(DELTA_CASES)
def test_delta(case, function, module, algorithms):
    for algorithm in algorithms:
        if case.sentence is None:
            _check_finite(function, case.bad, algorithm)
            continue
        with pytest.raises(ValueError, match=case.sentence):
            module(3, delta=case.bad, algorithm=algorithm)
        with pytest.raises(ValueError, match=case.sentence):
            _loss(function, torch.zeros(20), case.bad, algorithm)


def _loss(function, logits, delta, algorithm):
    targets = (torch.arange(len(logits)) % 5 == 0) * 0.7
    errors = (torch.full((4,), 0.3),) if function is alrp_loss else ()
    losses = function(logits, targets, *errors, delta=delta, algorithm=algorithm)
    return sum(losses) if isinstance(losses, tuple) else losses


def _check_finite(function, delta, algorithm):
    for dtype in (torch.float32, torch.float64):
        logits = torch.linspace(-1, 1, 20, dtype=dtype).roll(7).round(decimals=1).requires_grad_()
        loss = _loss(function, logits, delta, algorithm)
        loss.backward()
        assert loss.isfinite() and logits.grad.isfinite().all() and logits.grad.any()
