"""Benchmarks on other machines, over SSH."""
