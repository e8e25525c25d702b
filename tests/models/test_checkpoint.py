import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segcli.errors import OutputError, UsageError
from segcli.models import checkpoint
from segcli.types import ModelInfo, Resize

INFO = ModelInfo(
    family="toy",
    variant="tiny",
    categories=("red", "green"),
    category_ids=(1, 7),
    resize=Resize(64, 128, mode="stretch", antialias=False),
    stride=32,
    default_score=0.25,
)
STATE = {"a.weight": torch.tensor([[1.0, -0.5], [2.0, 1e-3]]), "steps": torch.tensor(3)}


class Evil:
    """Creates a file when it is unpickled in full."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_round_trip(tmp_path) -> None:
    checkpoint.save(tmp_path / "w.safetensors", STATE, INFO, notes={"recipe": "two epochs"})
    info, state = checkpoint.load(tmp_path / "w.safetensors")
    assert info == INFO
    assert set(state) == set(STATE)
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)
    assert checkpoint.read_metadata(tmp_path / "w.safetensors")["recipe"] == "two epochs"
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_half_stores_two_bytes_and_gives_float32_back(tmp_path) -> None:
    weight = torch.linspace(-1, 1, 4096)
    for half in (False, True):
        checkpoint.save(tmp_path / f"{half}", {"w": weight}, INFO, half=half)
    _, state = checkpoint.load(tmp_path / "True")
    assert state["w"].dtype == torch.float32
    assert torch.equal(state["w"], weight.half().float())
    smaller = (tmp_path / "False").stat().st_size - (tmp_path / "True").stat().st_size
    assert smaller == 2 * 4096


def test_half_keeps_what_float16_cannot_hold(tmp_path) -> None:
    checkpoint.save(tmp_path / "w", {"w": torch.tensor([1e5, 0.1])}, INFO, half=True)
    assert torch.equal(checkpoint.load(tmp_path / "w")[1]["w"], torch.tensor([1e5, 0.1]))


def test_tied_and_transposed_tensors_are_saved(tmp_path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    checkpoint.save(tmp_path / "w", {"a": weight, "b": weight, "c": weight.T}, INFO)
    _, state = checkpoint.load(tmp_path / "w")
    assert torch.equal(state["b"], weight)
    assert torch.equal(state["c"], weight.T)


def test_failed_write_keeps_the_old_file(tmp_path) -> None:
    checkpoint.save(tmp_path / "w", STATE, INFO)
    before = (tmp_path / "w").read_bytes()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        checkpoint.save(tmp_path / "w" / "inside", STATE, INFO)
    with pytest.raises(OutputError, match="cannot write"):
        checkpoint.save(tmp_path / "folder", STATE, INFO)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "w"]
    assert (tmp_path / "w").read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"short", b"PK\x03\x04 zip", b"\x10" + b"\0" * 7 + b"no json here, so"]
)
def test_load_refuses_what_is_not_ours(content, tmp_path) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(UsageError, match="has no segcli weights .* `segcli weights convert`"):
        checkpoint.load(tmp_path / "w")


def test_load_refuses_safetensors_of_others(tmp_path) -> None:
    from safetensors.torch import save_file

    save_file(STATE, tmp_path / "w")
    with pytest.raises(UsageError, match="has no segcli weights"):
        checkpoint.load(tmp_path / "w")


def test_load_reports_a_missing_a_folder_and_a_truncated_file(tmp_path) -> None:
    with pytest.raises(UsageError, match="cannot read weights .*absent: No such file"):
        checkpoint.load(tmp_path / "absent")
    with pytest.raises(UsageError, match="Is a directory"):
        checkpoint.load(tmp_path)
    checkpoint.save(tmp_path / "w", STATE, INFO)
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:-3])
    with pytest.raises(UsageError, match="is the file complete"):
        checkpoint.load(tmp_path / "w")


def test_header_of_a_newer_version_is_refused(tmp_path) -> None:
    from safetensors.torch import save_file

    for text in ('{"family": "toy"}', "[]", "{"):
        save_file(STATE, tmp_path / "w", metadata={"segcli_model": text})
        with pytest.raises(UsageError, match="newer version"):
            checkpoint.read_info(tmp_path / "w")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 3}]
)
def test_published_torch_file(wrap, legacy, tmp_path) -> None:
    torch.save(wrap(STATE), tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    state = checkpoint.read_published(tmp_path / "w.pth")
    assert torch.equal(state["a.weight"], STATE["a.weight"])
    assert list(state) == list(STATE)


def test_published_data_parallel_prefix_is_taken_off(tmp_path) -> None:
    torch.save({f"module.{name}": tensor for name, tensor in STATE.items()}, tmp_path / "w")
    assert list(checkpoint.read_published(tmp_path / "w")) == list(STATE)


@pytest.mark.parametrize("protocol", [2, 4])
def test_published_detectron2_pickle(protocol, tmp_path) -> None:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.float32(2.5), "by": "them"}
    (tmp_path / "w.pkl").write_bytes(
        pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}, protocol)
    )
    state = checkpoint.read_published(tmp_path / "w.pkl")
    assert list(state) == ["w", "n"]
    assert torch.equal(state["w"], torch.arange(6.0).reshape(2, 3))
    assert state["n"] == 2.5


class Calls:
    """Pickles as a call of a function, with a state that follows."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


