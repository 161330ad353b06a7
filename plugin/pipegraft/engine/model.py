"""The file that lists the applications of one engine."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from pipegraft.core.model import Model, Name

__all__ = ["EngineApplication", "EngineFile"]


class EngineApplication(Model):
    """Environments of one app in one repository."""

    repository: str = Field(min_length=1)
    """URL or path of the IaC repository; a relative path counts from the file's folder."""
    branch: str = Field(default="main", min_length=1)
    """Its branch."""
    path: str = ""
    """The app's folder in a repository shared by several; its root if absent."""
    environments: tuple[Name, ...] = Field(min_length=1)
    """Names of the environments to apply."""


def _some(applications: tuple[EngineApplication, ...]) -> tuple[EngineApplication, ...]:
    if not applications:
        raise ValueError("expected one application or more, found none")
    return applications


class EngineFile(Model):
    """The whole file."""

    applications: Annotated[tuple[EngineApplication, ...], AfterValidator(_some)]
