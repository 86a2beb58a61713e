"""Temper heat-treats a detector for the factory floor: distil, export, benchmark, run."""

import os

__version__ = "0.1.0"

# ONNX Runtime reads it when it is loaded: what runs on a line tells nobody of it
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# OpenCV reads it once, when it is loaded: no picture, however small its file, may swell to fill the memory.
# The same number is MAX_PIXELS in detection/images.py.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "400000000")
