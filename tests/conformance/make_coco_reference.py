"""Makes coco_reference.npz: what pycocotools says of seeded random boxes, crowds included.

    pip install pycocotools
    python tests/conformance/make_coco_reference.py
"""

from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

PICTURES, CLASSES, SIZE = 40, 5, 400
HERE = Path(__file__).parent


def boxes(random, count):
    """Boxes of all sizes: (count, 4) left, top, right, bottom, in quarters of a pixel."""
    size = np.exp(random.uniform(np.log(6), np.log(200), (count, 2)))
    corner = random.uniform(0, SIZE - size)
    return np.round(np.concatenate([corner, corner + size], axis=1) * 4) / 4


def made(random):
    """True objects (objects, 8) and detections (detections, 7), each with its picture in front.

    True: picture, box, class, crowd, area. Found: picture, box, score, class. Scores are few
    enough for many to be equal, and some classes are in some pictures only.
    """
    true, found = [], []
    for picture in range(PICTURES):
        count = int(random.integers(0, 9))
        own = boxes(random, count)
        classes = random.integers(0, CLASSES - 1, count)  # nothing is of the last class
        crowd = random.random(count) < 0.15
        area = (own[:, 2:] - own[:, :2]).prod(axis=1) * random.uniform(0.5, 1, count)
        true += [[picture, *b, c, k, a] for b, c, k, a in zip(own, classes, crowd, area)]
        for box, label in zip(own, classes):
            for _ in range(int(random.integers(0, 4))):
                near = box + random.normal(0, 0.06, 4) * (box[2:] - box[:2]).mean()
                label_said = label if random.random() < 0.85 else random.integers(CLASSES)
                if (near[2:] > near[:2]).all():
                    found.append([picture, *near, round(random.random(), 2), label_said])
        for box in boxes(random, int(random.integers(0, 5))):
            found.append([picture, *box, round(random.random() * 0.7, 2),
                          random.integers(CLASSES)])
    # A picture with more detections of a class than count.
    for box in boxes(random, 130):
        found.append([0, *box, round(random.random(), 2), 0])
    return np.array(true), np.array(found)


def evaluated(true, found):
    """pycocotools' twelve figures, and its precision (thresholds, recalls, classes, areas)."""
    def sized(box):
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    coco = COCO()
    coco.dataset = {
        "images": [{"id": i + 1} for i in range(PICTURES)],
        "categories": [{"id": i + 1, "name": str(i)} for i in range(CLASSES)],
        "annotations": [
            {"id": n + 1, "image_id": int(t[0]) + 1, "bbox": sized(t[1:5]), "area": float(t[7]),
             "category_id": int(t[5]) + 1, "iscrowd": int(t[6])} for n, t in enumerate(true)]}
    coco.createIndex()
    said = coco.loadRes([
        {"image_id": int(f[0]) + 1, "bbox": sized(f[1:5]), "score": float(f[5]),
         "category_id": int(f[6]) + 1} for f in found])
    judge = COCOeval(coco, said, "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return judge.stats, judge.eval["precision"][..., -1]


if __name__ == "__main__":
    true, found = made(np.random.default_rng(0))
    stats, precision = evaluated(true, found)
    np.savez_compressed(HERE / "coco_reference.npz", true=true, found=found, stats=stats,
                        precision=precision.astype(np.float32))
