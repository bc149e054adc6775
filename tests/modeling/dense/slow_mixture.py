"""Expectation maximization by plain loops, as scikit-learn stops and regularizes it."""

import math


def slow_log_joint(x, weights, means, variances):
    """Log of weight times density, one number per component."""
    return [
        math.log(w) - math.log(2 * math.pi * v) / 2 - (x - m) ** 2 / (2 * v)
        for w, m, v in zip(weights, means, variances, strict=True)
    ]


def slow_log_sum(joint):
    return max(joint) + math.log(sum(math.exp(j - max(joint)) for j in joint))


def slow_fit(samples, regularization=1e-6, tolerance=1e-3, max_iterations=100):
    """Weights, means and variances of one row, one sample and one component at a time."""
    weights, means, variances = [0.5, 0.5], [min(samples), max(samples)], [1.0, 1.0]
    previous = -math.inf
    for _ in range(max_iterations):
        responsibilities, total = [], 0.0
        for x in samples:
            joint = slow_log_joint(x, weights, means, variances)
            likelihood = slow_log_sum(joint)
            responsibilities.append([math.exp(j - likelihood) for j in joint])
            total += likelihood
        for c in range(2):
            count = sum(r[c] for r in responsibilities) + 10 * 2.0**-52
            mean = sum(r[c] * x for r, x in zip(responsibilities, samples, strict=True)) / count
            square = sum(
                r[c] * (x - mean) ** 2 for r, x in zip(responsibilities, samples, strict=True)
            )
            weights[c], means[c], variances[c] = count, mean, square / count + regularization
        weights = [w / sum(weights) for w in weights]
        if abs(total / len(samples) - previous) < tolerance:
            break
        previous = total / len(samples)
    return weights, means, variances
