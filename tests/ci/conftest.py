"""A delivery of three stages to each environment, and files in memory to graft it onto."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace

import pytest

from pipegraft.ci.gitlab.eject import eject
from pipegraft.ci.gitlab.inject import inject
from pipegraft.ci.gitlab.system import make_templates
from pipegraft.ci.hooks import Injection, InjectionRequest, InjectOptions, pattern_of
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.core.stage import Requirement, Stage

ROOT = ".gitlab-ci.yml"

_STAGES = (
    Stage(name="image-build", summary="Builds.", run=print, scope="app"),
    Stage(
        name="iac-bump",
        summary="Bumps.",
        run=print,
        deploys=True,
        requires=(Requirement("PIPEGRAFT_IAC_TOKEN", "pushes", secret=True),),
    ),
    Stage(name="sync-gate", summary="Waits.", run=print, after=("iac-bump",)),
    Stage(name="gray-release", summary="Moves traffic.", run=print, after=("sync-gate",), deploys=True),
)
_TEMPLATES = make_templates(_STAGES)


def _plan(environments: tuple[str, ...]) -> Plan:
    planned = [PlannedStage("image-build")]
    for environment in environments:
        for stage in ("iac-bump", "sync-gate", "gray-release"):
            planned.append(PlannedStage(stage, environment, (planned[-1].id,)))
    return Plan("shop", tuple(planned))


def taking(plan: Plan, longest: Mapping[str, float]) -> Plan:
    """A plan whose stages, named by their ids, may take so many seconds."""
    return replace(plan, stages=tuple(replace(one, longest=longest.get(one.id, 0.0)) for one in plan.stages))


CHOICES = {one.name for one in fields(InjectOptions)}


@dataclass
class Repository:
    """Files in memory, and the commands that change them."""

    files: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        return self.files[ROOT]

    @root.setter
    def root(self, text: str) -> None:
        self.files[ROOT] = text

    def inject(
        self, *environments: str, longest: Mapping[str, float] | None = None, **options: object
    ) -> Injection:
        request = InjectionRequest(
            file=ROOT,
            text=self.root,
            plan=taking(_plan(environments or ("production",)), longest or {}),
            templates=_TEMPLATES,
            read=self.files.get,
            find=self._find,
            options=InjectOptions(**{name: options.pop(name) for name in CHOICES & options.keys()}),
            **{"version": "v1.0.0", **options},
        )
        return self._take(inject(request))

    def eject(self) -> Injection:
        return self._take(eject(ROOT, self.root, self.files.get))

    def _find(self, pattern: str) -> list[str]:
        return [name for name in self.files if pattern_of(pattern).fullmatch(name)]

    def _take(self, injection: Injection) -> Injection:
        for name, text in injection.files.items():
            if text is None:
                del self.files[name]
            else:
                self.files[name] = text
        return injection


@pytest.fixture(scope="session")
def repository() -> Callable[..., Repository]:
    def make(text: str, others: Mapping[str, str] | None = None) -> Repository:
        return Repository({ROOT: text, **(others or {})})

    return make
