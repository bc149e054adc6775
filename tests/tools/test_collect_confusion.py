import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.config import load_config
from rankdet.engine.training import build_model, evaluate_checkpoint
from rankdet.losses.confusion import pairwise_bias
from rankdet.modeling.calibration import load_statistics
from rankdet.tools.collect_confusion import collect_statistics, main
from rankdet.tools.proposal_scores import annotated_loader

C = 10
CALIBRATION = "model.roi_heads.box_predictor.calibration"
CONFUSION = "rankdet.modeling.calibration.ConfusionCalibration"
NORCAL = "rankdet.modeling.calibration.NorCal"


@pytest.fixture(scope="module")
def run(untrained_run):
    return untrained_run


@pytest.fixture(scope="module")
def statistics_file(run):
    main([str(run)])
    return run / "calibration_glyphs_smoke_val.pth"


def load_model(run):
    cfg = load_config(str(run / "config.yaml"))
    model = build_model(cfg)
    Checkpointer(model).load_strictly(str(run / "model_final.pth"))
    return cfg, model


def slow_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (area(a) + area(b) - shared)


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def slow_samples(model, image):
    """(class, distribution over the classes) of each foreground proposal of an image."""
    inputs = model.preprocess_image([image])
    features = model.backbone(inputs.tensor)
    (proposals,), _ = model.proposal_generator(inputs, features, None)
    heads = model.roi_heads
    pooled = heads.box_pooler(
        [features[f] for f in heads.box_in_features], [proposals.proposal_boxes]
    )
    logits, _ = heads.box_predictor(heads.box_head(pooled))
    boxes, objects = proposals.proposal_boxes.tensor.tolist(), image["instances"]
    for box, row in zip(boxes, logits, strict=True):
        ious = [slow_iou(box, other) for other in objects.gt_boxes.tensor.tolist()]
        if ious and max(ious) >= 0.5:
            yield int(objects.gt_classes[ious.index(max(ious))]), row[:C].softmax(0)


def test_collects_the_mean_prediction_of_foreground_proposals(run):
    cfg, model = load_model(run)
    images = [image for batch in annotated_loader(cfg) for image in batch][:10]
    found = collect_statistics(model, [images[:4], images[4:]])
    assert model.training
    model.eval()
    with torch.no_grad():
        samples = [sample for image in images for sample in slow_samples(model, image)]
    assert len(samples) > 9 and len({label for label, _ in samples}) > 3
    assert all(probs.max() < 0.99 for _, probs in samples)
    for y in range(C):
        rows = [probs for label, probs in samples if label == y]
        assert found.num_samples[y] == len(rows)
        expected = torch.stack(rows).mean(0) if rows else torch.zeros(C)
        torch.testing.assert_close(found.matrix[y], expected, rtol=1e-4, atol=1e-6)


def test_writes_beside_the_weights_and_prints_the_bias(run, statistics_file, capsys):
    main([str(run / "config.yaml"), "--checkpoint", str(run / "model_final.pth")])
    output = capsys.readouterr().out
    statistics = load_statistics(statistics_file)
    seen = statistics.is_seen
    torch.testing.assert_close(statistics.matrix.sum(1), seen.float())
    assert f"PwB {pairwise_bias(statistics.matrix, seen):.3f}, mean score" in output
    assert f"({statistics.num_samples.sum()} proposals)" in output
    assert f"Statistics: {statistics_file}" in output


def test_a_calibration_does_not_feed_itself(run, statistics_file):
    cfg, model = load_model(run)
    images = next(iter(annotated_loader(cfg)))
    plain = collect_statistics(model, [images])
    setting = f"{CALIBRATION}={{_target_: {CONFUSION}, path: {statistics_file}}}"
    calibrated = build_model(load_config(str(run / "config.yaml"), [setting]))
    calibrated.load_state_dict(model.state_dict())
    assert torch.equal(collect_statistics(calibrated, [images]).matrix, plain.matrix)


def test_the_data_set_can_be_chosen(run, few_images):
    cfg, model = load_model(run)
    main([str(run), "--dataset", few_images])
    found = load_statistics(run / f"calibration_{few_images}.pth")
    images = [image for batch in annotated_loader(cfg) for image in batch][:10]
    assert torch.equal(found.matrix, collect_statistics(model, [images]).matrix)


@pytest.fixture
def few_images():
    """A data set of the first ten images, without an annotation file of its own."""
    name = "first_glyphs_of_smoke_val"
    DatasetCatalog.register(name, lambda: DatasetCatalog.get("glyphs_smoke_val")[:10])
    MetadataCatalog.get(name).thing_classes = MetadataCatalog.get("glyphs_smoke_val").thing_classes
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


@pytest.mark.parametrize(
    "part",
    [
        f"{CONFUSION}, path: FILE",
        "rankdet.modeling.calibration.MeanScoreCalibration, path: FILE",
        f"{NORCAL}, gamma: 0.6, class_counts: {{_target_: rankdet.data.class_stats.image_counts, "
        "dataset_names: glyphs_smoke_train}",
    ],
)
def test_a_line_of_train_net_switches_calibration_on(
    run, statistics_file, few_images, tmp_path, part
):
    part = part.replace("FILE", str(statistics_file))
    overrides = [f"train.output_dir={tmp_path}", f"train.init_checkpoint={run}/model_final.pth"]
    overrides.append(f"dataloader.test.dataset.names={few_images}")
    cfg = load_config(str(run / "config.yaml"), [*overrides, f"{CALIBRATION}={{_target_: {part}}}"])
    assert "AP" in evaluate_checkpoint(cfg)["bbox"]


def test_calibration_of_another_model_is_named(run, tmp_path):
    setting = f"{CALIBRATION}={{_target_: {NORCAL}, gamma: 1, class_counts: [3, 2]}}"
    with pytest.raises(ValueError, match="num_classes is 10, but the calibration was made for 2"):
        build_model(load_config(str(run / "config.yaml"), [setting]))
    setting = f"{CALIBRATION}={{_target_: {CONFUSION}, path: {tmp_path}/no.pth}}"
    with pytest.raises(
        FileNotFoundError, match=r"the calibration file .* does not exist; write it"
    ):
        build_model(load_config(str(run / "config.yaml"), [setting]))


def test_without_foreground_proposals_nothing_is_written(run):
    cfg, model = load_model(run)
    image = next(iter(annotated_loader(cfg)))[0]
    image["instances"] = image["instances"][:0]
    with pytest.raises(ValueError, match=r"no proposal has an IoU of 0\.5 with an object"):
        collect_statistics(model, [[image]])


def test_unknown_data_set_ends_with_a_sentence(run):
    with pytest.raises(SystemExit, match="'glyphs_smoke_vall' is not registered"):
        main([str(run), "--dataset", "glyphs_smoke_vall"])
