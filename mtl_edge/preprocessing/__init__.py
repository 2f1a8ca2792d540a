"""What is done to raw samples before they enter the network; part of the artifact, so every client does the same.

One file for each kind of input. A kind offers ``dtype``, what the network reads, and ``apply(raw)``, which brings the
arrays of a data set to that.
"""

from mtl_edge.preprocessing.pixels import Pixels, fit_pixels
from mtl_edge.preprocessing.table import CategoricalColumn, NumericColumn, Table, fit_table
from mtl_edge.preprocessing.tokens import Tokens, fit_tokens

Preprocessing = Pixels | Table | Tokens

__all__ = [
    "CategoricalColumn",
    "NumericColumn",
    "Pixels",
    "Preprocessing",
    "Table",
    "Tokens",
    "fit_pixels",
    "fit_table",
    "fit_tokens",
]
