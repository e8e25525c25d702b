"""Evaluation of 36,000 detections on 5,000 images as whole processes, against three others.

The case is made of the COCO API's example ($SEGCLI_DATA/eval/cocoapi, else the trimmed copy in the
tests), repeated with shifted scores, in a process of its own. So is each evaluator: segcli reads
Parquet, the others the equivalent JSON. All are run twice, the first time to fill the caches (of
files and of Python's bytecode, as an installation has them), and the better figures are told.
Seconds of processor time stand beside those of the wall clock, because only they mean something
on a busy machine. Peak memory is the process's own: a small process starts it, because the kernel
counts a child's memory from that of its parent on.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pycocotools import mask as coco

from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

ROOT = Path(__file__).resolve().parents[2]
IMAGES, DETECTIONS, OBJECTS = 5_000, 36_000, 37_000
RUNS = 2

PROGRAMS = {
    "segcli": "from segcli.cli import main; main()",
    "pycocotools": """
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
gt = COCO(sys.argv[1]); e = COCOeval(gt, gt.loadRes(sys.argv[2]), "segm")
e.evaluate(); e.accumulate(); e.summarize(); print("AP", repr(float(e.stats[0])))
""",
    "faster_coco_eval": """
from faster_coco_eval import COCO, COCOeval_faster
gt = COCO(sys.argv[1]); e = COCOeval_faster(gt, gt.loadRes(sys.argv[2]), "segm")
e.evaluate(); e.accumulate(); e.summarize(); print("AP", repr(float(e.stats[0])))
""",
    "hotcoco": """
from hotcoco import COCO, COCOeval
gt = COCO(sys.argv[1]); e = COCOeval(gt, gt.load_res(sys.argv[2]), "segm")
e.evaluate(); e.accumulate(); e.summarize(); print("AP", repr(float(e.stats[0])))
""",
}


# Runs the words that follow, and prints what that took as JSON; it imports next to nothing.
STARTER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
told = process.stdout.read().decode()
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - start
process.returncode = os.waitstatus_to_exitcode(status)
print(json.dumps({
    "code": process.returncode, "told": told, "wall_s": wall,
    "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024,
    "starter_mb": int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20,
}))
"""


def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", __spec__.name, "make", name], check=True, cwd=ROOT)
        figures: dict[str, Any] = {}
        numbers = {}
        for program in PROGRAMS:
            measured, numbers[program] = run(program, folder)
            figures |= {f"{program}_{key}": value for key, value in measured.items()}
        figures["same_ap"] = len(set(numbers.values())) == 1
        for other in ("pycocotools", "faster_coco_eval", "hotcoco"):
            for kind in ("wall_s", "cpu_s", "peak_mb"):
                ratio = figures[f"{other}_{kind}"] / figures[f"segcli_{kind}"]
                figures[f"{other}_to_segcli_{kind}"] = round(ratio, 2)
        return figures


def run(program: str, folder: Path) -> tuple[dict[str, float], float]:
    """Wall and processor seconds and peak memory of the process, and the AP that it found."""
    truth, found = str(folder / "gt.json"), str(folder / "dt.json")
    words = [truth, found]
    if program == "segcli":
        words = ["eval", "--gt", truth, "--pred", str(folder / "masks.parquet")]
    own = [sys.executable, "-c", f"import sys\n{PROGRAMS[program]}", *words]
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    kept["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    runs = []
    for _ in range(RUNS):
        starter = [sys.executable, "-S", "-c", STARTER, *own]
        done = subprocess.run(starter, stdout=subprocess.PIPE, env=kept, check=True)
        runs.append(json.loads(done.stdout))
        if runs[-1]["code"]:
            raise SystemExit(f"{program} failed with exit code {runs[-1]['code']}")
        if runs[-1]["peak_mb"] <= runs[-1]["starter_mb"]:
            raise SystemExit(f"{program}: its memory cannot be told from its starter's")
    figures = {
        "wall_s": round(min(one["wall_s"] for one in runs), 2),
        "cpu_s": round(min(one["cpu_s"] for one in runs), 2),
        "peak_mb": round(min(one["peak_mb"] for one in runs)),
    }
    return figures, round(ap_of(program, runs[-1]["told"]), 3)


def ap_of(program: str, told: str) -> float:
    """segcli prints three digits on the line below the names; the others their whole AP."""
    if program != "segcli":
        return float(told.rsplit("AP ", 1)[1])
    lines = told.splitlines()
    names = next(i for i, line in enumerate(lines) if line.split()[:2] == ["AP", "AP50"])
    return float(lines[names + 1].split()[0])


def make_case(folder: Path) -> None:
    source = Path(os.environ.get("SEGCLI_DATA", ROOT / "../shared/data")) / "eval/cocoapi"
    if not source.is_dir():
        source = ROOT / "tests/golden/eval/cocoapi"
    truth = json.loads((source / "instances_val2014_100.json").read_text())
    found = json.loads((source / "instances_val2014_fakesegm100_results.json").read_text())
    lot = random.Random(20_260)
    copies = IMAGES // len(truth["images"])
    images, objects, detections = [], [], []
    for copy in range(copies):
        shift = copy * 10**7
        for image in truth["images"]:
            name = f"{copy:03d}/{image['file_name']}"
            images.append({**image, "id": image["id"] + shift, "file_name": name})
        objects += [{**one, "image_id": one["image_id"] + shift} for one in truth["annotations"]]
        detections += [
            {
                **one,
                "image_id": one["image_id"] + shift,
                "score": one["score"] * lot.uniform(0.9, 1),
            }
            for one in found
        ]
    objects = lot.sample(objects, min(OBJECTS, len(objects)))
    detections = lot.sample(detections, min(DETECTIONS, len(detections)))
    detections.sort(key=lambda one: (one["image_id"], -one["score"]))
    truth |= {"images": images, "annotations": [{**o, "id": i} for i, o in enumerate(objects, 1)]}
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "dt.json").write_text(json.dumps(detections))
    write_output(folder / "masks.parquet", truth, detections)


def write_output(path: Path, truth: dict[str, Any], detections: list[dict[str, Any]]) -> None:
    """The parts that a run with these detections would have written."""
    ids = tuple(category["id"] for category in truth["categories"])
    names = tuple(category["name"] for category in truth["categories"])
    segments: dict[int, list[Segment]] = {image["id"]: [] for image in truth["images"]}
    for one in detections:
        mask = one["segmentation"]
        x, y, w, h = (float(side) for side in coco.toBbox(mask))
        segments[one["image_id"]].append(
            Segment(
                ids.index(one["category_id"]),
                one["score"],
                (x, y, w, h),
                int(coco.area(mask)),
                mask["counts"].encode(),
            )
        )
    records = [
        Record(
            Sample(image["file_name"], image["file_name"]),
            image["height"],
            image["width"],
            segments[image["id"]],
        )
        for image in truth["images"]
    ]
    settings = Settings({"source_root": "bench"}, {"default_score": 0.5})
    with open_output(path, settings, carried={}, categories=(names, ids)) as output:
        for first in range(0, len(records), 500):
            output.commit(records[first : first + 500])


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make_case(Path(sys.argv[2]))
    else:
        for name, value in main().items():
            print(f"{name:<40} {value}")
