"""The built wheel, outside any checkout: the commands that a newcomer runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
SOURCES = (
    "rankdet",
    "configs",
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
)
SHORT = (
    *("train.device=cpu", "train.max_iter=4", "train.log_period=2", "train.output_dir=run"),
    *("dataloader.train.total_batch_size=2", "dataloader.train.num_workers=0"),
    *("dataloader.test.num_workers=0", "model.roi_heads.box_predictor.test_topk_per_image=2"),
)
BUILD_SDIST = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"

pytestmark = pytest.mark.slow


def run(*command, folder, **environment):
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel, built of a source distribution, is installed into."""
    sources, built, target = map(tmp_path_factory.mktemp, ("sources", "built", "target"))
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, sources / name)
    run(sys.executable, "-c", BUILD_SDIST, built, folder=sources)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    options = ("--no-deps", "--no-index")
    (sdist,) = built.iterdir()
    run(*pip, "wheel", *options, "--no-build-isolation", "-w", built, sdist, folder=built)
    (wheel,) = built.glob("*.whl")
    run(*pip, "install", *options, "--no-compile", "--target", target, wheel, folder=built)
    return target


def files(folder):
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path for path in found if path.suffix not in (".pyc", ".md")}


def test_holds_all_files_of_the_package_and_all_configs(installed):
    package = files(ROOT / "rankdet")
    configs = {Path("model_zoo/configs") / path for path in files(ROOT / "configs")}
    assert files(installed / "rankdet") == package | configs


def test_commands_of_a_newcomer(installed, tmp_path):
    def rankdet(*arguments):
        program = installed / "bin" / "rankdet"
        return run(program, *arguments, folder=tmp_path, PYTHONPATH=str(installed))

    probe = "import rankdet.model_zoo as zoo; print(zoo.get_config_file('glyphs/fcos_r18_fpn.py'))"
    path = run(sys.executable, "-c", probe, folder=tmp_path, PYTHONPATH=str(installed))
    assert Path(path.strip()) == installed / "rankdet/model_zoo/configs/glyphs/fcos_r18_fpn.py"

    assert re.search(r"images +240\n", rankdet("dataset", "describe", "glyphs_smoke_train"))
    rankdet("train", "--config-file", "glyphs/mask_rcnn_smoke_ecm.py", *SHORT)
    assert (tmp_path / "run/results.json").is_file()
    rankdet("report", "run", "--output", "report.html", "--theory-images", "0")
    assert "APr" in (tmp_path / "report.html").read_text()
    Image.new("RGB", (96, 96), "white").save(tmp_path / "white.png")
    rankdet("predict", "--config-file", "run/config.yaml", "--input", "white.png", "--output", "to")
    assert (tmp_path / "to/white.png").is_file()
