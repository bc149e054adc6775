"""What several tests of the tools share."""

from pathlib import Path

import pytest
from markupsafe import Markup
from matplotlib.axes import Axes
from support.smoke_run import save_untrained_run

from rankdet.tools.report import plots


@pytest.fixture(scope="session")
def untrained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended before it has learned anything; tests may add files to it."""
    return save_untrained_run(tmp_path_factory.mktemp("untrained"))


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the plots of a report empty: to draw them takes most of the time."""

    def svg(axes: Axes, label: str) -> Markup:
        return Markup('<svg role="img" aria-label="{}"></svg>').format(label)

    monkeypatch.setattr(plots, "svg", svg)
