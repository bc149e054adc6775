"""Configs, weights and run folders of a stranger: nothing in them runs."""

import codecs
import importlib
import os
import pickle
from argparse import ArgumentParser

import numpy as np
import pytest
import torch
from bad_input.case import Case, table
from detectron2.config import instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.resnet import BasicBlock
from torch import nn

from rankdet.engine.checkpoint import Checkpointer, last_checkpoint
from rankdet.engine.config import load_config
from rankdet.engine.trust import add_trust
from rankdet.modeling.calibration import load_statistics
from rankdet.tools.compare.runs import plan_runs
from rankdet.tools.run_folder import load_run_config

REFUSED = "which is no part of a detector that rankdet knows"
DATALOADER = "{train: {dataset: {names: a}}, test: {dataset: {names: a}, mapper: {}}}"
SECTIONS = f"dataloader: {DATALOADER}\noptimizer: {{}}\nlr_multiplier: {{}}\n"
COMMAND = "touch canary"


def call(name, argument="command"):
    return f"{{_target_: {name}, {argument}: {COMMAND}}}"


MODEL_CASES = [
    Case("tag that calls", f"!!python/object/apply:os.system ['{COMMAND}']", "line 2 holds !!pyth"),
    Case("tag that makes", f"!!python/object/new:os.system ['{COMMAND}']", "line 2 holds !!python"),
    Case("tag of an object", "!!python/object:subprocess.Popen {args: ls}", REFUSED),
    Case("tag of a class that is no data", "!!python/object:torch.nn.Module {}", "no data class"),
    Case("environment in a data class", "!!python/object:detectron2.layers.shape_spec.ShapeSpec "
         "{channels: '${oc.env:HOME}'}", "computes; write the value"),
    Case("tag of a name", "{a: !!python/name:os.system ''}", REFUSED),
    Case("tag of a module", "!!python/module:evil ''", "line 2 holds !!python/module"),
    Case("tag of one's own", "!evil {a: 1}", "line 2 holds !evil"),
    Case("function of the system", call("os.system"), "names 'os.system'.*add --trust os;"),
    Case("program", call("subprocess.call", "args"), REFUSED),
    Case("built-in", call("builtins.eval", "source"), REFUSED),
    Case("command runner of torch", call("torch.utils.collect_env.run"), REFUSED),
    Case("code from a repository", call("torch.hub.load", "repo_or_dir"), REFUSED),
    Case("unpickler", call("torch.load", "f"), REFUSED),
    Case("system through torch", call("torch.os.system"), REFUSED),
    Case("system through Detectron2", call("detectron2.config.lazy.os.system"), REFUSED),
    Case("pickle through an allowed module", call("detectron2.data.build.pickle.load"), REFUSED),
    Case("finder of names", call("detectron2.utils.registry.locate", "name"), REFUSED),
    Case("tool of rankdet", call("rankdet.tools.report.__main__.main", "arguments"), REFUSED),
    Case("function that writes", call("rankdet.data.atomic_file.write_atomically"), REFUSED),
    Case("function that saves", call("rankdet.modeling.calibration.save_statistics"), REFUSED),
    Case(
        "method", call("rankdet.evaluation.detection_table.DetectionTable.write", "file"), REFUSED
    ),
    Case("method of an object", call("detectron2.data.DatasetCatalog.register", "name"), REFUSED),
    Case("method of all classes", call("torch.optim.SGD.__subclasses__"), REFUSED),
    Case("globals of a function", call("torch.optim.SGD.step.__globals__.get"), REFUSED),
    Case("private function", call("detectron2.data.build._test_loader_from_config"), REFUSED),
    Case("registry of others", call("detectron2.modeling.mmdet_wrapper.MMDetBackbone"), REFUSED),
    Case("module here", "{_target_: evil.Part}", "names 'evil.Part'.*add --trust evil;"),
    Case("deep inside", f"{{a: [[{{b: {call('os.system')}}}]]}}", REFUSED),
    Case("in a tuple", f"{{a: !!python/tuple [{call('os.system')}]}}", REFUSED),
    Case("as a key", f"{{? !!python/tuple [{call('os.system')}] : 1}}", "is damaged"),
    Case("merged", f"{{<<: {call('os.system')}}}", REFUSED),
    Case("target made by a target", f"{{_target_: {call('os.getenv', 'key')}}}", "no dotted name"),
    Case("target by reference", "{_target_: '${train.name}'}", "no dotted name of a class"),
    Case("target without a module", "{_target_: eval}", "'eval' is no dotted name"),
    Case("target with signs", "{_target_: 'os.system(1)'}", "no dotted name"),
    Case("target that is a number", "{_target_: 3}", "3 is no dotted name"),
    Case("target that is gone", "{_target_: rankdet.losses.ecm.Gone}", "can't be imported"),
    Case("target that is a value", "{_target_: torch.nn.modules.module.T}", REFUSED),
    Case("environment", "{a: '${oc.env:HOME}'}", "'.*oc.env:HOME.*' computes; write the value"),
    Case("text made to a call", "{a: '${oc.decode:\"{_target_: os.system}\"}'}", "computes"),
    Case("reference in a reference", "{a: '${train.${train.name}}'}", "computes; write"),
    Case(
        "pickled proposals",
        "{_target_: detectron2.data.get_detection_dataset_dicts, names: a, proposal_files: [b]}",
        "'proposal_files': Detectron2 unpickles",
    ),
    Case(
        "config of the old kind",
        "{_target_: detectron2.data.build_detection_test_loader, cfg: {MODEL: {}}}",
        "gets the argument 'cfg'",
    ),
    Case("config that holds itself", "&a {b: *a}", "it holds itself, or more than 100,000"),
    Case(
        "nested doublings",
        "{" + ", ".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}1]" for i in range(1, 9)).replace(
            "*a0, ", "1, "
        ) + "}",
        "it holds itself, or more than 100,000 values",
    ),
]  # fmt: skip


