"""Config files that are none, and overrides that hydra's grammar refuses."""

import shlex

import pytest
from bad_input.case import Case, table
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig
from support.smoke_run import CONFIG

from rankdet.engine import config as config_module
from rankdet.engine.config import SECTIONS, load_config

WHOLE = "".join(f"{name} = dict()\n" for name in SECTIONS)
PYTHON_CASES = [
    Case("empty", "", "has no section train, model, dataloader, optimizer, lr_multiplier"),
    Case("binary", b"\x00\x01\xff\xfe", r"x\.py' fails: \w+: "),
    Case("text of another kind", "a picture of a cat", r"x\.py, line 1: SyntaxError: invalid"),
    Case("syntax error", f"{WHOLE}train = dict(\n", r"x\.py, line 7: SyntaxError: '\(' was never"),
    Case("wrong indent", f"{WHOLE}  train = 1\n", r"x\.py, line 7: IndentationError"),
    Case("unknown name", f"{WHOLE}train.a = lr\n", r"x\.py, line 7: NameError: name 'lr'"),
    Case("raises", f"{WHOLE}raise RuntimeError('a\\nb')", r"x\.py, line 7: RuntimeError: a b\.$"),
    Case("asserts", f"{WHOLE}assert False", r"x\.py, line 7: AssertionError"),
    Case("missing package", "import no_such_package", r"line 1: ModuleNotFoundError: No module"),
    Case("missing parent", "from .base import model", r"line 1: ImportError: .*base\.py does not"),
    Case("missing part of the parent", "from .part import model", r"line 1: KeyError: 'model'"),
    Case("folder as parent", "from .folder import model", r"line 1: ImportError: Cannot import"),
    Case("broken parent", "from .broken import model", r"broken\.py, line 2: ZeroDivisionError"),
    Case("parent with a syntax error", "from .torn import a", r"torn\.py, line 1: SyntaxError"),
    Case("unknown argument", f"{WHOLE}int(a=1)", r"x\.py, line 7: TypeError"),
    Case("section that is a list", f"{WHOLE}from omegaconf import ListConfig\n"
         "train = ListConfig([1])", r"the section train is \[1\], but has to be a mapping"),
    Case("section that is a number", f"{WHOLE}train = 5", "has no section train; an experiment"),
    Case("one section missing", WHOLE.replace("model", "modle"), "has no section model; an"),
]  # fmt: skip
YAML = "".join(f"{name}: {{}}\n" for name in SECTIONS)
YAML_CASES = [
    Case("empty", "", "it is empty and no mapping of sections"),
    Case("only a comment", "# nothing\n", "it is empty and no mapping"),
    Case("list", "- train\n- model\n", "it is a list and no mapping"),
    Case("text", "train", "it is a str and no mapping"),
    Case("number", "5", "it is a int and no mapping"),
    Case("binary", b"\x89PNG\r\n\x1a\n\x00\xff", "is damaged .ReaderError"),
    Case("bytes of no encoding", b"train: \xff\xfa", "is damaged .ReaderError"),
    Case("cut short", "train: {max_iter: 1", "is damaged .ParserError.*line 1"),
    Case("tab", "train:\n\tmax_iter: 1\n", "is damaged .ScannerError.*line 2"),
    Case("two documents", f"{YAML}---\n{YAML}", "is damaged .ComposerError"),
    Case("unknown alias", "train: *a", "is damaged .ComposerError.*line 1"),
    Case("date that is none", f"{YAML}a: 2020-13-45", "is damaged .ValueError"),
    Case("tag that does not fit", f"{YAML}a: !!bool x", "is damaged .KeyError"),
    Case("number of 5000 digits", f"{YAML}a: {'1' * 5000}", "is damaged .ValueError"),
    Case("bytes as a key", f"{YAML}!!binary aGk=: 1", meaning="no section, so it is left out"),
    Case("list as a key", f"{YAML}[1, 2]: 1", "is damaged .ConstructorError"),
    Case("nested without end", "[" * 1000, "is damaged .RecursionError"),
    Case("half a reference", f"{YAML}a: '${{train.'", "'.{2}train.' computes"),
    Case("section that is a number", f"{YAML}train: 5", "the section train is 5, but has to be"),
    Case("section that is null", f"{YAML}model: null", "the section model is None, but has"),
    Case("section that is a list", f"{YAML}hooks: [1]", r"the section hooks is \[1\], but"),
    Case("section that is text", f"{YAML}optimizer: SGD", "the section optimizer is 'SGD', but"),
    Case("no sections", "a: 1", "has no section train, model"),
    Case("byte order mark", YAML.encode("utf-8-sig"), meaning="Windows' editors write it"),
    Case("UTF-16", YAML.encode("utf-16"), meaning="YAML allows it"),
    Case("umlauts", f"{YAML}a: Köln", meaning="YAML is Unicode"),
    Case("same key twice", f"{YAML}train: {{}}", meaning="the last counts, as in Detectron2"),
]
FILE_CASES = [
    Case("missing", "nowhere.py", "'.*nowhere.py' does not exist; give one of"),
    Case("folder", "folder", "'.*folder' is a folder; give one of"),
    Case("folder named as a config", "folder.py", "'.*folder.py' is a folder; give one of"),
    Case("no suffix", "config", "'.*config' is no config; give one of"),
    Case("other suffix", "config.json", "'.*config.json' is no config; give one of"),
    Case("pickle", "config.yaml.pkl", "'.*config.yaml.pkl' is no config; give one of"),
]


