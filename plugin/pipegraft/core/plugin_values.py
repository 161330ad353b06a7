"""The values that plugins yield, beside `Stage`: each names one thing and says how to get it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a command imports only what it uses
    from pathlib import Path

    from pipegraft.appspec.ports.traffic import ClusterRouter, TrafficRouter
    from pipegraft.ci.model import Injection, InjectionRequest
    from pipegraft.core.base import Declared
    from pipegraft.core.release import Source
    from pipegraft.core.stage import Stage
    from pipegraft.gate.ports import EngineRequest, GitOpsEngine, VerdictRule
    from pipegraft.gray.ports.judge import Judge
    from pipegraft.gray.ports.metrics import MetricRequest, MetricSource
    from pipegraft.gray.ports.rollout import Rollout, RolloutRule
    from pipegraft.images.ports.builders import ImageBuilder

__all__ = [
    "CiSystem",
    "GitOpsEnginePlugin",
    "ImageBuilderPlugin",
    "JudgePlugin",
    "MetricSourcePlugin",
    "TrafficRouterPlugin",
    "UsageExample",
]


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


@dataclass(frozen=True, slots=True)
class ImageBuilderPlugin:
    """An image builder.

    Arguments:
        name: ``layer``, ``docker``, …
        connect: opens it; imports its SDK only then.
        priority: builders that accept a folder are tried from the highest down.
        supports: which of `BuildExtras` it can use: ``secrets``, ``cache``.
    """

    name: str
    connect: Callable[[], ImageBuilder]
    priority: int = 0
    supports: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GitOpsEnginePlugin:
    """A GitOps engine.

    Arguments:
        name: ``argocd``, ``flux``, ``kubevela``, ``embedded``, …
        options: the keys of `gate:` that belong to it.
        connect: validated options and what it is connected for → the engine.
        verdict: reads its status.
        settle: seconds success must hold where `delivery.yaml` does not say, because the engine's own status
            may lag behind what it has just applied.
    """

    name: str
    options: type[Declared]
    connect: Callable[[Any, EngineRequest], GitOpsEngine]
    verdict: VerdictRule
    settle: float = 0.0


@dataclass(frozen=True, slots=True)
class JudgePlugin:
    """A way to judge a gray release.

    Arguments:
        name: ``sequential``, ``threshold``, ``mann-whitney``, …
        summary: one line: how it decides.
        judge: the judge itself.
    """

    name: str
    summary: str
    judge: Judge


@dataclass(frozen=True, slots=True)
class MetricSourcePlugin:
    """Where the counts of both versions come from.

    Arguments:
        name: ``embedded``, ``prometheus``, ``json``, …
        options: the keys of a metric in `gray.metrics` that belong to it.
        connect: validated options and what is asked for → the source.
    """

    name: str
    options: type[Declared]
    connect: Callable[[Any, MetricRequest], MetricSource]


@dataclass(frozen=True, slots=True)
class TrafficRouterPlugin:
    """What splits the requests between two versions.

    Arguments:
        name: ``embedded``, ``gateway-api``, …
        summary: one line: what does the splitting.
        connect: state folder → the router, for the embedded engine.
        cluster: for one that works in a cluster, by the objects that the engine applies.
        options: for one that is observed, not driven: the keys of ``gray.rollout``.
        observe: validated options and the source repository's folder → the rollout.
        verdict: reads its status.
    """

    name: str
    summary: str
    connect: Callable[[Path], TrafficRouter] | None = None
    cluster: ClusterRouter | None = None
    options: type[Declared] | None = None
    observe: Callable[[Any, Path], Rollout] | None = None
    verdict: RolloutRule | None = None
