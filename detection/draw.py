"""Drawing boxes into a picture so that people can read them, also on one of 200 x 200 pixels."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

#: RGB; told apart with any of the common forms of colour blindness (Okabe and Ito, 2008), then Tol's "muted".
_PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
    (136, 204, 238),
    (17, 119, 51),
    (221, 204, 119),
    (204, 102, 119),
    (170, 68, 153),
)
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SIZE = 0.4
_PADDING = 2
#: Length of a dash, and of the gap after it, in pixels of the drawn picture.
_DASH = 6
_JPEG_QUALITY = 78
#: A box is a line of one or two pixels: with colours at half resolution it would be grey.
_FULL_COLOUR = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)

Place = tuple[int, int, int, int]


def class_colour(label: int) -> Colour:
    """The colour (red, green, blue, each 0 to 255) of a class; equal for labels a multiple of 12 apart."""
    return _PALETTE[label % len(_PALETTE)]


def draw_boxes(
    image: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    labels: NDArray[np.int32],
    names: Sequence[str],
    scores: NDArray[np.float32] | None = None,
    *,
    truth_boxes: NDArray[np.float32] | None = None,
    truth_labels: NDArray[np.int32] | None = None,
    scale: int = 1,
) -> NDArray[np.uint8]:
    """Draw detections in the colour of their class, and true boxes dashed in white.

    Args:
        image: uint8 [H, W] grey or [H, W, 3] RGB; it is left as it is.
        boxes: float32 [N, 4], x1, y1, x2, y2 in pixels of ``image``, continuous edges from 0.
        labels: int32 [N], index into ``names``.
        names: of the classes.
        scores: float32 [N] from 0 to 1, written beside the names.
        truth_boxes: float32 [M, 4], the true boxes.
        truth_labels: int32 [M]; without it the true boxes bear no name.
        scale: how many times the picture is enlarged before boxes and names are drawn.

    Returns:
        uint8 [H * scale, W * scale, 3], RGB.

    Raises:
        ValueError: if lengths do not agree or ``scale`` is below 1.
    """
    if scale < 1:
        raise ValueError(f"scale is {scale}; a picture is drawn at 1 or more times its size")
    canvas = _enlarge(image, scale)
    tags = _Tags(canvas)
    if truth_boxes is not None:
        truth_names: Sequence[int | None] = [None] * len(truth_boxes) if truth_labels is None else truth_labels.tolist()
        for box, label in zip(_to_pixels(truth_boxes, scale, canvas), truth_names, strict=True):
            _draw_dashed(canvas, box)
            if label is not None:
                tags.add(box, names[label], _WHITE, below=True)
    written = [""] * len(boxes) if scores is None else [f" {score:.2f}" for score in scores.tolist()]
    # the best detection comes first: drawn last, it lies on top
    rows = list(zip(_to_pixels(boxes, scale, canvas), labels.tolist(), written, strict=True))
    for box, label, _ in reversed(rows):
        cv2.rectangle(canvas, box[:2], box[2:], _BLACK, 3)
        cv2.rectangle(canvas, box[:2], box[2:], class_colour(label), 2 if min(canvas.shape[:2]) >= 256 else 1)
    for box, label, score in rows:
        tags.add(box, names[label] + score, class_colour(label))
    tags.draw()
    return canvas


def jpeg_uri(drawn: NDArray[np.uint8]) -> str:
    """A drawn picture uint8 [H, W, 3], RGB, as a JPEG in a data URI."""
    written, content = cv2.imencode(
        ".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, *_FULL_COLOUR]
    )
    if not written:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode("ascii")


@dataclass
class _Tags:
    """The names beside the boxes, each where it covers no other if there is such a place."""

    canvas: NDArray[np.uint8]
    placed: list[tuple[Place, str, Colour]] = field(default_factory=list)

    def add(self, box: Place, text: str, colour: Colour, *, below: bool = False) -> None:
        """Find a place for ``text``: above ``box`` or in its upper corners, or ``below`` it or in its lower corners."""
        (width, height), baseline = cv2.getTextSize(text, _FONT, _FONT_SIZE, 1)
        size = width + 2 * _PADDING, height + baseline + 2 * _PADDING
        places = list(self._places(box, size, below))
        covered = [sum(_shared_area(place, other) for other, _, _ in self.placed) for place in places]
        self.placed.append((places[int(np.argmin(covered))], text, colour))

    def draw(self) -> None:
        """Write all names; the ones placed first lie on top."""
        for (x1, y1, x2, y2), text, colour in reversed(self.placed):
            cv2.rectangle(self.canvas, (x1, y1), (x2 - 1, y2 - 1), colour, cv2.FILLED)
            baseline = cv2.getTextSize(text, _FONT, _FONT_SIZE, 1)[1]
            corner = x1 + _PADDING, y2 - _PADDING - baseline
            ink = _BLACK if _brightness(colour) > 110 else _WHITE
            cv2.putText(self.canvas, text, corner, _FONT, _FONT_SIZE, ink, 1, cv2.LINE_AA)

    def _places(self, box: Place, size: tuple[int, int], below: bool) -> Iterator[Place]:
        """Places for a tag, the best first, all inside the canvas where it is large enough."""
        x1, y1, x2, y2 = box
        width, height = size
        over, under = [(x1, y1 - height), (x1, y1), (x2 - width, y1)], [(x1, y2), (x1, y2 - height), (x2 - width, y2)]
        for left, top in under + over if below else over + under:
            left = max(0, min(left, self.canvas.shape[1] - width))
            top = max(0, min(top, self.canvas.shape[0] - height))
            yield left, top, left + width, top + height


def _enlarge(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    rgb = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image.copy()
    if scale > 1:
        height, width = rgb.shape[:2]
        rgb = cv2.resize(rgb, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(rgb, np.uint8)


def _to_pixels(boxes: NDArray[np.float32], scale: int, canvas: NDArray[np.uint8]) -> list[Place]:
    """Edges as the outermost pixels they cover, cut to the canvas so that no side of a box gets lost."""
    height, width = canvas.shape[:2]
    scaled = np.nan_to_num(np.asarray(boxes, np.float64).reshape(-1, 4) * scale)
    scaled[:, 2:] -= 1
    whole = np.clip(np.rint(scaled), 0, [width - 1, height - 1, width - 1, height - 1]).astype(int)
    return [(x1, y1, max(x1, x2), max(y1, y2)) for x1, y1, x2, y2 in whole.tolist()]


def _draw_dashed(canvas: NDArray[np.uint8], box: Place) -> None:
    """A white dashed frame with black in the gaps, to be seen on bright and dark steel."""
    x1, y1, x2, y2 = box
    cv2.rectangle(canvas, (x1, y1), (x2, y2), _BLACK, 1)
    for start in range(x1, x2 + 1, 2 * _DASH):
        end = min(start + _DASH, x2)
        cv2.line(canvas, (start, y1), (end, y1), _WHITE, 1)
        cv2.line(canvas, (start, y2), (end, y2), _WHITE, 1)
    for start in range(y1, y2 + 1, 2 * _DASH):
        end = min(start + _DASH, y2)
        cv2.line(canvas, (x1, start), (x1, end), _WHITE, 1)
        cv2.line(canvas, (x2, start), (x2, end), _WHITE, 1)


def _shared_area(first: Place, second: Place) -> int:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0, width) * max(0, height)


def _brightness(colour: Colour) -> float:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue
