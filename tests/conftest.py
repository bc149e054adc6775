"""Settings and fixtures of all tests: every process has its own folder of data."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

SESSION_FOLDER = Path(tempfile.mkdtemp(prefix="rankdet-tests-"))
atexit.register(shutil.rmtree, SESSION_FOLDER, ignore_errors=True)

# Detectron2 reads its variable when it registers the builtin datasets, that is at import.
os.environ["DETECTRON2_DATASETS"] = str(SESSION_FOLDER / "datasets")
if "PYTEST_XDIST_WORKER" not in os.environ:  # Workers generate data sets once for all.
    os.environ["RANKDET_CACHE"] = str(SESSION_FOLDER / "cache")

# Lets the tests import the modules beside this file under --import-mode=importlib.
sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where there is none."""
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.fixture(scope="session")
def lvis_datasets() -> Path:
    """Write a tiny `lvis_v1_train` and `lvis_v1_val` of 1,203 classes; gives their folder."""
    from support.tiny_lvis import write_tiny_lvis

    root = Path(os.environ["DETECTRON2_DATASETS"])
    write_tiny_lvis(root, split="train", num_images=6, seed=0)
    write_tiny_lvis(root, split="val", num_images=4, seed=1)
    return root
