"""Fixtures of the tables about annotation files."""

import logging

import pytest
from bad_input.small_data import write_small_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the two images; results are kept beside it."""
    folder = tmp_path_factory.mktemp("small")
    write_small_images(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANKDET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture
def log(caplog, monkeypatch):
    """What rankdet logs, whether a tool has set its logger up or not."""
    monkeypatch.setattr(logging.getLogger("rankdet"), "propagate", True)
    caplog.set_level(logging.INFO, "rankdet")
    return caplog
