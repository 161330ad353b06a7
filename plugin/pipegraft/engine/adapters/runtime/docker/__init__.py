"""Workloads as containers of a Docker engine."""

from pipegraft.adapters.runtime.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
