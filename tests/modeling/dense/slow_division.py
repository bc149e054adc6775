"""How PAA divides the candidates of one object, one loss at a time."""

from modeling.dense.slow_mixture import slow_fit, slow_log_joint, slow_log_sum


def slow_low_and_bound(losses, regularization=1e-6):
    """Places of low loss, and the loss of the likeliest of them, infinite if there is none."""
    mixture = slow_fit(losses, regularization)
    joints = [slow_log_joint(x, *mixture) for x in losses]
    low = [i for i, joint in enumerate(joints) if joint[0] >= joint[1]]
    if not low:
        return [], float("inf")
    most = max(slow_log_sum(joints[i]) for i in low)
    return low, min(losses[i] for i in low if slow_log_sum(joints[i]) == most)


def slow_up_to_likeliest(losses, regularization=1e-6):
    """The authors' release: what is no worse than the likeliest of low loss; else everything."""
    if not losses:
        return []
    _, bound = slow_low_and_bound(losses, regularization)
    return [i for i, loss in enumerate(losses) if loss <= bound]


def slow_low_up_to_likeliest(losses, regularization=1e-6):
    """mmdetection and the RS and BRS releases: of low loss alone, out of two or more."""
    if len(losses) < 2:
        return []
    low, bound = slow_low_and_bound(losses, regularization)
    return [i for i in low if losses[i] <= bound]
