"""From a model's file to one of some of its tasks, or to its parts: checked against the whole before it is written."""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec
import numpy as np
import onnx

from mtl_edge.artifact import METADATA_KEY, Lineage, Manifest, ModelInput, child_of, seal
from mtl_edge.bench.inputs import random_inputs
from mtl_edge.errors import ModelError, ParityError
from mtl_edge.optimize.chain import CHAIN_FILE, Chain
from mtl_edge.optimize.difference import largest_gap
from mtl_edge.optimize.split import Parts, split_graph
from mtl_edge.optimize.subset import cut_outputs
from mtl_edge.preprocessing import Features
