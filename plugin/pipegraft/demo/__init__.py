"""The whole delivery on one machine: real repositories, real processes, real requests, no network."""

from pipegraft.demo.story import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