FORGED = {
    "addresses": Calls(np.ndarray, ((1,), "O", b"AAAAAAAA")),
    "objects": Calls(np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)),
    "fields": Calls(np.dtype, ([("a", "O")],)),
}


@pytest.mark.parametrize("kind", FORGED)
def test_pickle_cannot_make_arrays_of_objects(kind, tmp_path) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"w": FORGED[kind]}, 2))
    # Unpickling alone: with objects at addresses of the file, reading them would end the process.
    with (
        (tmp_path / "w.pkl").open("rb") as file,
        pytest.raises((pickle.UnpicklingError, TypeError)),
    ):
        checkpoint._ArrayUnpickler(file).load()
    with pytest.raises(UsageError, match="nothing in it was executed"):
        checkpoint.read_published(tmp_path / "w.pkl")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i8", "u1", "b1"])
def test_pickled_arrays_of_numbers_are_read(dtype, tmp_path) -> None:
    values = np.array([[1, 0, 3]]).astype(dtype)
    for protocol in (0, 2, 4):
        file = tmp_path / f"{protocol}.pkl"
        file.write_bytes(pickle.dumps({"a": values, "b": values[0, 2]}, protocol))
        state = checkpoint.read_published(file)
        assert np.array_equal(state["a"].numpy(), values)
        assert state["a"].numpy().dtype == dtype
        assert state["b"] == values[0, 2]


def test_mapping_that_contains_itself_ends(tmp_path) -> None:
    own = {}
    own["model"] = own
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(own))
    with pytest.raises(UsageError, match="no named tensors"):
        checkpoint.read_published(tmp_path / "w.pkl")


def test_published_safetensors(tmp_path) -> None:
    checkpoint.save(tmp_path / "w", STATE, INFO)
    assert torch.equal(checkpoint.read_published(tmp_path / "w")["a.weight"], STATE["a.weight"])


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_big_endian_arrays_are_refused_and_not_misread(protocol, tmp_path) -> None:
    file = tmp_path / "w.pkl"
    file.write_bytes(pickle.dumps({"w": np.array([1.0, 2.0], ">f4")}, protocol))
    with pytest.raises(UsageError, match="big-endian"):
        checkpoint.read_published(file)


@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy"])
def test_malicious_pickle_is_refused_and_nothing_runs(kind, tmp_path) -> None:
    trap, file = tmp_path / "executed", tmp_path / "w.pth"
    payload = {"model": {"w": Evil(trap)}}
    if kind == "pickle":
        file.write_bytes(pickle.dumps(payload))
    else:
        torch.save(payload, file, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(UsageError, match="nothing in it was executed"):
        checkpoint.read_published(file)
    assert not trap.exists()
    pickle.loads(pickle.dumps(payload))  # the trap itself works
    assert trap.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80", b"PK\x03\x04", b"<html>not found</html>", b"cos\nsystem\n(S'true'\ntR."],
)
def test_published_garbage_is_refused(content, tmp_path) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(UsageError, match="cannot read weights from"):
        checkpoint.read_published(tmp_path / "w")


def test_published_file_without_tensors(tmp_path) -> None:
    (tmp_path / "w").write_bytes(pickle.dumps({"epoch": 3, "names": ["a"]}))
    with pytest.raises(UsageError, match="has no named tensors"):
        checkpoint.read_published(tmp_path / "w")


def test_digest(tmp_path) -> None:
    (tmp_path / "w").write_bytes(b"abc")
    assert checkpoint.digest(tmp_path / "w").startswith("ba7816bf8f01cfea")


def test_mismatch_names_the_first_differences() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {"0.weight": torch.zeros(3, 4), "0.bias": torch.zeros(3), "head.weight": torch.zeros(1)}
    with pytest.raises(UsageError) as caught:
        checkpoint.check_match(state, model.state_dict(), source="w.pth", model="toy/tiny")
    assert str(caught.value) == (
        "w.pth does not fit toy/tiny: 2 missing, first 1.weight; 1 not its own, first head.weight; "
        "1 reshaped, first 0.weight (3, 4) instead of (3, 2)"
    )
    checkpoint.check_match(model.state_dict(), model.state_dict(), source="w", model="toy")


def test_info_is_read_without_torch(tmp_path) -> None:
    import subprocess
    import sys

    checkpoint.save(tmp_path / "w", STATE, INFO)
    code = (
        "import sys; from pathlib import Path; from segcli.models import checkpoint;"
        "print(checkpoint.read_info(Path(sys.argv[1])).category_ids, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "w"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(1, 7) False\n"


def test_header_is_plain_json(tmp_path) -> None:
    checkpoint.save(tmp_path / "w", STATE, INFO)
    described = json.loads(checkpoint.read_metadata(tmp_path / "w")["segcli_model"])
    assert described["resize"]["mode"] == "stretch"
    assert described["categories"] == ["red", "green"]


def test_weights_are_as_readable_as_any_other_file(tmp_path) -> None:
    checkpoint.save(tmp_path / "w.safetensors", STATE, INFO)
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1
