"""What is done to raw samples before they enter the network; part of the artifact, so every client does the same.

One file for each kind of input. A kind offers ``dtype``, what the network reads, ``apply(raw)``, which brings the
arrays of a data set to that, and ``raw_dtype``, that of those arrays. The kinds of ``raw`` are those of graphs that
preprocess by themselves; ``features`` are no samples, but what another part of the model gives.
"""

from mtl_edge.preprocessing.features import Features
from mtl_edge.preprocessing.misfit import misfit
from mtl_edge.preprocessing.pixels import Pixels, fit_pixels
from mtl_edge.preprocessing.raw import ChannelOrder, RawCategories, RawNumbers, RawPixels
from mtl_edge.preprocessing.table import CategoricalColumn, NumericColumn, Table, fit_table
from mtl_edge.preprocessing.tokens import Tokens, fit_tokens

Preprocessing = Pixels | Table | Tokens | RawPixels | RawNumbers | RawCategories | Features

__all__ = [
    "CategoricalColumn",
    "ChannelOrder",
    "Features",
    "NumericColumn",
    "Pixels",
    "Preprocessing",
    "RawCategories",
    "RawNumbers",
    "RawPixels",
    "Table",
    "Tokens",
    "fit_pixels",
    "fit_table",
    "fit_tokens",
    "misfit",
]
