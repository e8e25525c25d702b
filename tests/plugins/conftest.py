"""torchvision without torch's compiler, before any test module imports it."""

from segcli.startup import import_torchvision

import_torchvision()