def write(folder, model):
    path = folder / "config.yaml"
    path.write_text(f"train: {{name: os.system}}\nmodel: {model}\n{SECTIONS}")
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a module that tells when it is imported."""
    # What values may be is tested by test_config_values.py.
    monkeypatch.setattr("rankdet.engine.config.check_config", lambda cfg: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil.py").write_text("open('canary', 'w').close()\nclass Part: pass\n")
    yield tmp_path
    assert not (tmp_path / "canary").exists()


@table(MODEL_CASES)
def test_config_runs_nothing(here, case):
    with pytest.raises(ValueError, match=case.sentence) as error:
        load_config(str(write(here, case.bad)))
    assert "\n" not in str(error.value)


LEGAL_CASES = [
    Case("tuple", "{a: !!python/tuple [1, 2]}", meaning="LazyConfig.save writes them"),
    Case("constructor", "{_target_: detectron2.modeling.ResNet.make_stage}", meaning="ok"),
    Case("reference", "{a: '${..train.name}', b: '${train.name}s'}", meaning="values"),
    Case("nothing for proposals", "{proposal_files: null}", meaning="Detectron2's default"),
]


@table(LEGAL_CASES)
def test_data_is_read(here, case):
    assert load_config(str(write(here, case.bad))).model, case.meaning


def test_what_lazy_config_saves_is_read(here):
    block = "!!python/name:detectron2.modeling.backbone.resnet.BasicBlock ''"
    shape = "!!python/object:detectron2.layers.shape_spec.ShapeSpec {channels: 3, stride: 4}"
    model = load_config(str(write(here, f"{{block_class: {block}, input_shape: {shape}}}"))).model
    assert model.block_class is BasicBlock
    assert instantiate(model.input_shape) == ShapeSpec(channels=3, stride=4)


def test_what_the_user_trusts_may_be_named(here):
    (here / "mine.py").write_text("import os\nclass Part:\n    pass\ndef make():\n    return 3\n")
    for name in ("mine.Part", "mine.make"):
        model = load_config(str(write(here, f"{{_target_: {name}}}")), trust=["mine"]).model
        assert instantiate(model) is not None
    with pytest.raises(ValueError, match=r"'mine\.os\.system', which is no .* add --trust posix"):
        load_config(str(write(here, call("mine.os.system"))), trust=["mine"])
    assert importlib.import_module("mine").make() == 3


@pytest.mark.parametrize(
    "tool", ["report", "visualize", "ranking_errors", "collect_confusion", "predict"]
)
@pytest.mark.parametrize("model", [call("os.system"), "!!python/object/apply:os.system [ls]"])
def test_tools_run_nothing(here, tool, model):
    write(here, model)
    name = {"report": "report.__main__"}.get(tool, tool)
    options = ["--input", "a.png", "--output", "b.png", "--config-file"]
    arguments = [*(options if tool == "predict" else []), "."]
    if tool == "predict":
        (here / "a.png").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"^error: --config-file 'config\.yaml' can't be used"):
        importlib.import_module(f"rankdet.tools.{name}").main(arguments)


def test_comparisons_and_confusions_run_nothing(here):
    write(here, call("os.system"))
    compare = importlib.import_module("rankdet.tools.compare.__main__").main
    plot_confusion = importlib.import_module("rankdet.tools.plot_confusion").main
    with pytest.raises(SystemExit, match="can't be used"):
        compare(["--configs", "config.yaml", "--output", "compared"])
    with pytest.raises(SystemExit, match="can't be used"):
        plot_confusion([".", "--output", "confusion.png"])


def test_trust_is_passed_on(here):
    (here / "own.py").write_text("class Part:\n    pass\n")
    path = write(here, "{_target_: own.Part}")
    train = "max_iter: 3, seed: 0, device: cpu, output_dir: a, name:"
    path.write_text(path.read_text().replace("name:", train, 1))
    parser = ArgumentParser()
    add_trust(parser)
    trust = parser.parse_args(["--trust", "own", "--trust=other.part"]).trust
    assert trust == ["own", "other.part"]
    assert load_run_config(path, trust=trust).model == {"_target_": "own.Part"}
    (run,) = plan_runs([path], [0], here / "compared", trust=trust)
    assert {"--trust=own", "--trust=other.part"} < set(run.command())


def test_pickled_config_is_not_read(here):
    (here / "config.yaml.pkl").write_bytes(pickle.dumps(Command()))
    with pytest.raises(SystemExit, match=r"has no config\.yaml"):
        importlib.import_module("rankdet.tools.report.__main__").main(["."])


class Command:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, (COMMAND,)


class Codec:
    """Chooses an encoding when it is unpickled, for which Python imports a module."""

    def __reduce__(self):
        return codecs.encode, (b"", "evil")


def linear(**others):
    return {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32), **others}


WEIGHT_CASES = [
    Case("command in .pkl", (".pkl", pickle.dumps(Command())), "holds more than arrays"),
    Case("command among weights", (".pkl", pickle.dumps(linear(a=Command()))), "more than arrays"),
    Case("command in .pth", (".pth", Command()), "holds more than arrays"),
    Case("command in .pyth", (".pyth", {"model_state": {"a": Command()}}), "more than arrays"),
    Case("bare pickle named .pth", (".pth", pickle.dumps(Command())), "holds more than arrays"),
    Case("codec in .pkl", (".pkl", pickle.dumps(Codec())), "is no checkpoint, or damaged"),
    Case("global in .pkl", (".pkl", b"cos\nsystem\n."), "holds more than arrays"),
    Case("extension code in .pkl", (".pkl", b"\x80\x02\x82\x01."), "no checkpoint, or damaged"),
    Case("persistent id in .pkl", (".pkl", b"Pa\n."), "no checkpoint, or damaged"),
    Case("array of objects", (".pkl", pickle.dumps({"a": np.array([None])})), "no arrays"),
    Case("weights that are text", (".pth", {"model": {"a": "b"}}), "damaged .TypeError"),
    Case("weights that are a list", (".pth", {"model": [1]}), "is no checkpoint, or damaged"),
    Case("names that are numbers", (".pth", {"model": {1: torch.ones(1)}}), "no checkpoint"),
    Case("no weights of pycls", (".pyth", {"model": {}}), "is no checkpoint, or damaged"),
    Case("empty .pkl", (".pkl", b""), r"damaged \(EOFError\)"),
    Case(".pkl cut short", (".pkl", pickle.dumps(linear())[:90]), "no checkpoint, or damaged"),
    Case(".pkl of a number", (".pkl", pickle.dumps(3)), r"damaged \(TypeError\)"),
]


@table(WEIGHT_CASES)
def test_weights_run_nothing(here, case):
    suffix, content = case.bad
    path = here / f"model{suffix}"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=rf"model\{suffix} is no checkpoint, or damaged") as error:
        Checkpointer(nn.Linear(3, 2)).load(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickled_arrays_are_weights(tmp_path, protocol):
    path = tmp_path / "model.pkl"
    content = {"model": linear(), "__author__": "x", "scale": np.float32(3)}
    path.write_bytes(pickle.dumps(content, protocol))
    model = nn.Linear(3, 2)
    Checkpointer(model).load_strictly(str(path))
    assert torch.equal(model.weight, torch.ones(2, 3))


def test_statistics_run_nothing(here):
    torch.save({"matrix": Command(), "num_samples": Command()}, here / "calibration_x.pth")
    with pytest.raises(ValueError, match="is no calibration file, or damaged"):
        load_statistics(here / "calibration_x.pth")


TAG_CASES = [
    Case("outside", b"../other.pth", "names '../other.pth', but has to name a .pth file of"),
    Case("absolute", b"/other.pth", "names '/other.pth'"),
    Case("on Windows", b"a\\other.pth", "has to name a .pth file of its folder"),
    Case("pickle", b"model.pkl", "names 'model.pkl'"),
    Case("address", b"https://example.com/model.pth", "has to name a .pth file"),
    Case("empty", b"", "names ''.*write one into it, or delete it"),
    Case("two lines", b"a.pth\nb.pth", "has to name a .pth file"),
    Case("bytes", b"\xff\x00.pth", "has to name a .pth file"),
]


@table(TAG_CASES)
def test_last_checkpoint_stays_in_its_folder(tmp_path, case):
    (tmp_path / "last_checkpoint").write_bytes(case.bad)
    with pytest.raises(ValueError, match=case.sentence):
        last_checkpoint(str(tmp_path))
    with pytest.raises(ValueError, match=case.sentence):
        Checkpointer(nn.Linear(1, 1), str(tmp_path)).resume_or_load("")


@pytest.mark.parametrize("module", ["", "a b", "a-b", "os.system('ls')", "../mine"])
def test_trust_takes_a_module(module, capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("rankdet.tools.report.__main__").main([".", "--trust", module])
    assert "is no name of a module, such as" in capsys.readouterr().err
