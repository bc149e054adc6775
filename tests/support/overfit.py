"""Whether a detector can learn four images by heart."""

import contextlib
import io

import torch
from detectron2.config import instantiate
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from faster_coco_eval import COCO, COCOeval_faster

SIZE, NUM_CLASSES = 64, 3


def make_images():
    """Four images of three rectangles; a class is a color."""
    generator = torch.Generator().manual_seed(0)
    return [make_image(generator) for _ in range(4)]


def make_image(generator):
    image = 60 * torch.rand(3, SIZE, SIZE, generator=generator)
    corners = torch.tensor([[2, 2], [34, 4], [10, 35]])
    sides = torch.randint(17, 28, (3, 2), generator=generator)
    classes = torch.randint(0, NUM_CLASSES, (3,), generator=generator)
    boxes = torch.cat([corners, corners + sides], dim=1)
    for (x1, y1, x2, y2), label in zip(boxes.tolist(), classes.tolist(), strict=True):
        image[label, y1:y2, x1:x2] = 255
    instances = Instances((SIZE, SIZE), gt_boxes=Boxes(boxes.float()), gt_classes=classes)
    return {"image": image, "instances": instances, "height": SIZE, "width": SIZE}


def overfit(model_config, iterations, lr):
    """Train on the four images; gives AP50 in [0, 1] on them."""
    torch.manual_seed(0)
    model, images = instantiate(model_config), make_images()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    with EventStorage():
        for _ in range(iterations):
            optimizer.zero_grad()
            sum(model(images).values()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
    with torch.no_grad():
        return ap50(model.eval()(images), images)


def ap50(results, images):
    """COCO's AP at an IoU of 0.5."""
    found, truth = [], []
    for index, (result, image) in enumerate(zip(results, images, strict=True)):
        x = result["instances"]
        found += rows(index, x.pred_boxes, x.pred_classes, score=x.scores)
        gt = image["instances"]
        truth += rows(index, gt.gt_boxes, gt.gt_classes, area=gt.gt_boxes.area())
    for number, row in enumerate(truth, 1):
        row.update(id=number, iscrowd=0)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": index} for index in range(len(images))],
            "categories": [{"id": label} for label in range(NUM_CLASSES)],
            "annotations": truth,
        }
        coco.createIndex()
        evaluation = COCOeval_faster(coco, coco.loadRes(found), "bbox")
        evaluation.run()
    return evaluation.stats[1]


def rows(index, boxes, classes, **more):
    """One dict for each box of an image."""
    corners = boxes.tensor.tolist()
    return [
        {"image_id": index, "bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": label}
        | {name: values[n].item() for name, values in more.items()}
        for n, ((x1, y1, x2, y2), label) in enumerate(zip(corners, classes.tolist(), strict=True))
    ]
