"""Losses that go by epochs."""

from rankdet.losses._inputs import check_epoch_length


class EpochLoss:
    """The protocol of losses whose state changes with the epochs; ``EpochLengthHook`` speaks it.

    Attributes:
        iterations_per_epoch: length of an epoch; None: not known yet.
    """

    iterations_per_epoch: int | None

    @property
    def needs_epoch_length(self) -> bool:
        """Whether nobody has said how long an epoch is."""
        return self.iterations_per_epoch is None

    def set_epoch_length(self, num_iterations: int) -> None:
        """Say how long an epoch is; a length that was given to the constructor stays.

        Raises:
            ValueError: ``num_iterations`` is not positive.
        """
        check_epoch_length(num_iterations)
        if self.iterations_per_epoch is None:
            self.iterations_per_epoch = num_iterations
