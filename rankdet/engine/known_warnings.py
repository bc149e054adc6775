"""Hides warnings of Detectron2 and PyTorch about each other, which a user can't mend."""

import logging
import warnings

_WARNINGS = (
    "pkg_resources is deprecated",  # Detectron2's model zoo; setuptools is pinned.
    r"`torch.cuda.amp.(autocast|GradScaler)\(args...\)` is deprecated",  # Detectron2's AMPTrainer
    "torch.meshgrid: in an upcoming release",  # Detectron2's anchors
)
_LOG_MESSAGES = {
    "torch.fx._symbolic_trace": "is_fx_tracing will return true",  # Detectron2's ROI pooler
    "torch.utils.cpp_extension": "No CUDA runtime is found",  # Detectron2's list of versions
}


def silence_known_warnings() -> None:
    """Hide these and no others. Call it in every process, before Detectron2 is used."""
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message)
    for logger_name, message in _LOG_MESSAGES.items():
        logging.getLogger(logger_name).addFilter(_Without(message))


class _Without(logging.Filter):
    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep all other messages."""
        return not record.getMessage().startswith(self.message)
