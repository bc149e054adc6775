"""Heads of the one-stage detectors as loops over locations, for the golden files."""

import math

import numpy as np

FIRST_DISTANCE = 2.0


def slow_convolution(weights, name, x):
    """3 x 3 with zeros around the map."""
    weight = weights[f"{name}.weight"]
    bias = weights.get(f"{name}.bias", np.zeros(len(weight)))
    channels, height, width = x.shape
    padded = np.zeros((channels, height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = x
    output = np.zeros((len(weight), height, width))
    for row in range(height):
        for column in range(width):
            window = padded[:, row : row + 3, column : column + 3]
            output[:, row, column] = (weight * window).sum((1, 2, 3)) + bias
    return output


def slow_sample(x, row, column):
    """Bilinear between the four neighbors; those outside are 0."""
    value = np.zeros(len(x))
    for r in (math.floor(row), math.floor(row) + 1):
        for c in (math.floor(column), math.floor(column) + 1):
            if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
                value += (1 - abs(row - r)) * (1 - abs(column - c)) * x[:, r, c]
    return value


def slow_star(weights, name, x, distances):
    """3 x 3 whose taps read the box of each location: corners, middles of sides, the location."""
    weight = weights[f"{name}.weight"]
    output = np.zeros((len(weight), *x.shape[1:]))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            left, top, right, bottom = distances[:, row, column]
            for i, r in enumerate((row - top, row, row + bottom)):
                for j, c in enumerate((column - left, column, column + right)):
                    output[:, row, column] += weight[:, :, i, j] @ slow_sample(x, r, c)
    return output


def slow_relu(x):
    return np.maximum(x, 0)


def slow_dense_head(weights, feature, level, quality_branch):
    """Logits and deltas of a level; with a branch also the quality read from it."""
    branches = {
        name: slow_relu(slow_convolution(weights, f"{name}_subnet.0", feature))
        for name in ("cls", "bbox")
    }
    outputs = [
        slow_convolution(weights, "cls_score", branches["cls"]),
        weights["scales"][level] * slow_convolution(weights, "bbox_pred", branches["bbox"]),
    ]
    if quality_branch is not None:
        outputs.append(slow_convolution(weights, "ctrness", branches[quality_branch]))
    return outputs


def slow_varifocal_head(weights, feature, level, stride):
    """Logits and the distances of refined and first boxes, pixels."""
    classes = slow_relu(slow_convolution(weights, "cls_subnet.0", feature))
    boxes = slow_relu(slow_convolution(weights, "bbox_subnet.0", feature))
    first_feature = slow_relu(slow_convolution(weights, "bbox_conv", boxes))
    logs = weights["scales"][level] * slow_convolution(weights, "bbox_pred", first_feature)
    first = FIRST_DISTANCE * np.exp(logs)  # in cells
    star = slow_relu(slow_star(weights, "bbox_star", boxes, first))
    logs = weights["factor_scales"][level] * slow_convolution(weights, "bbox_factor", star)
    star = slow_relu(slow_star(weights, "cls_star", classes, first))
    logits = slow_convolution(weights, "cls_score", star)
    return logits, stride * first * np.exp(logs), stride * first
