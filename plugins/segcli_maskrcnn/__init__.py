"""The Mask R-CNN family."""
