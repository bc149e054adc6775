"""One docstring dialect, one spelling, and plain words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("rankdet/**/*.py"), *ROOT.glob("configs/**/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("configs/**/*.md"), *ROOT.glob("rankdet/**/*.md")]
)
VERBS = (
    "normal local optim initial summar penal regular serial recogn organ visual categor synchron"
)
BRITISH = re.compile(
    r"colour|centre|neighbour|behaviour|labelled|labelling|\bgrey|licence|analys(e|ed|es|ing)\b|"
    rf"({'|'.join(VERBS.split())})is(e|ed|es|er|ing|ation)\b",
    re.IGNORECASE,
)
RIDDLES = re.compile(r"\b(likewise|anew|whatever|none but|but for)\b", re.IGNORECASE)
SINGLE_TICKS = re.compile(r"(?<![`:\w])`[^`\n]+`(?!`)")
ARGUMENT = re.compile(r"^        \*{0,2}\w+: ([A-Z][a-z]+)\b")
# Names of things, which are capital everywhere.
CAPITAL = {"None", "True", "False", "Detectron2", "Matplotlib", "Torchvision", "Python", "Markdown"}


def lines_with(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node, clean=True) or ""


def arguments(docstring: str) -> Iterator[str]:
    """The lines of the section Args, indented as in a module."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", docstring, re.MULTILINE)
    for line in section[1].splitlines() if section else ():
        yield "    " + line


def test_spelling_is_american() -> None:
    others = [path for path in TESTS if path != Path(__file__)]
    assert lines_with(BRITISH, [*SOURCES, *DOCUMENTS, *others]) == []


def test_words_are_plain() -> None:
    assert lines_with(RIDDLES, [*SOURCES, *DOCUMENTS]) == []


def test_docstrings_have_one_dialect() -> None:
    """Code is in double ticks, and what is said of an argument starts in lower case."""
    found = []
    for path in SOURCES:
        for docstring in docstrings(path):
            ticks = SINGLE_TICKS.findall(docstring)
            capitals = {m[1] for m in map(ARGUMENT.match, arguments(docstring)) if m} - CAPITAL
            found += [(path.relative_to(ROOT), one) for one in [*ticks, *capitals]]
    assert found == []


@pytest.mark.parametrize("text", ["a colour", "normalised", "he analyses", "synchronisation"])
def test_a_british_word_is_found(text: str) -> None:
    assert BRITISH.search(text)


def test_a_wrong_dialect_is_found() -> None:
    assert SINGLE_TICKS.findall("see `x`") and not SINGLE_TICKS.findall("see :func:`x` and ``y``")
    text = "Do it.\n\nArgs:\n    x: The value.\n"
    assert [ARGUMENT.match(line)[1] for line in arguments(text)] == ["The"]
