"""What the documents say about files, names, commands and each other is so."""

import ast
import json
import re
import shlex
import textwrap
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

import pytest
import torch
import yaml
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from docs import draw_losses
from support.shapes_dataset import CLASSES, shapes

import rankdet.losses
from rankdet.cli import SUBCOMMANDS
from rankdet.engine import load_config
from rankdet.shipped_configs import config_names

ROOT = Path(__file__).parents[1]
README, CHANGELOG, CONTRIBUTING = (
    ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
)
DOCUMENTS = sorted(
    path for pattern in ("*", "configs/**/*", "rankdet/**/*") for path in ROOT.glob(f"{pattern}.md")
)
DATA_SETS = sorted(
    path.name for path in (ROOT / "configs").iterdir() if path.is_dir() and path.name != "common"
)
# An own loss or config, which the pages tell how to make, has a name with "my".
OWN = re.compile(r"\bmy_|_my\b|my_loss")

documents = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def prose(document: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """GitHub's anchors of the headings."""
    titles = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def snippets() -> list[tuple[Path, str]]:
    """All Python code of all documents."""
    block = re.compile(r"^( *)```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
    return [
        (document, textwrap.dedent(code))
        for document in DOCUMENTS
        for _, code in block.findall(document.read_text())
    ]


def own_config() -> str:
    (code,) = [code for _, code in snippets() if "register_coco_instances" in code]
    return code


def commands() -> list[str]:
    """All lines of the documents that call rankdet, each with what continues it."""
    lines = [
        line
        for document in DOCUMENTS
        for line in re.findall(r"^ {4}(rankdet (?:[^\n\\]|\\\n)+)", document.read_text(), re.M)
    ]
    return sorted({line.replace("\\\n", " ") for line in lines})


@cache
def loaded(config: str, *overrides: str) -> None:
    """Load a config, and fail if its name or the overrides do not fit; once in all tests."""
    load_config(config, overrides)


def test_readme_is_for_newcomers():
    assert README.stat().st_size <= 12_000


@documents
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(document))
    for link in (link for link in links if "://" not in link):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if path != README],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_page_is_linked(document):
    others = [other for other in DOCUMENTS if other != document]
    linked = {
        (other.parent / link.partition("#")[0]).resolve()
        for other in others
        for link in re.findall(r"\]\(([^)\s]+\.md[^)]*)\)", other.read_text())
    }
    assert document in linked


@documents
def test_names_of_the_package_exist(document):
    names = set(re.findall(r"\brankdet(?:\.[a-z_]\w*)+", document.read_text(), re.IGNORECASE))
    if document == CHANGELOG:  # names what is gone
        return
    for name in names:
        if not (OWN.search(name) or name.endswith((".NAME", ".git"))):
            assert resolve_name(name) is not None


def test_what_the_changelog_says_to_take_exists():
    rows = re.findall(r"^\|.+\|(.+)\|$", CHANGELOG.read_text(), re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"\brankdet(?:\.\w+)+", row)}
    assert len(names) > 10
    for name in names:
        assert resolve_name(name) is not None


def test_paths_in_contributing_exist():
    quoted = re.findall(r"`((?:rankdet|configs|tests)/[^\s`]*)`", prose(CONTRIBUTING))
    words = re.findall(r"tests/\S+\.py", CONTRIBUTING.read_text())
    assert len(quoted) > 10
    for path in {*quoted, *(word.rstrip("`,") for word in words)}:
        assert OWN.search(path) or (ROOT / path).exists(), path


