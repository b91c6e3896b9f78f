"""Drawings of ideas, made of a reader's own tensors: the cube of predictions cut open, a decoded box with the letters
of the papers, how far each anchor reaches, what a convolution reads.
"""

from walkthrough.drawings.convolution import show_convolution
from walkthrough.drawings.cube import show_prediction_cube
from walkthrough.drawings.decoding import show_decoding
from walkthrough.drawings.reach import show_anchor_reach

__all__ = ["show_anchor_reach", "show_convolution", "show_decoding", "show_prediction_cube"]
