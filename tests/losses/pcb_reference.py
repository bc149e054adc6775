"""PCB and its bases by loops over samples and classes, straight from the papers' equations."""

import torch

SEESAW = {"p": 0.8, "q": 2.0, "eps": 0.01}
EQL = {"gamma": 12.0, "mu": 0.8, "alpha": 4.0}


def random_batches(num_batches, num_classes, num_logits, *, num_samples=12, seed=0):
    """Batches of logits and labels (background included), each with classes of its own."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_batches):
        logits = 2 * torch.randn(num_samples, num_logits, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, num_classes + 1, (num_samples,), generator=generator)
        yield logits.requires_grad_(), labels


def next_matrix(matrix, probs, labels, momentum):
    """PCB eq. 9; ``matrix`` maps the classes seen so far to their rows."""
    matrix = dict(matrix)
    for y in set(labels.tolist()) - {probs.shape[1]}:
        mean = torch.stack([p for p, label in zip(probs, labels, strict=True) if label == y]).mean(
            0
        )
        matrix[y] = momentum * matrix[y] + (1 - momentum) * mean if y in matrix else mean
    return matrix


def soft_target(matrix, y, num_classes, normalized=True):
    """Column y by PCB eq. 5, over the classes seen."""
    column = [matrix[i][y] if i in matrix else torch.tensor(0.0) for i in range(num_classes)]
    total = sum(column) if normalized else 1.0
    return [x / total for x in column]


class SlowSoftmax:
    """PCB eqs. 1, 10, 11."""

    normalized = True

    def __init__(self, num_classes):
        self.num_classes = num_classes

    def probs(self, logits):
        exp = logits[:, : self.num_classes].exp()
        return exp / exp.sum(1, keepdim=True)

    def begin(self, labels):
        """Statistics of a batch that change before its first step."""

    def begin_step(self):
        """What is collected in a step starts here."""

    def end(self):
        """Statistics of a batch that change after its last step."""

    def hard(self, z, y):
        return -(z[y].exp() / z.exp().sum()).log()

    def soft(self, z, y, target):
        total = z[: self.num_classes].exp().sum()
        return -sum(t * (z[i].exp() / total).log() for i, t in enumerate(target))

    def loss(self, z, y, target, alpha):
        if alpha == 0:
            return self.hard(z, y)
        return alpha * self.soft(z, y, target) + (1 - alpha) * self.hard(z, y)


class SlowSeesaw(SlowSoftmax):
    """PCB eqs. 16 to 18, with the objectness of Seesaw."""

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.counts = [0] * num_classes

    def begin(self, labels):
        for y in labels.tolist():
            if y < self.num_classes:
                self.counts[y] += 1

    def factor(self, z, i, j):
        p = self.probs(z.detach()[None])[0]
        n_i, n_j = max(self.counts[i], 1), max(self.counts[j], 1)
        ratio = p[j] / max(p[i], SEESAW["eps"])
        return min(1.0, n_j / n_i) ** SEESAW["p"] * max(1.0, ratio) ** SEESAW["q"]

    def log_prob(self, z, i):
        """Eq. 16: log of p_i."""
        others = sum(self.factor(z, i, j) * z[j].exp() for j in range(self.num_classes) if j != i)
        return (z[i].exp() / (others + z[i].exp())).log()

    def hard(self, z, y):
        bg = z[self.num_classes :]
        objectness = -(bg[int(y == self.num_classes)].exp() / bg.exp().sum()).log()
        return objectness if y == self.num_classes else objectness - self.log_prob(z, y)

    def soft(self, z, y, target):
        bg = z[self.num_classes :]
        loss = -(bg[0].exp() / bg.exp().sum()).log()
        for i, t in enumerate(target):
            loss = loss - t * self.log_prob(z, i)
        return loss


class SlowEQLv2(SlowSoftmax):
    """PCB eqs. 13 to 15 with EQL v2's weights."""

    normalized = False

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.sums = torch.zeros(2, num_classes, dtype=torch.float64)  # of positives, negatives

    def probs(self, logits):
        return 1 / (1 + (-logits[:, : self.num_classes]).exp())

    def begin_step(self):
        self.new_sums = self.sums.clone()

    def end(self):
        self.sums = self.new_sums.clone()

    def weights(self, i):
        pos, neg = self.sums[:, i]
        f = 1 / (1 + (-EQL["gamma"] * (pos / neg - EQL["mu"])).exp()) if neg > 0 else 1.0
        return 1 + EQL["alpha"] * (1 - f), f

    def loss(self, z, y, target, alpha):
        bce = lambda z, t: -t * z.sigmoid().log() - (1 - t) * (1 - z.sigmoid()).log()  # noqa: E731
        loss = bce(z[-1], float(y == self.num_classes))
        for i in range(self.num_classes):
            t = float(i == y)
            w = self.weights(i)[0 if t else 1]
            soft = alpha * bce(z[i], target[i]) if alpha else 0
            loss = loss + w * (soft + (1 - alpha) * bce(z[i], t))
            gradient = w * (z[i].detach().sigmoid() - t).abs()
            self.new_sums[0 if t else 1, i] += gradient
        return loss


class SlowPCB:
    """PCB eqs. 9 to 11 around a slow base: one call per iteration with the logits of each step."""

    def __init__(self, base, *, alpha, momentum, start=0):
        self.base, self.alpha, self.momentum, self.start = base, alpha, momentum, start
        self.matrix, self.iteration = {}, 0

    def __call__(self, logits_of_steps, labels):
        losses, num_steps = [], len(logits_of_steps)
        self.base.begin(labels)
        probs = self.base.probs(logits_of_steps[-1].detach())
        self.matrix = next_matrix(self.matrix, probs, labels, self.momentum)
        for step, logits in enumerate(logits_of_steps):
            alpha = self.alpha * (step / (num_steps - 1) if num_steps > 1 else 1)
            losses.append(self.step(logits, labels, alpha if self.iteration >= self.start else 0))
        self.base.end()
        self.iteration += 1
        return losses

    def step(self, logits, labels, alpha):
        base, total = self.base, 0
        base.begin_step()
        for z, y in zip(logits, labels.tolist(), strict=True):
            is_soft = alpha > 0 and y in self.matrix
            target = (
                soft_target(self.matrix, y, base.num_classes, base.normalized) if is_soft else 0
            )
            total = total + base.loss(z, y, target, alpha if is_soft else 0)
        return total / len(labels)
