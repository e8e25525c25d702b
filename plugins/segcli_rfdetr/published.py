"""The checkpoints that Roboflow publishes, trained on COCO."""

from functools import partial

from segcli.plugin import Published

_BASE = "https://storage.googleapis.com/rfdetr/rf-detr-seg-"
_ROBOFLOW = partial(Published, licence="Apache-2.0", source="rfdetr.roboflow.com, benchmarks")

PUBLISHED = {
    "seg-nano": _ROBOFLOW(
        url=_BASE + "n-ft.pth",
        ap=40.3,
        size=134_545_398,
        sha256="a44613a4ecd6b5ba61a62002c600b0b6cb7a9da2936a45317ec4b62c635fb99b",
        md5="9995497791d0ff1664a1d9ddee9cfd20",
    ),
    "seg-small": _ROBOFLOW(
        url=_BASE + "s-ft.pth",
        ap=43.1,
        size=135_042_342,
        sha256="6de3da31b2572cac214a1c76cce4a92a13966d56390ac2b3a3de9a8dc2b2bca3",
        md5="0a2a3006381d0c42853907e700eadd08",
        recommended=True,
    ),
    "seg-medium": _ROBOFLOW(
        url=_BASE + "m-ft.pth",
        ap=45.3,
        size=143_024_058,
        sha256="3ad325094735f431aee9962a8d204d68eb5bfc393d53e7e836e70998fef5ea58",
        md5="a49af1562c3719227ad43d0ca53b4c7a",
    ),
    "seg-large": _ROBOFLOW(
        url=_BASE + "l-ft.pth",
        ap=47.1,
        size=145_055_866,
        sha256="ca7b7c630ba22496067cc4f034c4e70c8e47fd7adcea04c3a49aa8c1755cbe6b",
        md5="275f7b094909544ed2841c94a677d07e",
    ),
    "seg-xlarge": _ROBOFLOW(
        url=_BASE + "xl-ft.pth", ap=48.8, md5="3693b35d0eea86ebb3e0444f4a611fba"
    ),
    "seg-2xlarge": _ROBOFLOW(
        url=_BASE + "2xl-ft.pth",
        ap=49.9,
        sha256="f6e06ac5ebafd3f9f6f01c55a7f53b8785a1697037063a6adeb737c4c6ce4838",
        md5="040bc3412af840fa8a47e0ff69b552ba",
    ),
}
