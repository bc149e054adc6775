"""Package definition: ranges here, exact versions of `make install` in constraints.txt.

CI runs the exact versions. With the lowest of the ranges, on Python 3.10, the tests of losses,
data, heads, configs and evaluation passed when the ranges were chosen; the engine's did not run.

Detectron2 is not on PyPI (rankdet/tools/install_detectron2.py installs it), and lvis is installed
without its dependencies because it asks for opencv-python, which needs libGL: see the Makefile.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "rankdet/__init__.py").read_text()).group(1)

INSTALL_REQUIRES = [
    "torch>=2.4,<3",
    "torchvision>=0.19,<1",
    "numpy>=1.26",
    "Pillow>=10.4",
    "matplotlib>=3.8.4",
    "scipy>=1.13",
    "jinja2>=3.1",
    "pycocotools>=2.0.8",
    "faster-coco-eval>=1.8,<2",
    "fvcore>=0.1.5,<0.1.6",
    "iopath>=0.1.9,<=0.1.10",
    "omegaconf>=2.3,<2.4",
    "hydra-core>=1.3,<2",
    "tabulate>=0.9",
    "tensorboard>=2.16",
    "tqdm>=4.66",
    "setuptools<81",  # Detectron2's model zoo imports pkg_resources
    # What lvis imports or declares, but for opencv-python
    "opencv-python-headless>=4.10",
    "Cython>=3",
    "six>=1.16",
]
DEV_REQUIRES = ["pytest>=8.3", "pytest-xdist>=3.6", "hypothesis>=6.120", "ruff>=0.17", "mypy>=2.0"]

# The wheel holds the folder `configs` under this name: see rankdet/shipped_configs.py.
CONFIGS = "rankdet.model_zoo.configs"

setup(
    name="rankdet",
    version=VERSION,
    description="Losses, heads and metrics for long-tailed and ranking detection on Detectron2",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["rankdet", "rankdet.*"]), CONFIGS],
    package_dir={CONFIGS: "configs"},
    package_data={
        "rankdet": ["py.typed"],
        "rankdet.tools.report": ["templates/*"],
        CONFIGS: ["**/*.py"],
    },
    entry_points={"console_scripts": ["rankdet = rankdet.cli:main"]},
    install_requires=INSTALL_REQUIRES,
    extras_require={"dev": DEV_REQUIRES},
)
