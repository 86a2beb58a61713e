"""Reading pictures, and the one rule that brings them to the network's size.

The same functions serve training, parity, benchmark and the line, so that none of them can differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError
from ..core.files import read_bytes
from .bit_depth import to_eight_bits
from .dataset import DataSet, Sample
from .picture_count import count_pictures

Channels = Literal["grey", "rgb"]
ResizeMode = Literal["stretch", "letterbox"]

#: Pictures of more pixels are refused before they are decoded, as a small file may swell to fill the memory.
MAX_PIXELS = 400_000_000
#: Longer picture files are not read.
MAX_PICTURE_BYTES = 256 << 20
#: What letterboxing fills the rest of the picture with.
PADDING_VALUE = 114


class TooLargeError(TemperError):
    """A picture has more than ``MAX_PIXELS`` pixels, or says so."""


def read_image(path: Path, channels: Channels) -> NDArray[np.uint8]:
    """Read one picture file.

    Args:
        path: a file in any format OpenCV reads.
        channels: ``"grey"`` gives [H, W], ``"rgb"`` gives [H, W, 3].

    Returns:
        The picture as uint8, ignoring any orientation tag (boxes are drawn on stored pixels).

    Raises:
        TemperError: if the file is missing, too long or not a picture.
        BitDepthError: if it has 16 bits per value and does not use them.
    """
    try:
        content = read_bytes(path, MAX_PICTURE_BYTES)
    except OSError as error:
        raise TemperError(f"The picture {path} cannot be read: {error.strerror}.") from error
    return decode_image(content, channels, str(path))


def read_sample(data: DataSet, sample: Sample, channels: Channels) -> NDArray[np.uint8]:
    """The picture of a data set's sample; see :func:`read_image`.

    Raises:
        TemperError: if it cannot be read, or its size is not the one its boxes were drawn on.
    """
    path = data.image_path(sample)
    image = read_image(path, channels)
    if image.shape[:2] != (sample.height, sample.width):
        raise TemperError(
            f"{path} has {image.shape[1]} x {image.shape[0]} pixels and its annotation says {sample.width} x "
            f"{sample.height}. 'temper data check' lists all such pictures."
        )
    return image


def decode_image(content: bytes, channels: Channels, source: str) -> NDArray[np.uint8]:
    """Decode an encoded picture (JPEG, PNG, BMP, TIFF); see :func:`read_image`. ``source`` names it in errors."""
    flags = cv2.IMREAD_GRAYSCALE if channels == "grey" else cv2.IMREAD_COLOR
    try:
        buffer = np.frombuffer(content, np.uint8)
        # more than 8 bits are cut by our rule and not by OpenCV, which says nothing
        flags |= cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
        image = cv2.imdecode(buffer, flags) if content else None
    except cv2.error as error:
        # OpenCV refuses by the header already what it would not hold; temper/__init__.py sets its limit to ours
        if "CV_IO_MAX_IMAGE" in str(error):
            raise TooLargeError(
                f"{source} says it has more than {MAX_PIXELS:,} pixels; no larger one is read."
            ) from error
        image = None
    if image is None:
        raise TemperError(
            f"{source} is not a picture that can be read ({len(content)} bytes). Replace it or take it away."
        )
    if (pictures := count_pictures(content)) > 1:
        raise TemperError(f"{source} holds {pictures} pictures, and one of a file is read. Make a file of each.")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise TooLargeError(
            f"{source} has {image.shape[1]} x {image.shape[0]} pixels; at most {MAX_PIXELS:,} are read."
        )
    stored = image
    if image.dtype != np.uint8 and channels == "grey":  # a colour of its own may use the range that their mean does not
        stored = np.asarray(cv2.imdecode(buffer, flags | cv2.IMREAD_COLOR))
    plain = to_eight_bits(image, stored, content, source)
    return np.asarray(plain if channels == "grey" else cv2.cvtColor(plain, cv2.COLOR_BGR2RGB), np.uint8)


@dataclass(frozen=True)
class ResizeRule:
    """How a picture of any size becomes the network's input, and how boxes come back.

    Attributes:
        width: of the network's input in pixels.
        height: of the network's input in pixels.
        mode: ``"stretch"`` scales both axes on their own; ``"letterbox"`` keeps the aspect ratio and fills
            the right and lower rest with grey 114.
    """

    width: int
    height: int
    mode: ResizeMode = "stretch"

    def scales(self, image_size: tuple[int, int]) -> tuple[float, float]:
        """The factors in x and y from the picture (width, height) to the network's input."""
        inner = self.inner_size(image_size)
        return inner[0] / image_size[0], inner[1] / image_size[1]

    def inner_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Width and height that a picture has within the network's input, in whole pixels."""
        if self.mode == "stretch":
            return self.width, self.height
        factor = min(self.width / image_size[0], self.height / image_size[1])
        width, height = (max(1, round(side * factor)) for side in image_size)
        return min(self.width, width), min(self.height, height)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize a uint8 picture [H, W] or [H, W, 3]; shrinking averages, enlarging is bilinear."""
        height, width = image.shape[:2]
        if (width, height) == (self.width, self.height):
            return image
        inner = self.inner_size((width, height))
        shrinks = inner[0] < width and inner[1] < height
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = np.asarray(cv2.resize(image, inner, interpolation=interpolation), np.uint8)
        if inner == (self.width, self.height):
            return resized
        full = np.full((self.height, self.width, *image.shape[2:]), PADDING_VALUE, np.uint8)
        full[: inner[1], : inner[0]] = resized
        return full

    def apply_into(self, image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Resize as :meth:`apply` does, into memory that is there already: ``out``, of the network's size."""
        same_size = image.shape[:2] == (self.height, self.width)
        if same_size or self.mode != "stretch" or not out.flags.c_contiguous:
            out[...] = self.apply(image)
            return
        shrinks = self.width < image.shape[1] and self.height < image.shape[0]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        cv2.resize(image, (self.width, self.height), dst=out, interpolation=interpolation)

    def boxes_to_input(self, boxes: NDArray[np.float32], image_size: tuple[int, int]) -> NDArray[np.float32]:
        """Boxes [N, 4] in pixels of the picture (width, height) -> pixels of the network's input."""
        factor_x, factor_y = self.scales(image_size)
        return (boxes * np.array([factor_x, factor_y, factor_x, factor_y], np.float32)).astype(np.float32)

    def boxes_to_image(self, boxes: NDArray[np.float32], image_size: tuple[int, int]) -> NDArray[np.float32]:
        """Boxes [N, 4] in pixels of the network's input -> pixels of the picture, clipped to it."""
        factor_x, factor_y = self.scales(image_size)
        back = boxes / np.array([factor_x, factor_y, factor_x, factor_y], np.float32)
        limits = np.array([*image_size, *image_size], np.float32)
        return np.clip(back, 0, limits).astype(np.float32)
