"""Draws the picture of ``rankdet/losses/README.md``: ``python tests/docs/draw_losses.py``.

Above: what an object of a common class does to the logit of a frequent and of a rare class. Below:
what two ranking losses do to logits, by their rank.
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from rankdet.losses import (
    ClassificationLoss,
    ECMLoss,
    EQLv2Loss,
    SeesawLoss,
    SigmoidBCELoss,
    SoftmaxCrossEntropyLoss,
    ap_loss,
    rank_sort_loss,
)

PICTURE = Path(__file__).with_name("losses.png")
COUNTS = [1000, 100, 10]
FREQUENT, COMMON, RARE = range(3)
BACKGROUND_RATIO = 4
NUM_BATCHES = 200
LOSSES: dict[str, Callable[[], ClassificationLoss]] = {
    "softmax CE": lambda: SoftmaxCrossEntropyLoss(len(COUNTS)),
    "sigmoid BCE": lambda: SigmoidBCELoss(len(COUNTS)),
    "ECM": lambda: ECMLoss(COUNTS, background_ratio=BACKGROUND_RATIO),
    "Seesaw": lambda: SeesawLoss(len(COUNTS)),
    "EQL v2": lambda: EQLv2Loss(len(COUNTS)),
}
BLUE, ORANGE, GRAY = "#1f5fa8", "#d9661f", "#8a8a8a"

# By rank: the IoU of a positive, 0 for a negative.
TARGETS = torch.tensor([0.6, 0, 0.9, 0, 0, 0.7, 0, 0.5, 0, 0])
LOGITS = torch.linspace(3, -3, len(TARGETS))


def main() -> None:
    """Draw the picture, with few colors, so that it is small."""
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figure = plt.figure(figsize=(9, 4.8), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1))
    _draw_negatives(above.subplots(1, len(LOSSES), sharex=True, sharey=True))
    above.suptitle("Gradient on a class's logit, of an object of another class (100 instances)")
    _draw_ranks(below.subplots(1, 2, sharey=True))
    below.suptitle("Gradient on each logit, by rank")
    figure.savefig(PICTURE, dpi=110)
    with Image.open(PICTURE) as picture:
        picture.convert("RGB").quantize(32).save(PICTURE, optimize=True)


def trained(make: Callable[[], ClassificationLoss]) -> ClassificationLoss:
    """A loss that has observed batches of the classes' frequencies, all logits being 0."""
    loss = make()
    num_background = BACKGROUND_RATIO * sum(COUNTS)
    labels = torch.arange(len(COUNTS) + 1).repeat_interleave(
        torch.tensor([*COUNTS, num_background])
    )
    for _ in range(NUM_BATCHES):
        loss.observe(torch.zeros(len(labels), loss.num_logits), labels)
    return loss


def negative_gradients(loss: ClassificationLoss, class_id: int, values: Tensor) -> Tensor:
    """Gradient on the logit of a class, of one sample of ``COMMON`` whose other logits are 0."""
    gradients = []
    for value in values:
        logits = torch.zeros(1, loss.num_logits)
        logits[0, class_id] = value
        loss(logits.requires_grad_(), torch.tensor([COMMON])).backward()
        gradients.append(logits.grad[0, class_id])
    return torch.stack(gradients)


def rank_gradients() -> dict[str, Tensor]:
    """Gradients of both ranking losses on ``LOGITS``."""
    gradients = {}
    for name in ("AP", "RS"):
        logits = LOGITS.clone().requires_grad_()
        if name == "AP":
            ap_loss(logits, TARGETS).backward()
        else:
            sum(rank_sort_loss(logits, TARGETS)).backward()
        gradients[name] = logits.grad
    return gradients


def _draw_negatives(axes: list[Axes]) -> None:
    values = torch.linspace(-6, 6, 61)
    for panel, (name, make) in zip(axes, LOSSES.items(), strict=True):
        loss = trained(make)
        for class_id, color, style in ((FREQUENT, BLUE, "-"), (RARE, ORANGE, "--")):
            gradients = negative_gradients(loss, class_id, values)
            label = f"{COUNTS[class_id]:,} instances"
            panel.plot(values, gradients, style, color=color, label=label)
        panel.set(title=name, xlabel="its logit")
    axes[0].set_ylabel("pushed down by")
    axes[0].legend(frameon=False, loc="upper left")


def _draw_ranks(axes: list[Axes]) -> None:
    ranks = torch.arange(1, len(TARGETS) + 1)
    colors = [BLUE if target > 0 else GRAY for target in TARGETS]
    names = [f"IoU {target:.1f}" if target > 0 else "negative" for target in TARGETS]
    for panel, (name, gradient) in zip(axes, rank_gradients().items(), strict=True):
        panel.bar(ranks, -gradient, color=colors)
        panel.axhline(0, color="black", linewidth=0.6)
        panel.set_title(name)
        panel.set_xticks(ranks, names, rotation=60)
    axes[0].set_ylabel("pushed up by")


if __name__ == "__main__":
    main()
