"""Makes the weights of the toy families: one number each. Run it from the root of the project."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import segcli_toy  # noqa: E402  after the path that it is found on
import segcli_troubled  # noqa: E402

from segcli.models.checkpoint import save  # noqa: E402

for family in (segcli_toy.FAMILY, segcli_troubled.FAMILY):
    folder = HERE / f"segcli_{family.name}" / "weights"
    folder.mkdir(exist_ok=True)
    for variant, info in family.variants.items():
        save(folder / f"{variant}.safetensors", family.build(info).state_dict(), info)
