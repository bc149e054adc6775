"""Which rate and decay each parameter of a transformer detector has."""

import pytest
import torch
from detectron2.config import instantiate

from rankdet import model_zoo


@pytest.mark.parametrize(
    ("name", "decay"), [("coco/co_detr_r50.py", 1e-4), ("coco/brs_detr_swin_t.py", 0.05)]
)
def test_rates_go_by_names_and_all_weights_decay(name, decay):
    cfg = model_zoo.get_config(name)
    with torch.device("cpu" if "swin" in name else "meta"):  # Detectron2's Swin reads numbers.
        model = instantiate(cfg.model)
    cfg.optimizer.params.model = model
    cfg.optimizer.fused = False  # There is none on the meta device.
    optimizer = instantiate(cfg.optimizer)
    groups = {id(x): group for group in optimizer.param_groups for x in group["params"]}
    trained = {x: weight for x, weight in model.named_parameters() if weight.requires_grad}
    assert type(optimizer) is torch.optim.AdamW and len(groups) == len(trained)
    slow = 0
    for parameter, weight in trained.items():
        is_slow = "backbone" in parameter or "sampling_offsets" in parameter
        group = groups[id(weight)]
        assert group["lr"] == pytest.approx(2e-5 if is_slow else 2e-4), parameter
        assert group["weight_decay"] == decay, parameter
        slow += "sampling_offsets" in parameter
    assert slow == 2 * (6 + 6)  # weights and biases of encoder and decoder
