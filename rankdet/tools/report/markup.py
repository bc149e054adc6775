"""Pieces of HTML; what they are given as `html` is HTML already, everything else is escaped."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from rankdet.tools.report.method import Method, Spread
from rankdet.tools.report.theme import method_colour

UNKNOWN = "&ndash;"
"""Stands where there is no value."""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        html: its content.
        sources: the files that hold its numbers.
        notes: sentences at its foot: what its numbers rest on, and what is left out.
    """

    title: str
    html: str
    sources: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """What links to it."""
        return self.title.lower().replace(" ", "-")


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{style}">{escape(text)}</p>' if style else f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], style: str = "") -> str:
    """A table that scrolls sideways where it is too wide.

    Args:
        header: html of the head of each column; no head is shown if all are empty.
        rows: html of the cells; the first is the head of its row.
        style: CSS class.
    """
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    head = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
        for first, *others in rows
    )
    # Focusable, so that it can be scrolled by the keyboard.
    return (
        f'<div class="scroll" tabindex="0"><table class="{style}">{head}'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(html: str, caption: str = "", remark: str = "") -> str:
    """A picture under its caption."""
    small = f"<small>{escape(remark)}</small>" if remark else ""
    head = f"<figcaption>{escape(caption)}{small}</figcaption>" if caption else ""
    return f"<figure>{head}{html}</figure>"


def grid(figures: Iterable[str], *, narrow: bool = False) -> str:
    """Figures in as many columns as there is room for, three on a desk or, if narrow, four."""
    return f'<div class="grid{" narrow" if narrow else ""}">{"".join(figures)}</div>'


def details(summary: str, html: str, *, is_open: bool = False) -> str:
    """Content that can be folded away.

    Args:
        summary: html of what is always seen.
        html: the content.
        is_open: whether it is seen at first.
    """
    return f"<details{' open' if is_open else ''}><summary>{summary}</summary>{html}</details>"


def dot(method: Method) -> str:
    """A patch of the colour of a method."""
    return f'<i class="dot" style="background:var(--{method_colour(method.index)})"></i>'


def name(method: Method) -> str:
    """The name of a method behind its colour; on phones it may be broken between its words."""
    return dot(method) + re.sub("([_/-])", r"\1<wbr>", escape(method.name))


def key(methods: Sequence[Method]) -> str:
    """Which colour is which method."""
    return f'<ul class="key">{"".join(f"<li>{name(method)}</li>" for method in methods)}</ul>'


def number(value: float | None, digits: int = 1) -> str:
    """A number; a dash where it is undefined."""
    if value is None or value != value:
        return UNKNOWN
    text = f"{value:.{digits}f}"
    return text.replace("-", "&minus;") if float(text) else text.lstrip("-")


def with_spread(value: Spread | None, digits: int = 1) -> str:
    """Mean ± standard deviation over seeds; the mean alone of one seed."""
    if value is None:
        return UNKNOWN
    mean = number(value.mean, digits)
    return f"{mean} ± {number(value.deviation, digits)}" if value.number > 1 else mean
