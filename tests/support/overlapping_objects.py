"""Random objects that overlap, and detections with every kind of error, in the format of COCO."""

from typing import Any

import numpy as np
import pycocotools.mask

SIZE = 200
CATEGORY_IDS = (3, 4, 7, 8, 12)
Record = dict[str, Any]


def random_content(rng: np.random.Generator, *, federated: bool, num_images: int = 6) -> Record:
    """Annotations of five classes; some crowds, or classes that an image was not searched for."""
    images, annotations = [], []
    for image_id in rng.permutation(num_images).tolist():
        image: Record = {"id": image_id, "height": SIZE, "width": SIZE}
        present = rng.choice(CATEGORY_IDS, size=2 + image_id % 2, replace=False).tolist()
        if federated:
            absent = sorted({*CATEGORY_IDS} - {*present})
            image["neg_category_ids"] = absent[1:]
            image["not_exhaustive_category_ids"] = present[: image_id % 2]
        images.append(image)
        for category_id in rng.choice(present, size=image_id * 2).tolist():
            annotation = {"id": len(annotations), "image_id": image_id, "category_id": category_id}
            is_crowd = int(not federated and rng.random() < 0.1)
            shape = region(rng.integers((0, 0, 30, 30), (120, 120, 80, 80)))
            annotations.append({**annotation, "iscrowd": is_crowd, **shape})
    categories = [{"id": c, "frequency": "rcf"[c % 3]} for c in CATEGORY_IDS[::-1]]
    return {"images": images, "annotations": annotations, "categories": categories}


def region(box: np.ndarray) -> Record:
    """The fields of a rectangle (x, y, width, height); its mask is an RLE."""
    x, y, w, h = (float(value) for value in box)
    corners = [x, y, x + w, y, x + w, y + h, x, y + h]
    mask = pycocotools.mask.frPyObjects([corners], SIZE, SIZE)[0]
    return {"bbox": [x, y, w, h], "area": w * h, "segmentation": mask}


def random_results(content: Record, rng: np.random.Generator, per_image: int = 40) -> list[Record]:
    """Detections beside objects, of their class or another one, and anywhere; scores repeat."""
    results = []
    for image in content["images"]:
        objects = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        for _ in range(per_image):
            box, category_id = rng.integers(10, 100, size=4), rng.choice(CATEGORY_IDS)
            if objects and rng.random() < 0.8:
                near = objects[rng.integers(len(objects))]
                box = near["bbox"] + rng.integers(-1, 2, size=4) * rng.integers(2, 30)
                if rng.random() < 0.5:
                    category_id = near["category_id"]
            shape = region(np.maximum(box, 0))
            del shape["area"]
            score = float(rng.integers(1, 15)) / 15
            results.append(
                {
                    "image_id": image["id"],
                    "category_id": int(category_id),
                    "score": score,
                    **shape,
                }
            )
    return results
