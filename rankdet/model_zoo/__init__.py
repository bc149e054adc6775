"""The configs that come with rankdet, from any folder, in a checkout or installed.

>>> from rankdet import model_zoo
>>> model_zoo.get_config("lvis_v1/mask_rcnn_r50_fpn_1x_ecm.py").model.roi_heads.num_classes
1203
"""

from pathlib import Path

from rankdet.environment import check_environment

check_environment()

# The imports below need the environment that the line above has just checked.
from detectron2.config import LazyConfig  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from rankdet.shipped_configs import shipped_config  # noqa: E402

__all__ = ["get_config", "get_config_file"]


def get_config(name: str) -> DictConfig:
    """Load a config, as ``detectron2.model_zoo.get_config`` does with Detectron2's own.

    Args:
        name: of an experiment, ``glyphs/mask_rcnn_r18_fpn_ecm.py``, or of a part of experiments,
            ``common/optim.py``.

    Returns:
        All that the file defines: ``model``, ``dataloader``, ``train`` ...

    Raises:
        FileNotFoundError: there is no such config; the message names the nearest.
    """
    config: DictConfig = LazyConfig.load(str(get_config_file(name)))
    return config


def get_config_file(name: str) -> Path:
    """Find the file of a config.

    Args:
        name: see :func:`get_config`.

    Returns:
        Its absolute path.

    Raises:
        FileNotFoundError: there is no such config; the message names the nearest.
    """
    return shipped_config(name)
