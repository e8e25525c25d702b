"""The heads of the first SOLO paper against recordings of their authors' code, on recorded maps."""

import pytest
import torch
from kit.parity import gradients_close, unpacked
from kit.parity import within as close
from solo_recording import Recording, assert_losses, targets

from segcli_solo.convert import renamed

FIRST = ("solo", "dsolo", "dsolo_light")


@pytest.fixture(scope="module")
def recording(reference):
    return Recording(reference / "solov2")


@pytest.mark.parametrize("name", FIRST)
@torch.no_grad()
def test_raw_outputs_of_first_heads(recording, name):
    dense = recording.first(name).head(recording.maps())
    masks = dense.masks
    groups = [masks.logits] if name == "solo" else [masks.x, masks.y]
    for level in range(5):
        for number, maps in enumerate([*groups, dense.categories]):
            key = f"{name}/raw_out{number}_level{level}"
            if key in recording.heads:
                close(maps[level][:1], recording.heads[key])


@pytest.mark.parametrize("name", FIRST)
@torch.no_grad()
def test_first_heads_find(recording, name):
    model, given = recording.first(name), recording.heads
    dense = model.head(recording.maps())
    labels, scores, masks = recording.final(model, dense)
    expected = unpacked(given, f"{name}/final_masks")
    assert (masks != expected).float().mean() < 1e-3
    close(scores, given[f"{name}/final_scores"])
    assert (labels == given[f"{name}/final_labels"]).float().mean() > 0.97


@pytest.mark.parametrize("name", FIRST)
def test_first_heads_learn(recording, name):
    model, given = recording.first(name), recording.heads
    losses = model.losses_of(model.head(recording.maps()), targets(given))
    assert_losses(losses, given, f"{name}/loss_")
    sum(losses.values()).backward()
    prefix = f"{name}/grad/"
    recorded = {
        f"bbox_head.{k.removeprefix(prefix)}": v for k, v in given.items() if k.startswith(prefix)
    }
    gradients_close(model, renamed(recorded))