@pytest.fixture(autouse=True)
def without_schema(monkeypatch):
    """What the values may be is tested by test_config_values.py."""
    monkeypatch.setattr("rankdet.engine.config.check_config", lambda cfg: None)


def load(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_config(str(path))


def judge(path, case):
    if case.meaning:
        assert isinstance(load(path, case.bad), DictConfig), case.meaning
        return
    with pytest.raises(ValueError, match=case.sentence) as error:
        load(path, case.bad)
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)


@table(PYTHON_CASES)
def test_python_config(tmp_path, case):
    (tmp_path / "part.py").write_text("train = dict()")
    (tmp_path / "broken.py").write_text("train = dict()\n1 / 0\n")
    (tmp_path / "torn.py").write_text("train = (\n")
    (tmp_path / "folder").mkdir()
    before = __builtins__["__import__"]
    judge(tmp_path / "x.py", case)
    assert __builtins__["__import__"] is before


@table(YAML_CASES)
def test_yaml_config(tmp_path, case):
    judge(tmp_path / "x.yaml", case)


@table(FILE_CASES)
def test_no_config(tmp_path, case):
    for folder in ("folder", "folder.py"):
        (tmp_path / folder).mkdir()
    for file in ("config", "config.json", "config.yaml.pkl"):
        (tmp_path / file).touch()
    with pytest.raises((ValueError, FileNotFoundError), match=case.sentence):
        load_config(str(tmp_path / case.bad))


OVERRIDE_CASES = [
    Case("equal sign", "output/a=b", "write 'train.output_dir=\"output/a=b\"'"),
    Case("brackets", "output/(a)", "if its value is text, write"),
    Case("square brackets", "output/a[1]", "if its value is text, write"),
    Case("braces", "output/{a}", "if its value is text, write"),
    Case("umlaut", "output/Köln", "write 'train.output_dir=\"output/Köln\"'"),
    Case("emoji", "output/🙂", "if its value is text, write"),
    Case("comma", "a,b", "if its value is text, write"),
    Case("half a list", "[1, 2", "if its value is text, write"),
    Case("apostrophe", "it's", "if its value is text, write"),
    Case("quote", 'a"b', "if its value is text, write"),
    Case("ampersand", "a&b", "if its value is text, write"),
    Case("half a reference", "${train.", "if its value is text, write"),
    Case("line break", "a\nb(", "if its value is text, write"),
    Case("spaces", "my runs/one", meaning="hydra takes them"),
    Case("nothing", "", meaning="empty text"),
    Case("backslashes", r"C:\runs\a", meaning="hydra takes them"),
    Case("quotes", "'a=b'", meaning="the remedy"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "x.yaml"
    path.write_text(YAML.replace("train: {}", "train: {output_dir: a}"))
    return str(path)


@table(OVERRIDE_CASES)
def test_override(file, case):
    override = f"train.output_dir={case.bad}"
    if case.meaning:
        assert load_config(file, [override]).train.output_dir == case.bad.strip("'"), case.meaning
        return
    with pytest.raises(ValueError, match=case.sentence) as error:
        load_config(file, [override])
    remedy = str(error.value).partition("; if its value is text, write ")[2].removesuffix(".")
    (remedy,) = shlex.split(remedy)
    if "${" not in case.bad:
        assert load_config(file, [remedy]).train.output_dir == case.bad


TEXT = st.text(
    st.one_of(st.sampled_from("=[]{}()'\"\\äö, :#~+-. \tab1@!*|&;"), st.characters(codec="utf-8")),
    max_size=12,
)


@given(TEXT)
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_the_remedy_is_the_text(value):
    (override,) = config_module._parse([config_module._as_text("train.output_dir", value)])
    assert override.value() == value


@pytest.mark.parametrize("reference", ["${nowhere.x}", "${train.output_dir}"])
def test_overrides_may_refer_to_keys(file, reference):
    cfg = load_config(file, [f"train.output_dir={reference}"])
    assert DictConfig.__contains__(cfg, "train")


def test_override_below_a_value(file):
    with pytest.raises(ValueError, match=r"unknown config key 'train.output_dir.x'"):
        load_config(file, ["train.output_dir.x=1"])
    with pytest.raises(ValueError, match=r"unknown config key 'model\.x'"):
        load_config(CONFIG, ["model.x=1"])
