"""The decoder's way through Co-Deformable-DETR, read from the names of released weights.

For one image without padding, so that all valid ratios are 1. Written from facts of the release:
one head, level and point at a time.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812

NUM_GROUPS = 32
AT = "query_head.transformer."


class SlowCoDETR:
    """``heads`` and ``points`` are what no shape of a weight shows."""

    def __init__(self, weights, heads, levels, points, queries):
        self.w = weights
        self.heads, self.levels, self.points = heads, levels, points
        self.queries = queries

    def linear(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def group_norm(self, name, x):
        return F.group_norm(x, NUM_GROUPS, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def maps(self, features):
        found = []
        for i, x in enumerate(features):
            x = F.conv2d(x, self.w[f"neck.convs.{i}.conv.weight"])
            found.append(self.group_norm(f"neck.convs.{i}.gn", x))
        x = features[-1]
        for i in range(self.levels - len(features)):
            x = F.conv2d(x, self.w[f"neck.extra_convs.{i}.conv.weight"], None, 2, 1)
            x = self.group_norm(f"neck.extra_convs.{i}.gn", x)
            found.append(x)
        return found

    def position(self, height, width, channels):
        """Codes of y, then of x, of a map."""
        code = torch.zeros(height, width, channels)
        half = channels // 2
        for axis, size in enumerate((height, width)):
            for cell in range(size):
                angle = (cell + 1 - 0.5) / (size + 1e-6) * 2 * math.pi
                for i in range(half):
                    turn = angle / 10000 ** (2 * (i // 2) / half)
                    value = math.cos(turn) if i % 2 else math.sin(turn)
                    code.select(axis, cell)[:, axis * half + i] = value
        return code.flatten(0, 1)

    def attend(self, name, queries, references, tokens, shapes):
        """``references``: ``(Q, 2)`` points or ``(Q, 4)`` boxes."""
        num, channels = len(queries), queries.shape[1]
        values = self.linear(f"{name}.value_proj", tokens)
        values = values.unflatten(1, (self.heads, -1)).split([h * w for h, w in shapes])
        sizes = (num, self.heads, self.levels, self.points)
        offsets = self.linear(f"{name}.sampling_offsets", queries).view(*sizes, 2)
        weights = self.linear(f"{name}.attention_weights", queries).view(num, self.heads, -1)
        weights = weights.softmax(2).view(sizes)
        result = torch.zeros(num, self.heads, channels // self.heads)
        for level, (height, width) in enumerate(shapes):
            for head in range(self.heads):
                image = values[level][:, head].T.view(1, -1, height, width)
                for point in range(self.points):
                    offset = offsets[:, head, level, point]
                    if references.shape[1] == 2:
                        place = references + offset / torch.tensor([width, height])
                    else:
                        place = references[:, :2] + offset / self.points * references[:, 2:] * 0.5
                    grid = (2 * place - 1).view(1, 1, -1, 2)
                    sample = F.grid_sample(image, grid, align_corners=False)[0, :, 0].T
                    result[:, head] += weights[:, head, level, point, None] * sample
        return self.linear(f"{name}.output_proj", result.flatten(1))

    def feed_forward(self, at, x):
        hidden = self.linear(f"{at}ffns.0.layers.0.0", x).relu()
        return x + self.linear(f"{at}ffns.0.layers.1", hidden)

    def count(self, part):
        """Number of layers."""
        name = AT + part + ".layers.{}.norms.0.weight"
        return next(n for n in range(99) if name.format(n) not in self.w)

    def encode(self, maps):
        shapes = [tuple(x.shape[-2:]) for x in maps]
        tokens = torch.cat([x[0].flatten(1).T for x in maps])
        codes = [
            self.position(*shape, tokens.shape[1]) + self.w[f"{AT}level_embeds"][level]
            for level, shape in enumerate(shapes)
        ]
        centers = [
            torch.tensor([((j + 0.5) / w, (i + 0.5) / h) for i in range(h) for j in range(w)])
            for h, w in shapes
        ]
        for n in range(self.count("encoder")):
            at = f"{AT}encoder.layers.{n}."
            queries = tokens + torch.cat(codes)
            attended = self.attend(f"{at}attentions.0", queries, torch.cat(centers), tokens, shapes)
            tokens = self.norm(f"{at}norms.0", tokens + attended)
            tokens = self.norm(f"{at}norms.1", self.feed_forward(at, tokens))
        return tokens, shapes, centers

    def box(self, branch, x):
        at = f"query_head.reg_branches.{branch}."
        hidden = self.linear(f"{at}2", self.linear(f"{at}0", x).relu()).relu()
        return self.linear(f"{at}4", hidden)

    def box_code(self, boxes, channels):
        columns = []
        for number in range(4):
            for i in range(channels // 4):
                turn = boxes[:, number] * 2 * math.pi / 10000 ** (2 * (i // 2) / (channels // 4))
                columns.append(turn.cos() if i % 2 else turn.sin())
        return torch.stack(columns, dim=1)

    def select(self, tokens, centers):
        """Boxes of the queries, by class 0 of the encoder's branch."""
        sizes = [torch.full_like(c, 0.05 * 2**level) for level, c in enumerate(centers)]
        priors = torch.cat([torch.cat(centers), torch.cat(sizes)], dim=1)
        is_valid = ((priors > 0.01) & (priors < 0.99)).all(1)
        x = torch.where(is_valid[:, None], tokens, torch.zeros(()))
        x = self.norm(f"{AT}enc_output_norm", self.linear(f"{AT}enc_output", x))
        last = self.count("decoder")
        scores = self.linear(f"query_head.cls_branches.{last}", x)[:, 0]
        boxes = (self.box(last, x) + (priors / (1 - priors)).log()).sigmoid()
        return boxes[scores.masked_fill(~is_valid, -1e9).topk(self.queries).indices]

    def decode(self, features):
        """Logits and boxes of the last layer."""
        tokens, shapes, centers = self.encode(self.maps(features))
        boxes = self.select(tokens, centers)
        channels = tokens.shape[1]
        code = self.linear(f"{AT}pos_trans", self.box_code(boxes, 2 * channels))
        position = self.norm(f"{AT}pos_trans_norm", code)[:, :channels]
        x = self.w["query_head.query_embedding.weight"]
        for n in range(self.count("decoder")):
            at = f"{AT}decoder.layers.{n}."
            x = self.norm(f"{at}norms.0", x + self.attend_own(at, x + position, x))
            attended = self.attend(f"{at}attentions.1", x + position, boxes, tokens, shapes)
            x = self.norm(f"{at}norms.1", x + attended)
            x = self.norm(f"{at}norms.2", self.feed_forward(at, x))
            boxes = (self.box(n, x) + (boxes / (1 - boxes)).log()).sigmoid()
        return self.linear(f"query_head.cls_branches.{n}", x), boxes

    def attend_own(self, at, queries, values):
        """Self-attention, one head at a time."""
        own, size = f"{at}attentions.0.attn.", values.shape[1] // self.heads
        inputs = queries, queries, values
        weights = self.w[f"{own}in_proj_weight"].chunk(3)
        biases = self.w[f"{own}in_proj_bias"].chunk(3)
        q, k, v = (F.linear(*one) for one in zip(inputs, weights, biases, strict=True))
        heads = []
        for head in range(self.heads):
            columns = slice(head * size, (head + 1) * size)
            scores = (q[:, columns] @ k[:, columns].T / size**0.5).softmax(1)
            heads.append(scores @ v[:, columns])
        return self.linear(f"{own}out_proj", torch.cat(heads, dim=1))
