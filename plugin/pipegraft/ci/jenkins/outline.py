"""Which of the two syntaxes a Jenkinsfile has, and its outline."""

from __future__ import annotations

from pipegraft.ci.jenkins import declarative, scripted
from pipegraft.ci.jenkins.stages import Outline
from pipegraft.text.groovy import Script

__all__ = ["outline"]


def outline(script: Script) -> Outline:
    """The stages of a pipeline.

    Raises:
        EditRefused: the file holds no pipeline, or none that stages can be added to.
    """
    pipeline = declarative.pipeline_block(script)
    return scripted.outline(script) if pipeline is None else declarative.outline(script, pipeline)
