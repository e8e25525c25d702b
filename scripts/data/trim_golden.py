#!/usr/bin/env python3
"""Make the small copies of recordings and of published key lists in tests/golden.

python -m scripts.data.trim_golden RECORDINGS KEYS: the folders with all recordings and all key
lists. What is left out is large (weights of bodies, activations of whole networks); tests that need
it are skipped where only the copies are.
"""

import gzip
import re
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden"

# Family -> file -> pattern of the arrays that stay; None copies the file.
KEPT = {
    "embedmask": {
        "assign.npz": r".*",
        "units.npz": r".*",
        "head_io.npz": r"(cls_logits|bbox_reg_train|centerness|proposal_).*|pixel_embed|.*_hw",
        "infer_default.npz": r"(?!pixel_embed).*",
        "infer_topn.npz": r"(?!pixel_embed).*",
        "infer_fixmargin.npz": r"(?!pixel_embed).*",
        "loss.npz": r"(?!grad_p\d|grad_maskonly_p\d|gradparam).*",
    },
    "condinst": {
        "config.json": None,
        "infer.npz": r"(image|cls_logits|reg_relu|ctrness|mask_feats|mask_logits|det_|final_).*"
        r"|input_normalized_padded",
        "train.npz": r"(train_image|gt|pos_|loss).*",
    },
    "yolact": {
        "config.json": None,
        "infer.npz": r"(?!image|input|backbone|fpn).*",
        "train.npz": r"(?!train_input|grad|bntrain).*",
    },
    "discriminative": {
        "loss.npz": r"(?!paper_l2_grad_(var|dist|reg)).*",
        "cluster.npz": r".*",
    },
    "dwt": {"dwt.npz": r".*"},
    "cascade": {
        "infer.npz": r"image_bgr_u8|proposals_xyxy|stage\d_(rois_xyxy|box_deltas)",
        "train.npz": r"gt\d_.*|stage\d_img\d_.*|pos\d_.*",
    },
    "maskrcnn": {"keypoint.npz": r".*"},
    "maskscoring": {
        "fullwidth.npz": r".*",
        "pooler.npz": r"boxes_xyxy|level_index",
        "targets.npz": r"mask_targets|mask_ratio|selected_mask_prob|maskiou_targets|gt_.*"
        r"|image_size_hw|proposals_xyxy|matched_(gt|labels)",
    },
    "pointrend": {
        "state_dict.safetensors": r"(proposal_generator|roi_heads)\..*",
        "infer.npz": r"(det|step\d_point|fpn|post_masks|out_size).*|box_deltas|cls_logits"
        r"|coarse_logits|final_logits_sel|image_bgr_u8|proposals_xyxy",
        "train.npz": r"(gt|pos|sampled)\d_.*|box_deltas|cls_logits|coarse_(features|logits)|fpn_p2"
        r"|loss_(box_reg|cls|mask|mask_point)|point_(coords|logits)|rand_draw_.*"
        r"|grad_(point|mask_both)/(roi_heads\.mask_head\..*|@p2)",
    },
    "htc": {
        "config.json": None,
        "state_dict.safetensors": r"(rpn|bbox|mask|semantic)_head\..*",
        "infer.npz": r"fpn_p\d|semantic_(feat|logits)|stage\d_(?!semantic).*|.*_hw|scale_factor"
        r"|(proposals|det|mask_boxes|mask_feat|merged_prob|final_masks)_.*",
        "train.npz": r"gt\d_.*|rpn_proposals.*|stage\d_(img\d_.*|mask_targets)",
    },
    "panet": {
        "config.json": None,
        # Neither the body's weights, apart from the first, which says how wide it is, nor the
        # matrix of the fully connected path.
        "state_dict.safetensors": r"(?!Conv_Body\.conv_body|RPN|Mask_Head\.mask_fc\.0\.weight).*"
        r"|Conv_Body\.conv_body\.res1\.conv1\.weight",
        "infer.npz": r"c\d|n\d|(mask_)?rois|(box|mask)_(roi_n\d_.*|fused|fc|deltas|conv3|logits)"
        r"|mask_conv5_fc_first4|cls_.*",
        "train.npz": r".*",
    },
    "solov2": {
        "config.json": None,
        "infer.npz": r"(cate_logits|kernel_pred|nms_|final_).*|mask_feat",
        "train.npz": r"(gt|target).*",
        "solo_v1_heads.npz": r"(feat|gt|dsolo_light/(weights|loss|final|grad)).*",
    },
}
KEYS = (
    "embedmask_R50",
    "embedmask_R101",
    "condinst_MS_R_50_1x",
    "condinst_MS_R_101_3x_sem",
    "yolact_base",
    "yolact_resnet50",
    "yolact_darknet53",
    "yolact_plus_base",
    "yolact_plus_resnet50",
    "yolact_resnet50_pascal",
    "solov2_r50_fpn_8gpu_1x",
    "solov2_r101_fpn_8gpu_3x",
    "solov2_light_448_r18_fpn_8gpu_3x",
    "solov2_light_448_r50_fpn_8gpu_3x",
    "solo_r50_fpn_8gpu_1x",
    "decoupled_solo_r50_fpn_8gpu_1x",
    "decoupled_solo_light_r50_fpn_8gpu_3x",
    "d2_cascade_mask_rcnn_R_50_FPN_3x",
    "d2_pointrend_R50_FPN",
    "mmdet1_htc_r101_fpn_20e",
    "mmdet1_htc_r50_fpn_1x",
    "mmdet1_htc_without_semantic_r50_fpn_1x",
    "panet_R-50-FPN_2x_mask",
    "ms_R_50_FPN",
    "ms_R_101_FPN",
    "tv_keypointrcnn_resnet50_fpn",
)


def main(recordings: Path, keys: Path) -> None:
    for family, files in KEPT.items():
        folder = GOLDEN / family
        folder.mkdir(parents=True, exist_ok=True)
        for name, pattern in files.items():
            if pattern is None:
                shutil.copyfile(recordings / family / name, folder / name)
            elif name.endswith(".safetensors"):
                trim_weights(recordings / family / name, folder / name, pattern)
            else:
                trim(recordings / family / name, folder / name, pattern)
        size = sum(f.stat().st_size for f in folder.iterdir())
        print(f"{family}: {size / 1e6:.2f} MB")
    for name in KEYS:
        with gzip.GzipFile(GOLDEN / f"keys/{name}.tsv.gz", "wb", mtime=0) as file:
            file.write(key_list(keys, name).encode())


def key_list(folder: Path, name: str) -> str:
    """Lines of a name and a shape, "64x3x7x7"; some lists write the shape as Python does."""
    if (folder / f"{name}.tsv").is_file():
        return (folder / f"{name}.tsv").read_text()
    lines = ["key\tshape\tkind\n"]
    for line in (folder / f"{name}.txt").read_text().splitlines():
        key, shape = line.split("\t")
        lines.append(f"{key}\t{'x'.join(re.findall(r'[0-9]+', shape)) or 'scalar'}\n")
    return "".join(lines)


def trim_weights(source: Path, target: Path, pattern: str) -> None:
    """Copy the tensors whose whole name matches."""
    kept = {k: v for k, v in load_file(source).items() if re.fullmatch(pattern, k)}
    save_file(kept, target)


def trim(source: Path, target: Path, pattern: str) -> None:
    """Copy the arrays whose whole name matches."""
    with np.load(source) as file:
        kept = {name: file[name] for name in file.files if re.fullmatch(pattern, name)}
    np.savez_compressed(target, **kept)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
