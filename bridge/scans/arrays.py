"""One name for NumPy arrays: OpenCV's own annotations cannot tell one element type from another."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