@pytest.mark.parametrize(("document", "code"), snippets())
def test_snippets_parse_and_import_what_exists(document, code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and not node.level and not OWN.search(node.module):
            module = import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize(
    "code", [code for _, code in snippets() if "MyLoss" not in code and code != own_config()]
)
def test_snippets_run(code):
    exec(compile(code, "snippet", "exec"), {})


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """The files that the config of the README names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_data").mkdir()
    for part in ("train", "val"):
        (tmp_path / f"my_data/{part}.json").write_text(json.dumps(shapes()))
    yield tmp_path
    for name in ("my_train", "my_val"):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_own_data_in_twenty_lines(own_data):
    code = own_config().replace("num_classes = 20", f"num_classes = {len(CLASSES)}")
    statements = [line for line in code.splitlines() if line and not line.startswith("#")]
    assert len(statements) <= 20
    (own_data / "own.py").write_text(code)
    cfg = load_config("own.py", ["train.device=cpu"])
    loss = instantiate(cfg.model.roi_heads.box_predictor).loss
    assert loss.class_counts.tolist() == [4, 4, 4]
    assert instantiate(cfg.dataloader.evaluator) is not None


def test_own_data_by_ranking(own_data):
    code = own_config().replace("# use_ranking", "use_ranking")
    (own_data / "own.py").write_text(code)
    predictor = load_config("own.py").model.roi_heads.box_predictor
    assert isinstance(instantiate(predictor.loss), rankdet.losses.RankSortLoss)


@pytest.mark.parametrize("command", commands())
def test_commands_work(command):
    """The subcommand is one, rankdet's configs have their names, and the overrides fit them."""
    _, name, *words = shlex.split(command, comments=True)
    assert name in SUBCOMMANDS
    configs = [word for word in words if word.endswith(".py") and word != "own.py"]
    overrides = [word for word in words if re.match(r"[\w.]+=", word)]
    for config in configs:
        loaded(config, *overrides)


@documents
def test_configs_have_the_names_that_documents_say(document):
    pattern = rf"(?:common|{'|'.join(DATA_SETS)})/\w+\.py"
    for name in re.findall(pattern, document.read_text()):
        assert OWN.search(name) or name in config_names() or document == CHANGELOG, name


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_page_of_a_data_set_names_its_configs(data_set):
    folder = ROOT / "configs" / data_set
    named = set(re.findall(r"`(\w+\.py)`", (folder / "README.md").read_text()))
    assert named == {path.name for path in folder.glob("*.py")}


def test_parts_of_configs_are_named():
    text = (ROOT / "configs/README.md").read_text()
    for path in (ROOT / "configs/common").glob("*"):
        is_schedule = path.stem.endswith("_schedule")
        assert is_schedule or path.name == "__pycache__" or path.name in text


def test_page_of_the_losses_names_all():
    text = (ROOT / "rankdet/losses/README.md").read_text()
    assert [name for name in rankdet.losses.__all__ if f"`{name}" not in text] == []


def test_page_of_the_tools_names_all():
    text = (ROOT / "rankdet/tools/README.md").read_text()
    assert [name for name in SUBCOMMANDS if f"`{name}`" not in text] == []


def test_pre_commit_checks_what_lint_does():
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == [line.strip() for line in recipe.splitlines()]


def test_message_about_missing_files_names_sections_of_the_readme():
    assert {"lvis-v1", "coco-and-cityscapes"} <= anchors(README)


def test_picture_shows_what_its_caption_says():
    zero = torch.zeros(1)
    frequent, rare = (
        {
            name: draw_losses.negative_gradients(draw_losses.trained(make), class_id, zero).item()
            for name, make in draw_losses.LOSSES.items()
        }
        for class_id in (draw_losses.FREQUENT, draw_losses.RARE)
    )
    assert rare["softmax CE"] == frequent["softmax CE"]
    assert rare["sigmoid BCE"] == frequent["sigmoid BCE"]
    assert rare["ECM"] < 0.6 * frequent["ECM"]
    assert rare["Seesaw"] < 0.3 * frequent["Seesaw"]
    assert rare["EQL v2"] < 0.1 * frequent["EQL v2"]
    pushed_up = {name: -gradient[0] for name, gradient in draw_losses.rank_gradients().items()}
    assert pushed_up["AP"] > 0 > pushed_up["RS"]
    assert draw_losses.PICTURE.stat().st_size < 60_000
