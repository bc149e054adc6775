"""Label smoothing, fixed and online, by loops over samples and classes."""

import torch


def smoothed_loss(logits, labels, soft_labels, eps):
    """Mean cross-entropy of (1 - eps) label + eps soft label; background, C, keeps its label."""
    num_classes, rows = logits.shape[1] - 1, []
    for z, y in zip(logits, labels.tolist(), strict=True):
        total = sum(x.exp() for x in z)
        target = [float(i == y) for i in range(num_classes + 1)]
        if y < num_classes:
            smooth = [*soft_labels[y], 0.0]
            target = [(1 - eps) * t + eps * s for t, s in zip(target, smooth, strict=True)]
        rows.append(-sum(t * (x.exp() / total).log() for t, x in zip(target, z, strict=True)))
    return torch.stack(rows).mean()


def next_soft_labels(soft_labels, epoch):
    """Mean foreground probabilities of the correct samples of an epoch's batches, by class."""
    num_classes = len(soft_labels)
    correct = {y: [] for y in range(num_classes)}
    for logits, labels in epoch:
        for z, y in zip(logits.detach(), labels.tolist(), strict=True):
            if y < num_classes and max(z) == z[y]:
                exp = z[:num_classes].exp()
                correct[y].append(exp / sum(exp))
    means = [sum(p) / len(p) if p else soft_labels[y] for y, p in correct.items()]
    return torch.stack(means)
