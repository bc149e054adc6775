"""Slow and obvious: deformable attention and the transformer, one number after another."""

from math import floor, sqrt

import torch
from torch.nn.functional import layer_norm, linear


def bilinear(cells, x, y):
    """Value ``(d,)`` of a map ``(d, H, W)`` at a place in shares; 0 beyond the map."""
    _, height, width = cells.shape
    column, row = x * width - 0.5, y * height - 0.5
    left, top = floor(column.item()), floor(row.item())
    total = cells.new_zeros(len(cells))
    for i in (top, top + 1):
        for j in (left, left + 1):
            if 0 <= i < height and 0 <= j < width:
                total = total + (1 - abs(column - j)) * (1 - abs(row - i)) * cells[:, i, j]
    return total


def place(reference, offset, shape, num_points):
    """Where a point is, x and y."""
    height, width = shape
    if len(reference) == 2:
        return reference[0] + offset[0] / width, reference[1] + offset[1] / height
    x, y, w, h = reference
    return x + offset[0] / num_points * w * 0.5, y + offset[1] / num_points * h * 0.5


def attend(attention, query, references, maps):
    """Of one query ``(D,)``, by references of all levels, to maps ``(D, H, W)`` of values."""
    sizes = attention.num_heads, attention.num_levels, attention.num_points
    offsets = attention.sampling_offsets(query).view(*sizes, 2)
    logits = attention.attention_weights(query).view(*sizes)
    width = len(query) // attention.num_heads
    heads = []
    for head in range(attention.num_heads):
        total, weights = 0, 0
        for level in range(attention.num_levels):
            cells = maps[level][head * width : (head + 1) * width]
            for point in range(attention.num_points):
                offset = offsets[head, level, point]
                at = place(references[level], offset, cells.shape[1:], attention.num_points)
                weight = logits[head, level, point].exp()
                total, weights = total + weight * bilinear(cells, *at), weights + weight
        heads.append(total / weights)
    return attention.output_proj(torch.cat(heads))


def value_maps(attention, memory, image):
    """Values ``(D, H, W)`` of each level of an image; padding has none."""
    values = [
        torch.zeros_like(token) if padding else attention.value_proj(token)
        for token, padding in zip(memory.tokens[image], memory.is_padding[image], strict=True)
    ]
    maps = []
    for height, width in memory.shapes:
        rows = [torch.stack(values[i * width : (i + 1) * width], dim=1) for i in range(height)]
        maps.append(torch.stack(rows, dim=1))
        values = values[height * width :]
    return maps


def slow_attention(attention, queries, references, memory):
    """``DeformableAttention``."""
    images = []
    for image in range(len(queries)):
        maps = value_maps(attention, memory, image)
        rows = zip(queries[image], references[image], strict=True)
        images.append(torch.stack([attend(attention, *row, maps) for row in rows]))
    return torch.stack(images)


def normalized(norm, x):
    return layer_norm(x, x.shape[-1:], norm.weight, norm.bias)


def feed_forward(layer, x):
    first, last = layer.feed_forward[0], layer.feed_forward[3]
    return normalized(layer.feed_forward_norm, x + last(first(x).clamp(min=0)))


def valid_cells(memory, image):
    """Columns and rows of an image on each level."""
    flat = memory.is_padding[image].split([height * width for height, width in memory.shapes])
    masks = [mask.view(shape) for mask, shape in zip(flat, memory.shapes, strict=True)]
    return [((~mask).any(0).sum().item(), (~mask).any(1).sum().item()) for mask in masks]


def slow_references(memory):
    """``(B, S, L, 2)``: shares of the image, then of each padded map."""
    images = []
    for image in range(len(memory.tokens)):
        cells = valid_cells(memory, image)
        references = []
        for (columns, rows), (height, width) in zip(cells, memory.shapes, strict=True):
            for i in range(height):
                for j in range(width):
                    x, y = (j + 0.5) / columns, (i + 0.5) / rows
                    references.append(
                        [
                            (x * target_columns / w, y * target_rows / h)
                            for (target_columns, target_rows), (h, w) in zip(
                                cells, memory.shapes, strict=True
                            )
                        ]
                    )
        images.append(references)
    return torch.tensor(images, dtype=torch.float64)


def slow_encoder_layer(layer, memory, positions):
    tokens = memory.tokens
    attended = slow_attention(layer.attention, tokens + positions, slow_references(memory), memory)
    return feed_forward(layer, normalized(layer.attention_norm, tokens + attended))


def self_attention(attention, queries, values):
    """``nn.MultiheadAttention`` of one image: queries and keys ``(Q, D)``, values ``(Q, D)``."""
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    inputs = zip((queries, queries, values), weights, biases, strict=True)
    q, k, v = (linear(*x).chunk(attention.num_heads, 1) for x in inputs)
    heads = []
    for head in range(attention.num_heads):
        scores = q[head] @ k[head].T / sqrt(q[head].shape[1])
        heads.append(scores.softmax(dim=1) @ v[head])
    return attention.out_proj(torch.cat(heads, dim=1))


def slow_decoder_layer(layer, contents, positions, boxes, memory):
    attended = torch.stack(
        [
            self_attention(layer.self_attention, content + position, content)
            for content, position in zip(contents, positions, strict=True)
        ]
    )
    contents = normalized(layer.self_attention_norm, contents + attended)
    references = []
    for image, image_boxes in enumerate(boxes):
        cells = zip(valid_cells(memory, image), memory.shapes, strict=True)
        ratios = [image_boxes.new_tensor([c / w, r / h] * 2) for (c, r), (h, w) in cells]
        references.append(torch.stack([image_boxes * ratio for ratio in ratios], dim=1))
    queries = contents + positions
    attended = slow_attention(layer.attention, queries, torch.stack(references), memory)
    return feed_forward(layer, normalized(layer.attention_norm, contents + attended))


def slow_decoder(decoder, queries, memory):
    """Logits and boxes of all layers."""
    contents, positions, boxes = queries
    previous = boxes
    logits, predicted = [], []
    for n, layer in enumerate(decoder.layers):
        contents = slow_decoder_layer(layer, contents, positions, boxes, memory)
        logits.append(decoder.class_heads[n](contents))
        change = decoder.box_heads[n](contents)
        predicted.append(refined(previous, change))  # Its gradient reaches two heads.
        previous = refined(boxes, change)
        boxes = previous.detach()
    return torch.stack(logits), torch.stack(predicted)


def refined(boxes, change):
    boxes = boxes.clamp(1e-5, 1 - 1e-5)
    return 1 / (1 + (1 - boxes) / boxes * (-change).exp())
