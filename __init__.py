"""Temper heat-treats a detector for the factory floor: distil, export, benchmark, run."""

__version__ = "0.1.0"
