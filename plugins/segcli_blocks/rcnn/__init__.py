"""Two-stage detectors: regions first, then the class, box and mask of each (He et al. 2017)."""
