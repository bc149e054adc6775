"""Matplotlib figures as SVG inside a page: its font, and colors that follow day and night."""

import re
from contextlib import AbstractContextManager
from io import StringIO
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# CSS variables of templates/style.css.
_VARIABLES = ("card", "ink", "soft", "muted", "line", "grid", *(f"m{i}" for i in range(8)))
# Matplotlib wants real colors; each stands for a CSS variable until the SVG is written.
_STAND_INS = {name: f"#0000{index:02x}" for index, name in enumerate(_VARIABLES, start=1)}
# Inches: 338 units wide, about as many pixels on a phone; and for four in a row on a desk.
_SIZE = (4.7, 3.1)
NARROW = (3.7, 2.9)
_STYLE: Any = {  # Matplotlib knows the names of its settings, but no type for their dict.
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.edgecolor": _STAND_INS["line"],
    "axes.labelcolor": _STAND_INS["soft"],
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _STAND_INS["grid"],
    "grid.linewidth": 0.8,
    "text.color": _STAND_INS["soft"],
    "text.parse_math": False,
    "xtick.color": _STAND_INS["line"],
    "ytick.color": _STAND_INS["line"],
    "xtick.labelcolor": _STAND_INS["soft"],
    "ytick.labelcolor": _STAND_INS["soft"],
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


def style() -> AbstractContextManager[None]:
    """Context in which figures are made and written."""
    context: AbstractContextManager[None] = matplotlib.rc_context(_STYLE)
    return context


def color(variable: str) -> str:
    """What stands for a CSS variable in a figure until it is written."""
    return _STAND_INS[variable]


def panel(x_label: str = "", y_label: str = "", size: tuple[float, float] = _SIZE) -> Axes:
    """Axes of a figure of their own, to be passed to :func:`svg`."""
    axes = Figure(size, layout="constrained").subplots()
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.tick_params(length=3)
    return axes


def svg(axes: Axes, label: str) -> Markup:
    """Write the figure of some axes as an SVG element.

    Args:
        axes: from :func:`panel`.
        label: what it shows, for those who can't see it. No two figures of a page may have the same
            label, as their ids are made of it.
    """
    stream, figure = StringIO(), axes.figure
    assert isinstance(figure, Figure)  # As panel() makes it.
    with matplotlib.rc_context({"svg.hashsalt": label}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_inline(stream.getvalue(), label))


def _inline(text: str, label: str) -> str:
    text = text[text.index("<svg") :]
    # Its style would hold for the whole page.
    text = re.sub(r"<(metadata|style).*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1">', text, count=1)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
    text = text.replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: m.group() if m.group(1) in used else "", text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", text)
    for variable, stand_in in _STAND_INS.items():
        text = text.replace(stand_in, f"var(--{variable})")
    return re.sub(r"\n\s*", " ", text).strip()
