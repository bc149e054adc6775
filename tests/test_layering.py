"""Enforces the layers, and the sizes of files, on every file that the globs find."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Layer -> the layers it may import besides itself; "environment" is open to all. A package that is
# missing here is held to the rules of `rankdet/__init__.py`: nothing but the standard library.
MAY_IMPORT = {
    "rankdet.environment": set(),
    "rankdet.losses": set(),
    "rankdet.data": {"rankdet.losses"},
    "rankdet.modeling": {"rankdet.losses", "rankdet.data"},
    "rankdet.evaluation": {"rankdet.losses", "rankdet.data", "rankdet.modeling"},
    "rankdet.engine": {"rankdet.losses", "rankdet.data", "rankdet.modeling"},
}
MAY_IMPORT["rankdet.model_zoo"] = set(MAY_IMPORT)
MAY_IMPORT["configs"] = MAY_IMPORT["train_net"] = set(MAY_IMPORT)
MAY_IMPORT["rankdet.tools"] = {*MAY_IMPORT, "configs"}
# Layer -> the only third-party packages it may import; other layers are free.
THIRD_PARTY = {"rankdet": set(), "rankdet.environment": set(), "rankdet.losses": {"torch"}}


def find_violations(root: Path) -> list[str]:
    """Return one sentence per broken rule in the checkout at `root`."""
    sources = [*root.glob("rankdet/**/*.py"), *root.glob("configs/**/*.py"), *root.glob("*.py")]
    found = [problem for path in sources for problem in _import_problems(path, root)]
    tests = root.glob("tests/**/*.py")
    return found + [p for path in [*sources, *tests] for p in _size_problems(path, root)]


def _import_problems(path: Path, root: Path) -> Iterator[str]:
    module = ".".join(path.relative_to(root).with_suffix("").parts)
    layer = _layer(module)
    for name in _imported_names(path, module):
        if name.endswith(".*"):
            yield f"{module} imports {name}: name what you import"
        target = _layer(name)
        if target is None:
            is_free = layer not in THIRD_PARTY or name.partition(".")[0] in sys.stdlib_module_names
            if not is_free and name.partition(".")[0] not in THIRD_PARTY[layer]:
                yield f"{module} imports {name}: {layer} may not use this package"
        elif target not in {layer, "rankdet", "rankdet.environment", *MAY_IMPORT.get(layer, ())}:
            yield f"{module} imports {name}: imports go only to the left"


def _imported_names(path: Path, module: str) -> Iterator[str]:
    parts = module.split(".")
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `__init__` is a part of `module`, so level 1 drops it, or the file's own name.
            prefix = parts[: -node.level] if node.level else []
            base = ".".join([*prefix, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _layer(name: str) -> str | None:
    """Return the layer that `name` is part of: None for what is not ours."""
    first, _, rest = name.partition(".")
    if first != "rankdet":
        return first if first in {"configs", "train_net"} else None
    layer = f"rankdet.{rest.partition('.')[0]}"
    return layer if layer in MAY_IMPORT else "rankdet"


def _size_problems(path: Path, root: Path) -> Iterator[str]:
    name = path.relative_to(root)
    limit = 300
    if name == Path("train_net.py"):
        limit = 60
    elif name.parts[0] == "configs" and name.parts[1] != "common":
        limit = 20
    lines = len(path.read_text().splitlines())
    if lines >= limit:
        yield f"{name} has {lines} lines: keep it under {limit}"


def test_checkout_keeps_the_rules():
    assert find_violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("rankdet/losses/new.py", "import detectron2", "rankdet.losses may not use this package"),
        (
            "rankdet/losses/new.py",
            "import torch.nn, numpy",
            "imports numpy: rankdet.losses may not",
        ),
        ("rankdet/losses/new.py", "from rankdet.data import x", "imports go only to the left"),
        ("rankdet/losses/new.py", "from rankdet import data", "imports go only to the left"),
        ("rankdet/losses/new.py", "from ..data import x", "imports rankdet.data.x"),
        ("rankdet/losses/a/new.py", "def f():\n    from ...data import x", "rankdet.data.x"),
        ("rankdet/data/__init__.py", "from ..engine import x", "imports rankdet.engine.x"),
        ("rankdet/data/new.py", "import rankdet.modeling.x", "imports go only to the left"),
        ("rankdet/evaluation/new.py", "import rankdet.engine", "imports go only to the left"),
        ("rankdet/engine/new.py", "import rankdet.evaluation", "imports go only to the left"),
        ("rankdet/engine/new.py", "import rankdet.tools.x", "imports go only to the left"),
        ("rankdet/engine/new.py", "import configs.common", "imports go only to the left"),
        ("rankdet/engine/new.py", "from rankdet import model_zoo", "imports go only to the left"),
        ("rankdet/model_zoo/new.py", "import configs.common", "imports go only to the left"),
        ("rankdet/model_zoo/new.py", "import rankdet.tools.x", "imports go only to the left"),
        ("rankdet/environment.py", "import torch", "rankdet.environment may not use"),
        ("rankdet/__init__.py", "import torch", "rankdet may not use this package"),
        ("rankdet/__init__.py", "from . import losses", "imports go only to the left"),
        ("configs/new.py", "from rankdet.tools.x import y", "imports go only to the left"),
        ("train_net.py", "import rankdet.tools.x", "imports go only to the left"),
        ("rankdet/newlayer/new.py", "import torch", "rankdet may not use this package"),
        ("rankdet/engine/new.py", "from torch import *", "name what you import"),
        ("rankdet/engine/new.py", "\n" * 300, "300 lines: keep it under 300"),
        ("tests/test_new.py", "\n" * 300, "300 lines: keep it under 300"),
        ("configs/lvis/new.py", "\n" * 20, "20 lines: keep it under 20"),
        ("train_net.py", "\n" * 60, "60 lines: keep it under 60"),
    ],
)
def test_finds_a_planted_violation(tmp_path, path, source, problem):
    _write(tmp_path, path, source)
    (found,) = find_violations(tmp_path)
    assert problem in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rankdet/losses/new.py", "import math, torch.nn\nfrom . import ecm\nfrom .ecm import x"),
        ("rankdet/data/new.py", "import numpy, rankdet\nfrom rankdet.environment import x"),
        ("rankdet/modeling/new.py", "from ..losses import x\nfrom rankdet.data.y import z"),
        ("rankdet/tools/new.py", "import rankdet.engine, rankdet.evaluation, rankdet.tools.x"),
        ("rankdet/model_zoo/new.py", "import rankdet.engine, rankdet.evaluation, omegaconf"),
        ("configs/new.py", "from rankdet.model_zoo import recipes"),
        ("configs/common/new.py", "from .part import x\nimport rankdet.engine\n" + "\n" * 30),
    ],
)
def test_accepts_what_is_allowed(tmp_path, path, source):
    _write(tmp_path, path, source)
    assert find_violations(tmp_path) == []


def test_losses_have_at_most_five_floors():
    """A module stands one floor above what it imports; the shelf of pair sums is one module."""
    package = ROOT / "rankdet" / "losses"
    imports: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names = _imported_names(path, module)
        rooms = {_room(name) for name in names if name.startswith("rankdet.losses.")}
        imports.setdefault(_room(module), set()).update(rooms)

    def floor(room: str) -> int:
        below = imports[room] - {room}
        return 1 + max((floor(one) for one in below if one in imports), default=0)

    assert max(floor(room) for room in imports) <= 5


def _room(name: str) -> str:
    return name.split(".")[2]


def _write(root: Path, path: str, source: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(source)
