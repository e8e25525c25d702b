"""A published checkpoint becomes weights that predict takes, for a variant of each family, at full
size: the file as its authors' scripts write it, the two commands as a user types them."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from published import published_state
from typer.testing import CliRunner

from segcli.cli import app
from segcli.keypoints import PERSON, PERSON_SKELETON, Skeleton, skeletons_of
from segcli.store import read_settings


def segcli(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "keys", "wrapped"),
    [
        ("embedmask/r50-fpn", "embedmask_R50", lambda s: {"model": prefixed(s), "iteration": 9}),
        ("condinst/r50-fpn", "condinst_MS_R_50_1x", lambda s: {"model": s}),
        ("yolact/r50", "yolact_resnet50", lambda s: s),
        ("maskrcnn/keypoint-r50-fpn", "tv_keypointrcnn_resnet50_fpn", lambda s: s),
        (
            "solo/solov2-light-r18",
            "solov2_light_448_r18_fpn_8gpu_3x",
            lambda s: {"meta": {"epoch": 36}, "state_dict": s},
        ),
    ],
)
def test_published_files_convert_and_predict(model, keys, wrapped, tmp_path: Path) -> None:
    state = published_state(keys)
    for name, tensor in state.items():  # numbers that neither vanish nor explode
        if tensor.is_floating_point():
            tensor.mul_(0.02).sub_(0.01) if tensor.dim() > 1 else tensor.fill_(name[-3:] == "var")
    torch.save(wrapped(state), tmp_path / "theirs.pth")
    Image.new("RGB", (200, 20), (200, 90, 30)).save(tmp_path / "wide.png")  # a small canvas
    ours, out = tmp_path / "ours.safetensors", tmp_path / "masks.parquet"
    said = segcli("weights", "convert", tmp_path / "theirs.pth", "--model", model, "--out", ours)
    assert f"--weights {ours}" in said
    segcli("predict", tmp_path / "wide.png", "--out", out, "--model", model, "--weights", ours,
           "--device", "cpu", "--max-masks", 3)  # fmt: skip
    rows = pq.read_table(out).to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    found = [len(row["keypoints"] or ()) for row in rows if row["mask"] is not None]
    if "keypoint" in model:
        assert found
        assert set(found) == {17}
        assert skeletons_of(read_settings(out)) == {"person": Skeleton(PERSON, PERSON_SKELETON)}
    else:
        assert not any(found)


def prefixed(state: dict) -> dict:
    """As DistributedDataParallel saves it."""
    return {f"module.{name}": tensor for name, tensor in state.items()}
