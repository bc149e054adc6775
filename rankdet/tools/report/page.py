"""The page: its sections, and the templates that write them as HTML."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from rankdet.tools.report.methods import Method, Spread

UNKNOWN = "\N{EN DASH}"
"""Stands where there is no value."""


class Picture(NamedTuple):
    """A plot under its caption.

    Attributes:
        picture: SVG.
        caption: text.
        remark: small text below the caption.
    """

    picture: Markup
    caption: str
    remark: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        macro: the macro of ``templates/sections.html`` that writes it.
        content: the arguments of the macro; all text in it is escaped.
        sources: the files that hold its numbers.
        notes: sentences at its foot: what its numbers rest on, and what is left out.
    """

    title: str
    macro: str
    content: dict[str, Any]
    sources: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """What links to it."""
        return self.title.lower().replace(" ", "-")

    def files_below(self, root: Path) -> list[tuple[str, list[str]]]:
        """Names of the sources, each with the folders that have such a file, relative to a root."""
        folders: dict[str, list[str]] = {}
        for path in self.sources:
            folder = os.path.relpath(path.parent.resolve(), root)
            folders.setdefault(path.name, []).append(folder)
        return list(folders.items())


def build_page(title: str, subtitle: str, sections: Sequence[Section], root: Path) -> str:
    """Write the sections one below the other, with links to them and the files behind them.

    Args:
        title: of the page.
        subtitle: a sentence.
        sections: from top to bottom.
        root: folder that the names of files are relative to.
    """
    template = _environment().get_template("page.html")
    return template.render(title=title, subtitle=subtitle, sections=sections, root=root)


def number(value: float | None, digits: int = 1) -> str:
    """A number; a dash where it is undefined."""
    if value is None or value != value:
        return UNKNOWN
    text = f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def with_spread(value: Spread | None, digits: int = 1) -> str:
    """Mean ± standard deviation over seeds; the mean alone of one seed."""
    if value is None:
        return UNKNOWN
    mean = number(value.mean, digits)
    return f"{mean} ± {number(value.deviation, digits)}" if value.number > 1 else mean


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    environment.tests["method"] = lambda value: isinstance(value, Method)
    environment.tests["path"] = lambda value: isinstance(value, PurePath)
    return environment


def _breakable(text: str) -> Markup:
    """Text that may be broken behind ``_``, ``/`` and ``-``."""
    return Markup(re.sub("([_/-])", r"\1<wbr>", str(escape(text))))
