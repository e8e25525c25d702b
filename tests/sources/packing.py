"""Archives of every kind, written by the tests."""

import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa

KINDS = ("tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip")


def write(path: Path, files: dict[str, bytes]) -> Path:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    plain = io.BytesIO()
    kind = path.name.rpartition(".")[2]
    mode = f"w:{kind}" if kind in ("gz", "bz2", "xz") else "w"
    with tarfile.open(fileobj=plain, mode=mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = plain.getvalue()
    if kind == "zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)
    return path
