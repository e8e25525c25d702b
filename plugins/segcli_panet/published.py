"""The checkpoint that the authors publish, trained on COCO."""

from segcli.plugin import Published

PUBLISHED = {
    "r50-fpn": Published(
        url="https://drive.google.com/open?id=1-pVZQ3GR6Aj7KJzH9nWoRQ-Lts8IcdMS",
        licence="MIT",
        source="github.com/ShuLiu1993/PANet, README.md",
        ap=38.3,
        by_hand="Google Drive gives it to browsers only",
    )
}
