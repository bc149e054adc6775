import base64
import csv
import hashlib
import importlib.metadata
import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rankdet.tools import install_detectron2 as installer
from rankdet.tools.install_detectron2 import InstallError

UPSTREAM = {
    "detectron2/__init__.py": b"from detectron2.config import LazyConfig\n",
    "detectron2/projects/deeplab/__init__.py": b"",
}


class FakeRun:
    """Stands in for `run_command`: notes the commands, fails or "downloads" as told."""

    def __init__(self, carrier: Path | None = None, failing: tuple[str, ...] = ()):
        self.carrier, self.failing = carrier, failing
        self.commands: list[list[str]] = []

    def __call__(self, command, timeout=None):
        self.commands.append(list(command))
        if any(word in command for word in self.failing):
            raise InstallError(f"`{command[0]}` failed")
        if "download" in command:
            (folder,) = (word.removeprefix("--dest=") for word in command if "--dest=" in word)
            shutil.copy(self.carrier, folder)
        if command[-1].endswith(".whl"):
            self.installed_names = zipfile.ZipFile(command[-1]).namelist()


@pytest.fixture
def carrier(tmp_path, monkeypatch) -> Path:
    wheel = tmp_path / "carrier-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("LabGym/other.py", "the carrier's own code")
        for path, data in UPSTREAM.items():
            archive.writestr(f"LabGym/{path}", data.replace(b"from det", b"from LabGym.det"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(installer, "CARRIER_SHA256", digest)
    monkeypatch.setattr(installer, "TREE_SHA256", installer.tree_digest(UPSTREAM))
    return wheel


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(installer, "is_installed", lambda: False)


def test_this_environment_has_the_pinned_detectron2():
    assert installer.is_installed()
    from detectron2 import model_zoo
    from detectron2.projects.point_rend import add_pointrend_config

    assert callable(add_pointrend_config)
    assert "roi_heads" in model_zoo.get_config("common/models/mask_rcnn_fpn.py").model


def test_installed_files_are_upstreams():
    distribution = importlib.metadata.distribution("detectron2")
    if distribution.version != installer.VERSION:
        pytest.skip("installed by the official route, which compiles and so adds files")
    files = [f for f in distribution.files if f.parts[0] == "detectron2" and f.suffix != ".pyc"]
    tree = {f.as_posix(): Path(f.locate()).read_bytes() for f in files}
    assert installer.tree_digest(tree) == installer.TREE_SHA256


def test_extract_tree_undoes_the_prefix_and_leaves_the_carriers_code(carrier):
    assert installer.extract_tree(carrier) == UPSTREAM


def test_extract_tree_refuses_other_files(carrier, monkeypatch):
    monkeypatch.setattr(installer, "TREE_SHA256", "0" * 64)
    with pytest.raises(InstallError, match=r"source tree has SHA-256 \w{64} where 0{64}"):
        installer.extract_tree(carrier)


def test_tree_digest_depends_on_names_and_content_but_not_on_order():
    digest = installer.tree_digest({"a": b"1", "b": b"2"})
    assert digest == installer.tree_digest({"b": b"2", "a": b"1"})
    assert digest != installer.tree_digest({"a": b"2", "b": b"1"})


def test_download_asks_pip_for_the_carrier_only(carrier, tmp_path):
    folder = tmp_path / "download"
    folder.mkdir()
    run = FakeRun(carrier)
    assert installer.download_carrier(folder, run) == folder / carrier.name
    (command,) = run.commands
    assert {"--no-deps", installer.CARRIER} <= set(command)


def test_download_refuses_another_file(carrier, tmp_path, monkeypatch):
    monkeypatch.setattr(installer, "CARRIER_SHA256", "0" * 64)
    folder = tmp_path / "download"
    folder.mkdir()
    with pytest.raises(InstallError, match=f"{carrier.name} has SHA-256"):
        installer.download_carrier(folder, FakeRun(carrier))


def test_packed_wheel_has_true_records_and_a_license(tmp_path):
    wheel = zipfile.ZipFile(installer.pack_wheel(UPSTREAM, tmp_path))
    info = f"detectron2-{installer.VERSION}.dist-info"
    records = {
        row[0]: row for row in csv.reader(io.StringIO(wheel.read(f"{info}/RECORD").decode()))
    }
    assert set(records) == set(wheel.namelist())
    for name in set(records) - {f"{info}/RECORD"}:
        digest = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest())
        assert records[name][1:] == [
            f"sha256={digest.decode().rstrip('=')}",
            str(len(wheel.read(name))),
        ]
    assert b"Apache License" in wheel.read(f"{info}/LICENSE")
    assert b"Requires-Dist: fvcore>=0.1.5,<0.1.6\n" in wheel.read(f"{info}/METADATA")


@pytest.mark.slow
def test_pip_installs_the_packed_wheel(tmp_path):
    wheel = installer.pack_wheel(UPSTREAM, tmp_path)
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    installer.run_command([*pip, f"--target={target}", str(wheel)])
    (found,) = importlib.metadata.distributions(path=[str(target)])
    assert (found.metadata["Name"], found.version) == ("detectron2", installer.VERSION)
    assert (target / "detectron2/projects/deeplab/__init__.py").is_file()


def test_official_route_checks_the_repository_then_builds_the_pinned_commit():
    run = FakeRun()
    installer.install_official(["--constraint=pins.txt"], run)
    reach, build = run.commands
    assert reach[:2] == ["git", "ls-remote"]
    assert build[-1] == f"git+{installer.REPOSITORY}@{installer.COMMIT}"
    assert {"--no-build-isolation", "--constraint=pins.txt"} <= set(build)


@pytest.mark.slow
def test_official_route_installs_from_a_real_repository(tmp_path, monkeypatch):
    repository, target = tmp_path / "repository", tmp_path / "site"
    (repository / "detectron2").mkdir(parents=True)
    (repository / "detectron2/__init__.py").touch()
    setup = "from setuptools import setup\nsetup(name='detectron2', packages=['detectron2'])\n"
    (repository / "setup.py").write_text(setup)
    monkeypatch.setattr(installer, "REPOSITORY", repository.as_uri())
    monkeypatch.setattr(installer, "COMMIT", _commit(repository))

    installer.install_official(["--no-deps", f"--target={target}"])

    (found,) = importlib.metadata.distributions(path=[str(target)])
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: found)
    assert installer.is_installed()


