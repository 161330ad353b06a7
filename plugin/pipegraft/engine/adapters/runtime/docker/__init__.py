"""Workloads as containers of a Docker engine."""

from pipegraft.engine.adapters.runtime.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
