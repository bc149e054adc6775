import pytest
import torch
from detectron2.config import instantiate
from support.tiny_detr import make_detr

from rankdet import model_zoo
from rankdet.engine.rate_factors import RateFactors


def test_factors_are_of_parts_of_names():
    rate = RateFactors({"backbone": 0.1, "sampling_offsets": 0.5})
    assert rate("head.weight") == 1
    assert rate("module.backbone.conv.weight") == 0.1
    assert rate("encoder.layers.0.attention.sampling_offsets.bias") == 0.5
    assert rate("backbone.sampling_offsets.bias") == pytest.approx(0.05)


@pytest.mark.parametrize("factor", [-1, float("nan")])
def test_a_factor_is_not_negative(factor):
    with pytest.raises(ValueError, match=r"factors\['neck'\] is "):
        RateFactors({"neck": factor})


def test_transformers_decay_everything_and_have_slow_sampling_offsets():
    model = make_detr()
    optimizer_config = model_zoo.get_config("common/optim.py").detr
    optimizer_config.params.model = model
    optimizer_config.lr = 0.02
    optimizer = instantiate(optimizer_config)
    assert isinstance(optimizer, torch.optim.AdamW)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    names = dict(model.named_parameters())
    assert len(groups) == len(names) and any("sampling_offsets" in name for name in names)
    for name, parameter in names.items():
        group = groups[id(parameter)]
        assert group["lr"] == pytest.approx(0.002 if "sampling_offsets" in name else 0.02), name
        assert group["weight_decay"] == 1e-4, name
