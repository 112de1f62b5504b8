"""What a person would find elsewhere: the usual OpenCV scripts, and ImageMagick's connected components.

Written from the published recipes, with their usual constants. multicrop is in no registry.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.scans.compose import Quad

Baseline = Callable[[Path], list[Quad]]


def opencv_threshold(path: Path) -> list[Quad]:
    """Blur, Otsu's threshold against a white lid, outer contours, minimum-area rectangles."""
    picture = cv2.imread(str(path))
    assert picture is not None
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (7, 7), 0)
    _, mask = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    return _rectangles(mask)


def opencv_fixed(path: Path) -> list[Quad]:
    """The same with a fixed threshold just under white."""
    picture = cv2.imread(str(path))
    assert picture is not None
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (7, 7), 0)
    _, mask = cv2.threshold(grey, 225, 255, cv2.THRESH_BINARY_INV)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    return _rectangles(mask)


def opencv_canny(path: Path) -> list[Quad]:
    """Canny's edges, dilated until they close, outer contours, minimum-area rectangles."""
    picture = cv2.imread(str(path))
    assert picture is not None
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = cv2.Canny(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), 20, 60)
    mask = cv2.morphologyEx(
        cv2.dilate(found, np.ones((5, 5), np.uint8)), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)
    )
    return [quad * 2 for quad in _rectangles(mask)]


def imagemagick(path: Path) -> list[Quad]:
    """The heart of multicrop2: flood the lid from the corner, then connected components; upright boxes."""
    command = [
        "convert-im6.q16",
        path,
        "-scale",
        "25%",
        "-blur",
        "0x1",
        "-bordercolor",
        "white",
        "-border",
        "1x1",
    ]
    command += [
        "-fuzz",
        "10%",
        "-fill",
        "black",
        "-draw",
        "color 0,0 floodfill",
        "-fill",
        "white",
        "+opaque",
        "black",
    ]
    command += ["-shave", "1x1", "-colorspace", "Gray", "-type", "Bilevel"]
    command += [
        "-define",
        "connected-components:verbose=true",
        "-define",
        "connected-components:area-threshold=3000",
    ]
    command += ["-connected-components", "8", "null:"]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, check=True
    )
    quads = []
    for line in done.stdout.splitlines()[1:]:
        _, box, _, _, colour = line.split()[:5]
        if "255" not in colour and "gray(100" not in colour and "white" not in colour:
            continue
        size, x, y = box.split("+")
        w, h = (int(v) for v in size.split("x"))
        x0, y0 = int(x) * 4.0, int(y) * 4.0
        quads.append(np.array([[x0, y0], [x0 + w * 4, y0], [x0 + w * 4, y0 + h * 4], [x0, y0 + h * 4]]))
    return quads


BASELINES: dict[str, Baseline] = {
    "OpenCV, Otsu": opencv_threshold,
    "OpenCV, fixed": opencv_fixed,
    "OpenCV, Canny": opencv_canny,
    "ImageMagick": imagemagick,
}


def _rectangles(mask: np.ndarray) -> list[Quad]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    least = 0.01 * mask.size
    boxes = [cv2.boxPoints(cv2.minAreaRect(c)) for c in contours if cv2.contourArea(c) > least]
    return [np.asarray(box, float) for box in boxes]
