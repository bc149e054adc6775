"""The page around the sections."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from rankdet.tools.report.markup import Section, paragraph
from rankdet.tools.report.theme import stylesheet

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header><h1>$title</h1><p class="lede">$subtitle</p></header>
<nav aria-label="sections"><div>$links</div></nav>
<main>
$sections
</main>
<footer><p>Made by <code>python -m rankdet.tools.report</code>. Under each section stand the files
that hold its numbers, relative to $root.</p></footer>
</body>
</html>
""")


def build_page(title: str, subtitle: str, sections: Sequence[Section], root: Path) -> str:
    """Put the sections together, with links to them and the files behind them.

    Args:
        title: of the page.
        subtitle: a sentence.
        sections: from top to bottom.
        root: folder that the names of files are relative to.
    """
    return _PAGE.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        style=stylesheet(),
        links="".join(f'<a href="#{one.anchor}">{escape(one.title)}</a>' for one in sections),
        sections="\n".join(_section(one, root) for one in sections),
        root=f"<code>{escape(str(root))}</code>",
    )


def _section(section: Section, root: Path) -> str:
    notes = "".join(paragraph(note, "note") for note in section.notes)
    return (
        f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>{section.html}'
        f"{notes}{_sources(section.sources, root)}</section>"
    )


def _sources(paths: Sequence[Path], root: Path) -> str:
    """The files, those of the same name in several folders together."""
    relative = [Path(os.path.relpath(path.parent.resolve() / path.name, root)) for path in paths]
    if not relative:
        return ""
    folders = {path.name: [p.parent for p in relative if p.name == path.name] for path in relative}
    listed = "; ".join(
        f"<code>{escape(file)}</code> in " + ", ".join(f"<code>{escape(str(f))}</code>" for f in at)
        for file, at in folders.items()
    )
    return f'<p class="source">From {listed}</p>'
