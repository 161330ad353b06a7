"""The hook that CI systems come by."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipegraft.ci.model import Injection, InjectionRequest
from pipegraft.core.plugins import Kind, hookspec
from pipegraft.core.release import Source
from pipegraft.core.stage import Stage

__all__ = ["CI_SYSTEMS", "CiSystem", "UsageExample"]


@dataclass(frozen=True, slots=True)
class UsageExample:
    """How a CI system uses a stage, for the stage's page.

    Arguments:
        title: the CI system, as people write it.
        language: of the code, for highlighting.
        code: a whole example.
    """

    title: str
    language: str
    code: str


@dataclass(frozen=True, slots=True)
class CiSystem:
    """A CI system that stages can be grafted onto.

    Arguments:
        name: ``gitlab``, ``jenkins``, …
        files: names its configuration has at the root of a repository, most usual first.
        inject: pure; adds the plan's stages to a pipeline.
        eject: pure; takes them out again: file, text and a reader of other files → what to write.
        templates: pure; everything below ``ci_templates/<name>``, from the stage definitions.
        source: what the CI's variables say of the running pipeline; None outside of it.
        pinned: pure; the version of the templates that a configuration takes, ``copies`` for one that holds
            them itself, None for one without delivery: file, text and a reader of other files → version.
        example: how to use a stage without an injection.
        components: pure; a project of the CI system's own reusable parts, from the stage definitions.
        verify: asks the CI server about an injection that is not written yet: what was asked for, what came
            of it, the project's URL and the process's variables → what the server agreed with.
    """

    name: str
    files: tuple[str, ...]
    inject: Callable[[InjectionRequest], Injection]
    eject: Callable[[str, str, Callable[[str], str | None]], Injection]
    templates: Callable[[Sequence[Stage]], Mapping[str, str]]
    source: Callable[[Mapping[str, str]], Source | None]
    pinned: Callable[[str, str, Callable[[str], str | None]], str | None] = lambda _file, _text, _read: None
    example: Callable[[Stage], UsageExample] | None = None
    components: Callable[[Sequence[Stage]], Mapping[str, str]] | None = None
    verify: Callable[[InjectionRequest, Injection, str, Mapping[str, str]], str] | None = None


CI_SYSTEMS = Kind("pipegraft_ci_systems", CiSystem, "CI system")


@hookspec
def pipegraft_ci_systems() -> Iterable[CiSystem]:
    """CI systems that stages can be grafted onto. Called once, by inject, eject and templates.

    Example::

        @hookimpl
        def pipegraft_ci_systems():
            yield CiSystem(name="gitlab", files=(".gitlab-ci.yml",), inject=…, eject=…, templates=…, source=…)

    Returns:
        CI systems, each with a name no other plugin uses.
    """
