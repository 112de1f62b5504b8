"""NumPy arrays under one name: OpenCV's own annotations cannot tell one element type from another."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def worst(difference: Array) -> Array:
    """The largest absolute value over the channels of an H x W x 3 array; NumPy's own way is far slower."""
    a, b, c = cv2.split(np.abs(difference).reshape(-1, 1, 3))
    return np.asarray(cv2.max(cv2.max(a, b), c)).reshape(difference.shape[:-1])


def median(values: Array) -> float:
    """Of what is no nan, nan if nothing is; NumPy's own way is far slower."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def medians(values: Array, clear: Array) -> Array:
    """A value a column and channel of an H x W x C array, of the rows that are clear in that column."""
    if clear.all():
        return np.asarray(np.median(values, axis=0))
    return np.asarray(np.nanmedian(np.where(clear[..., None], values, np.nan), axis=0))
