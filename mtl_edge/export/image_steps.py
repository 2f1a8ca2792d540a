"""Images as a camera gives them -> planes of the network's size, with Pillow's own arithmetic.

Training images were resized by Pillow's bilinear filter: a triangle as wide as the reduction, in whole numbers. ONNX
Runtime and Pillow round differently at some pixels, by one of 256 levels; images of the network's own size pass
unchanged.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from mtl_edge.errors import ModelError
from mtl_edge.preprocessing import ChannelOrder

RESIZE_OPSET = 18
"""Since when ``Resize`` has a filter that is as wide as the reduction."""

_GRAY = {"r": 19595, "g": 38470, "b": 7471}
"""Shares of 65536: ITU-R 601."""


class ImageSteps:
    """Nodes that make uint8 ``(N, C, *size)`` of uint8 ``(N, H, W, channels)``, and the constants that they read.

    Args:
        source: name of the tensor with the images.
        stem: what new names begin with.
        depth: channels that the network reads.
        size: height and width that it reads.
        order: of the channels that the caller feeds; None: that of the training images.

    Raises:
        ModelError: the order is not of images such as the network reads.
    """

    def __init__(self, source: str, stem: str, depth: int, size: tuple[int, int], order: ChannelOrder | None) -> None:
        if order is not None and depth not in (1, 3):
            raise ModelError(f"preprocess: {order} is for a network of 1 or 3 channels, found {depth}")
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.output = source
        self.channels = depth if order is None else len(order)
        self._stem = stem
        if order is not None and depth == 1:
            self._add_luminance(order)
        sizes = self._constant("size", np.array(size, np.int64))
        self._add("Resize", "", "", sizes, axes=[1, 2], mode="linear", antialias=1, exclude_outside=1)
        if order is not None and depth == 3:
            self._add(
                "Gather", self._constant("rgb", np.array([order.index(name) for name in "rgb"], np.int64)), axis=3
            )
        self._add("Transpose", perm=[0, 3, 1, 2])

    def _add_luminance(self, order: ChannelOrder) -> None:
        """Colours -> gray, as Pillow's ``convert("L")`` does it."""
        self._add("Cast", to=TensorProto.INT32)
        self._add("MatMul", self._constant("weights", np.array([[_GRAY.get(name, 0)] for name in order], np.int32)))
        self._add("Add", self._constant("half", np.array(1 << 15, np.int32)))
        self._add("Div", self._constant("one", np.array(1 << 16, np.int32)))
        self._add("Cast", to=TensorProto.UINT8)

    def _add(self, kind: str, *others: str, **attributes: Any) -> None:
        """Append a node that reads what the last one made."""
        output = f"{self._stem}.image{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.output, *others], [output], **attributes))
        self.output = output

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants[f"{self._stem}.{name}"] = value
        return f"{self._stem}.{name}"
