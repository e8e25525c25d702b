"""Named switches for the differences between implementations with the same layers."""

from __future__ import annotations

from dataclasses import dataclass

from segcli_blocks.normalize import IMAGENET, SYMMETRIC

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the deltas dx, dy, dw, dh in the second stage


@dataclass(frozen=True, slots=True)
class Conventions:
    """The defaults are torchvision's; sizes are in canvas px.

    `inclusive`: a box includes its last pixel, so that its sides are x2 - x1 + 1, as in Detectron
    and maskrcnn-benchmark. It counts in box coding, overlaps, clipping, anchors and RoI levels.
    """

    mean: tuple[float, float, float] = IMAGENET[0]  # RGB, 0..255
    std: tuple[float, float, float] = IMAGENET[1]
    inclusive: bool = False
    # As mmdetection 1, which is inclusive too: anchors around the centre of the first cell with
    # corners in whole px; RoIAlign of a region from its first to the end of its last px; deltas
    # limited in both directions; masks pasted without a rim.
    mmdet1: bool = False
    finest: int = 4  # stride of the finest map
    # Anchors.
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)  # one per level; all on a single one
    round_anchors: bool = True  # to whole px; a level's stride is the canvas divided by its map
    # RoIAlign.
    aligned: bool = False  # shifted by half a cell
    sampling_ratio: int = 2  # samples along a bin's side; 0: adaptive
    canonical: float = 224.0  # side of a region that the map of stride 16 serves
    # Proposals, at test and in training.
    rank_logits: bool = False  # suppress by logit, not by probability
    per_level: tuple[int, int] = (1000, 2000)  # kept of a level before suppression
    proposals: tuple[int, int] = (1000, 2000)  # and of an image after it
    smallest: float = 1e-3  # side of a proposal
    proposal_iou: float = 0.7  # above which a proposal suppresses another of its level
    # Detections.
    smallest_detection: float = 1e-2  # side
    # Learning.
    region_samples: int = 512  # regions of an image that the second stage learns from
    binary_masks: bool = False  # true masks are zeros and ones, not soft
    exact_masks: bool = False  # and cut out of the image without a shift of half a px
    beta: float = 1 / 9  # of the smooth L1 loss of proposals; 0 is plain L1
    box_beta: float = 1 / 9  # and of detections


TORCHVISION = Conventions()

# detectron2's models see BGR; the converters turn their first convolution, so these are RGB.
DETECTRON2 = Conventions(
    std=(1.0, 1.0, 1.0),
    round_anchors=False,
    aligned=True,
    sampling_ratio=0,
    rank_logits=True,
    exact_masks=True,
    per_level=(1000, 2000),
    proposals=(1000, 1000),
    smallest=1e-12,
    smallest_detection=1e-12,
    beta=0.0,
    box_beta=0.0,
)

# maskrcnn-benchmark's too.
BENCHMARK = Conventions(
    mean=(122.7717, 115.9465, 102.9801),
    std=(1.0, 1.0, 1.0),
    inclusive=True,
    smallest=0.0,
    smallest_detection=0.0,
    binary_masks=True,
    exact_masks=True,
    box_beta=1.0,
)

# mmdetection 1's, with RGB images.
MMDETECTION1 = Conventions(
    inclusive=True,
    mmdet1=True,
    per_level=(1000, 2000),
    proposals=(1000, 2000),
    smallest=0.0,
    smallest_detection=0.0,
    binary_masks=True,
    exact_masks=True,
    box_beta=1.0,
)

# Ours, for small images on processors.
LIGHT = Conventions(
    mean=SYMMETRIC[0],
    std=SYMMETRIC[1],
    anchor_sizes=(16, 32, 64, 128, 256),
    round_anchors=False,
    aligned=True,
    # A region never spans more than 14 cells of its map, so one sample in a bin misses nothing.
    canonical=112.0,
    sampling_ratio=1,
    per_level=(400, 600),
    proposals=(300, 400),
    region_samples=128,
    exact_masks=True,
)