def _commit(repository: Path) -> str:
    options = ["user.name=test", "user.email=test", "commit.gpgsign=false"]
    git = ["git", "-C", str(repository), *(word for option in options for word in ("-c", option))]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return head.stdout.strip()


def test_pypi_route_installs_the_packed_wheel(carrier):
    run = FakeRun(carrier)
    installer.install_pypi(["--constraint=pins.txt"], run)
    _, install = run.commands
    assert Path(install[-1]).name == f"detectron2-{installer.VERSION}-py3-none-any.whl"
    assert "--constraint=pins.txt" in install
    assert set(UPSTREAM) <= set(run.installed_names)


@pytest.mark.usefixtures("nothing_installed")
def test_falls_back_to_pypi_and_says_so(carrier):
    run = FakeRun(carrier, failing=("git",))
    assert installer.install(None, (), run).endswith("by the pypi route.")
    assert [command[0] for command in run.commands] == ["git", sys.executable, sys.executable]


@pytest.mark.usefixtures("nothing_installed")
def test_takes_the_official_route_first():
    run = FakeRun()
    assert installer.install(None, (), run).endswith("by the official route.")
    assert all("download" not in command for command in run.commands)


@pytest.mark.usefixtures("nothing_installed")
def test_a_named_route_has_no_fallback():
    with pytest.raises(InstallError, match=r"not installed \(official route: `git` failed\)\.$"):
        installer.install("official", (), FakeRun(failing=("git",)))


@pytest.mark.usefixtures("nothing_installed")
def test_names_every_route_that_failed():
    run = FakeRun(failing=("git", "download"))
    with pytest.raises(InstallError, match=r"official route: .*; pypi route: "):
        installer.install(None, (), run)


def test_does_nothing_when_installed(monkeypatch):
    monkeypatch.setattr(installer, "is_installed", lambda: True)
    run = FakeRun()
    assert installer.install(None, (), run).endswith("is already installed.")
    assert run.commands == []


@pytest.mark.parametrize(
    ("version", "direct_url", "expected"),
    [
        (installer.VERSION, None, True),
        ("0.6", f'{{"vcs_info": {{"commit_id": "{installer.COMMIT}"}}}}', True),
        ("0.6", '{"vcs_info": {"commit_id": "0000"}}', False),
        ("0.6", None, False),
    ],
)
def test_only_the_pinned_commit_counts_as_installed(monkeypatch, version, direct_url, expected):
    class FakeDistribution:
        def read_text(self, name):
            return direct_url

    FakeDistribution.version = version
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: FakeDistribution())
    assert installer.is_installed() is expected


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["no-such-program"], "`no-such-program` is not installed"),
        ([sys.executable, "-c", "raise SystemExit(3)"], r"failed \(exit 3\)"),
        ([sys.executable, "-c", "import time; time.sleep(30)"], "took over 0.1 seconds"),
    ],
)
def test_run_command_says_why_it_failed(command, message):
    with pytest.raises(InstallError, match=message):
        installer.run_command(command, timeout=0.1 if "sleep" in command[-1] else None)


def test_runs_by_path_before_anything_is_installed():
    command = [sys.executable, "-I", "-S", installer.__file__, "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--route" in result.stdout


def test_a_wheel_brings_the_license(tmp_path, monkeypatch):

    class File(importlib.metadata.PackagePath):
        def locate(self):
            return tmp_path / self.name

    (tmp_path / "LICENSE").write_bytes(b"license of the wheel")
    monkeypatch.setattr(installer, "CHECKOUT", tmp_path)
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [File("LICENSE")])
    assert installer.license() == b"license of the wheel"
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    with pytest.raises(installer.InstallError, match="has no LICENSE of rankdet"):
        installer.license()
