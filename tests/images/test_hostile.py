"""Damaged files of every format: a picture or a reason, in bounded time and memory, in silence."""

import json
import subprocess
import sys
from pathlib import Path

from scripts.data.hostile import hostile, sound, write
from segcli.images import decode

COUNT, SEED = 360, 7  # scripts/soak does thousands
ROOT = Path(__file__).resolve().parents[2]

DECODE_ALL = """
import json, resource, sys, time
from pathlib import Path
import numpy, imagecodecs, tifffile  # so that only decoding counts
from segcli.errors import ImageError
from segcli.images import decode
limit = 4 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    (Path(sys.argv[1]).parent / "now").write_text(path.name)
    begin = time.process_time()
    try:
        image = decode(path.read_bytes(), key=path.name, max_pixels=1_000_000)
        assert image.pixels.shape == (*image.original_size, 3) and image.pixels.dtype == "uint8"
        told = "ok"
    except ImageError as error:
        told = str(error)
    found[path.name] = told, time.process_time() - begin
# VmHWM and not ru_maxrss, which a child inherits from the process that started it
status = Path("/proc/self/status").read_text()
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"found": found, "peak": peak}))
"""


def test_the_sound_ones_are_read() -> None:
    for name, data in sound().items():
        turned = name in ("exif.jpg", "plain.png")
        size = (48, 64) if name == "phone.heic" else (40, 30) if turned else (30, 40)
        assert decode(data, key=name).pixels.shape == (*size, 3), name


def test_the_same_seed_makes_the_same_files() -> None:
    assert list(hostile(60, 3)) == list(hostile(60, 3))
    assert list(hostile(60, 3)) != list(hostile(60, 4))


def test_each_is_a_picture_or_a_reason(tmp_path: Path) -> None:
    write(tmp_path / "files", COUNT, SEED)
    done = subprocess.run(
        [sys.executable, "-c", DECODE_ALL, tmp_path / "files"],
        capture_output=True, text=True, cwd=ROOT, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{(tmp_path / 'now').read_text()}: {done.stderr[-2000:]}"
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert len(answer["found"]) == COUNT
    assert all(reason for reason, _ in answer["found"].values())
    assert sum(reason != "ok" for reason, _ in answer["found"].values()) > COUNT / 4
    slow = {name: seconds for name, (_, seconds) in answer["found"].items() if seconds > 3}
    assert slow == {}
    assert answer["peak"] < 1500  # MB
