"""Video files: their frames listed without decoding, and decoded in order; the door to PyAV.

A frame's index counts the frames of the stream in the order in which they are shown, from 0.
Import from the modules: `every` needs no PyAV.
"""
