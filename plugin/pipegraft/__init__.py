"""Pipegraft grafts delivery stages onto the CI pipelines a team already has."""

__version__ = "0.2.0"
