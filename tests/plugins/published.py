"""Names and shapes of the authors' released checkpoints, filled with random numbers."""

import gzip
from pathlib import Path

import torch

KEYS = Path(__file__).parent.parent / "golden/keys"


def lines_of(name):
    """The fields of each line, without the header and notes."""
    lines = gzip.decompress((KEYS / f"{name}.tsv.gz").read_bytes()).decode().splitlines()
    return [line.split("\t") for line in lines if not line.startswith(("key\t", "#"))]


def published_state(name):
    """A state dict with exactly the published names and shapes; BatchNorm counters are integers."""
    state = {}
    for key, shape, *_ in lines_of(name):
        sizes = () if shape == "scalar" else tuple(int(n) for n in shape.split("x"))
        state[key] = torch.zeros(sizes, dtype=torch.long) if not sizes else torch.rand(sizes)
    return state


def listed(name):
    """The names, shapes and types of a published checkpoint, without numbers."""
    found = {}
    for key, shape, kind in lines_of(name):
        sizes = [] if shape == "scalar" else [int(side) for side in shape.split("x")]
        found[key] = torch.empty(sizes, dtype=getattr(torch, kind), device="meta")
    return found


def assert_loads(family, variant, name):
    """Conversion gives the variant's model all that it needs, and nothing else."""
    info = family.variants[variant]
    state = published_state(name)
    converted = family.convert(state, info)
    with torch.device("meta"):
        model = family.build(info)
    model.load_state_dict(converted, assign=True)
    return state, converted
