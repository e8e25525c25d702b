"""Video files: list frames without decoding, and decode them in order, with PyAV.

The index of a frame counts the frames of the stream in display order, from 0.
Import from the modules: `every` needs no PyAV.
"""
