"""A run after `segcli prune`: images whose files are still there are not processed again."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from toy_data import keys

from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Summary
from segcli.retention import PruneOptions, prune
from segcli.store import status


def run(source: Path, out: Path) -> Summary:
    options = PredictOptions(
        source=str(source), out=out, model="toy", device="cpu", precision="float32", replicas=0
    )
    return predict(options, report=lambda event: None)


def test_stills_and_clips_are_not_processed_again(
    pictures: Callable[..., Path], clip: Path, tmp_path: Path
) -> None:
    folder, out = pictures(3), tmp_path / "m.parquet"
    shutil.copy(clip, folder / "clip.mkv")
    for path in folder.iterdir():  # prune goes by whole seconds, and this one is not over
        os.utime(path, (1e9, 1e9))
    assert run(folder, out).images == 6  # 3 seconds
    prune(PruneOptions(out=out, older_than=0))
    shutil.copy(folder / "0000.png", folder / "0003.png")
    again = run(folder, out)
    assert (again.images, again.earlier, keys(out)) == (1, 6, ["0003.png"])
    assert run(folder, out).earlier == 7  # the clip is not opened
    os.utime(folder / "0001.png", (0, 0))
    assert run(folder, out).images == 1
    found = status(out)
    assert (found.images, found.pruned) == (2, 6)
