"""Learning rates by the names of parameters."""

from collections.abc import Mapping


class RateFactors:
    """Slows parameters down by a part of their names: the ``lr_factor_func`` of Detectron2.

    Give ``get_default_optimizer_params`` the ``base_lr`` with it. Factors of several parts that a
    name holds are multiplied.

    Args:
        factors: by a part of a parameter's full name, such as {"backbone": 0.1}; each >= 0.

    Raises:
        ValueError: a factor is negative.
    """

    def __init__(self, factors: Mapping[str, float]) -> None:
        for part, factor in factors.items():
            if not factor >= 0:
                raise ValueError(f"factors[{part!r}] is {factor}; give a number >= 0.")
        self.factors = dict(factors)

    def __call__(self, name: str) -> float:
        """Factor of the learning rate of a parameter."""
        rate = 1.0
        for part, factor in self.factors.items():
            if part in name:
                rate *= factor
        return rate
