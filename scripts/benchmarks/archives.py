"""List and read 400 files of 500 kB in a folder, a tar, a tar.gz, a tar.zst and a zip.

The files have random bytes, as JPEGs can hardly be compressed. `list_ms` and `read_ms` are
processor time per file in one thread, in the order of the listing, from the page cache.
"""

from __future__ import annotations

import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from segcli.sources import open_source, read
from segcli.video.every import parse_every

IMAGES, BYTES = 400, 500_000


def main() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = root / "folder"
        folder.mkdir()
        chance = np.random.default_rng(0)
        for number in range(IMAGES):
            (folder / f"{number:04}.jpg").write_bytes(chance.bytes(BYTES))
        places = {"folder": folder}
        for kind, pack in PACKERS.items():
            places[kind] = root / f"a.{kind}"
            pack(folder, places[kind])
        for kind, place in places.items():
            begin = time.process_time()
            samples = list(open_source(str(place), every=parse_every("1s")))
            listed = time.process_time()
            for sample in samples:
                assert len(read(sample)) == BYTES
            done = time.process_time()
            figures[f"{kind} list_ms"] = round((listed - begin) / IMAGES * 1e3, 3)
            figures[f"{kind} read_ms"] = round((done - listed) / IMAGES * 1e3, 3)
            figures[f"{kind} images/s"] = round(IMAGES / (done - begin))
    return figures


def pack_tar(folder: Path, archive: Path, mode: str = "w", **options: Any) -> None:
    with tarfile.open(archive, mode, **options) as tar:  # type: ignore[call-overload]
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)


def pack_zst(folder: Path, archive: Path) -> None:
    pack_tar(folder, plain := archive.with_name("plain"))
    archive.write_bytes(pa.compress(plain.read_bytes(), codec="zstd", asbytes=True))
    plain.unlink()


def pack_zip(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)


PACKERS: dict[str, Callable[[Path, Path], None]] = {
    "tar": pack_tar,
    "tar.gz": lambda folder, archive: pack_tar(folder, archive, "w:gz", compresslevel=1),
    "tar.zst": pack_zst,
    "zip": pack_zip,
}

if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:<40} {value}")
