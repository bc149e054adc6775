"""Whole detectors traced as Detectron2's export does; a trace must follow pictures of any size."""

import pytest
import torch
from detectron2.config import instantiate
from detectron2.export import TracingAdapter
from support.smoke_run import ROOT
from support.tiny_two_stage import make_cascade_heads, make_detector

from rankdet.engine.config import load_config
from rankdet.losses import SigmoidBCELoss


def detector(name):
    """An untrained one, whose batch norm is not trivial, so that its scores differ."""
    cfg = load_config(
        str(ROOT / f"configs/glyphs/{name}.py"),
        ["dataloader.train.dataset.names=glyphs_smoke_train"],
    )
    owner = cfg.model.roi_heads if "roi_heads" in cfg.model else cfg.model
    owner.num_classes = 10
    torch.manual_seed(0)
    model = instantiate(cfg.model).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def picture(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    return [{"image": torch.randint(0, 256, (3, height, width), generator=generator).float()}]


def detect(model, inputs):
    """Detections in pixels of the model's input."""
    if hasattr(model, "roi_heads"):
        return model.inference(inputs, do_postprocess=False)
    return [output["instances"] for output in model(inputs)]


@torch.no_grad()
def check_trace(model, sizes):
    """Compare a trace of the first size with the model on pictures of all sizes."""
    adapter = TracingAdapter(model, picture(*sizes[0], 0), detect)
    traced = torch.jit.trace(adapter, adapter.flattened_inputs, check_trace=False)
    for size in sizes:
        other = TracingAdapter(model, picture(*size, seed=1), detect)
        expected = other(*other.flattened_inputs)
        for found, value in zip(traced(*other.flattened_inputs), expected, strict=True):
            assert torch.equal(found, value)
        assert len(expected[0]) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["mask_rcnn_r18_fpn_pcb", "faster_rcnn_r18_fpn_rs", "paa_r18_fpn"])
def test_a_trace_equals_the_model_on_other_pictures(name):
    check_trace(detector(name), [(96, 96), (64, 112), (32, 32)])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_trace_equals_a_cascade_with_masks():
    model = make_detector(SigmoidBCELoss, make_cascade_heads).eval()
    check_trace(model, [(48, 48), (64, 80), (32, 32)])
