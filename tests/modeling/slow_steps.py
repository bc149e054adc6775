"""The recurrent head of PCB, one proposal, cell and channel at a time."""

import torch
from torch.nn.functional import layer_norm


def slow_mlp(mlp, x):
    first, _, second = mlp
    hidden = (first.weight @ x + first.bias).clamp(min=0)
    return second.weight @ hidden + second.bias


def slow_steps(roi_heads, pooled):
    """Logits and deltas ``(N, columns)`` of each step, one proposal, cell and channel at a time."""
    attention, num_steps = roi_heads.refinement, len(roi_heads.step_weights)
    steps = [([], []) for _ in range(num_steps)]
    for features in pooled:
        for logits, deltas in steps:
            prediction = roi_heads.box_predictor(roi_heads.box_head(features.unsqueeze(0)))
            z, b = prediction[0][0], prediction[1][0]
            logits.append(z)
            deltas.append(b)
            norm = attention.norm
            if isinstance(norm, torch.nn.LayerNorm):
                z = layer_norm(z, z.shape, norm.weight, norm.bias)
            channels, cells = slow_mlp(attention.mlp_cls, z), slow_mlp(attention.mlp_loc, b)
            refined, width = features.clone(), features.shape[2]
            for d, y, x in torch.cartesian_prod(*map(torch.arange, features.shape)):
                refined[d, y, x] = features[d, y, x] * cells[width * y + x] + channels[d]
            features = refined
    return [(torch.stack(logits), torch.stack(deltas)) for logits, deltas in steps]
