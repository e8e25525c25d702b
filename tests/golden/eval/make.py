"""Cut the trimmed evaluation cases out of the full ones: make.py FOLDER, with $SEGCLI_DATA/eval.

Writes the first 20 images of the COCO API's example and the numbers that pycocotools itself finds.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

HERE = Path(__file__).resolve().parent
IMAGES = 20


def main(full: Path) -> None:
    source, target = full / "cocoapi", HERE / "cocoapi"
    target.mkdir(exist_ok=True)
    truth = json.loads((source / "instances_val2014_100.json").read_text())
    kept = {image["id"] for image in sorted(truth["images"], key=lambda i: i["id"])[:IMAGES]}
    trimmed = {
        "images": [i for i in truth["images"] if i["id"] in kept],
        "annotations": [a for a in truth["annotations"] if a["image_id"] in kept],
        "categories": truth["categories"],
    }
    for image in trimmed["images"]:
        for key in ("license", "coco_url", "flickr_url", "date_captured"):
            image.pop(key, None)
    numbers = {}
    write(target / "instances_val2014_100.json", trimmed)
    for kind in ("segm", "bbox"):
        name = f"instances_val2014_fake{kind}100_results.json"
        found = json.loads((source / name).read_text())
        write(target / name, [d for d in found if d["image_id"] in kept])
        numbers[kind] = judge(target / "instances_val2014_100.json", target / name, kind)
    (target / "expected.json").write_text(json.dumps(numbers, indent=1) + "\n")
    small = HERE / "faster_coco_eval"
    small.mkdir(exist_ok=True)
    for name in ("gt_dataset.json", "dt_dataset.json", "expected.json"):
        content = json.loads((full / "faster_coco_eval" / name).read_text())
        write(small / name, content)


def judge(truth: Path, found: Path, kind: str) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        evaluator = COCOeval(known, known.loadRes(str(found)), kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
