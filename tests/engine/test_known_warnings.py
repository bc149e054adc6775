import logging
import warnings

import pytest
import torch

from rankdet.engine.known_warnings import silence_known_warnings

FX = "torch.fx._symbolic_trace"


@pytest.fixture(autouse=True)
def silenced():
    """The test's own filters, so that no other test is affected."""
    logger = logging.getLogger(FX)
    filters = list(logger.filters)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        silence_known_warnings()
        yield shown
    logger.filters[:] = filters


def test_known_warnings_are_hidden(silenced):
    warnings.warn("pkg_resources is deprecated as an API.", UserWarning, stacklevel=1)
    torch.meshgrid(torch.ones(2), torch.ones(2))
    torch.cuda.amp.GradScaler(enabled=False)
    torch.cuda.amp.autocast(enabled=False)
    assert not silenced


def test_other_warnings_are_shown(silenced):
    warnings.warn("the API of pkg_resources is deprecated", UserWarning, stacklevel=1)
    assert len(silenced) == 1


def test_only_the_known_log_message_is_hidden(caplog):
    logger = logging.getLogger(FX)
    with caplog.at_level(logging.WARNING, logger=FX):
        logger.warning("is_fx_tracing will return true for both ...")
        logger.warning("something else")
    assert "is_fx_tracing" not in caplog.text
