"""What every `Stage`, `CiSystem` and examination of `pipegraft doctor` promises, and a context to run one in.

Subclass `StageSuite` and give it a fixture `stage`, or `ExaminationSuite` and `examination`.
`stage_context` answers what a stage is given, with fakes behind every port, and `patient_of` a patient of
the same kind; what a test needs of them can be passed in. Subclass `CiSystemSuite` and give it the fixtures
`system`, `file`, the path of its configuration, and `pipeline`: the text of a configuration that can be
grafted onto, with jobs of a team.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest
import yaml
from pydantic import ValidationError

from pipegraft.app.generated import stage_page
from pipegraft.app.plugins import HOOKS, shipped_plugins
from pipegraft.ci.hooks import CI_SYSTEMS, CiSystem, Injection, InjectionRequest
from pipegraft.ci.jenkins.grafts import step_name
from pipegraft.core.delivery import Delivery
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.errors import PipegraftError
from pipegraft.core.model import keys_of
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.core.plugins import Plugins
from pipegraft.core.ports import FakeClock, Progress, RecordingProgress
from pipegraft.core.release import BuiltImage, FakeReleaseStore, Release, Source
from pipegraft.core.stage import Connections, Port, Stage, StageContext
from pipegraft.gate.ports import (
    ENGINE,
    ConnectedEngine,
    FakeEngine,
    GitOpsEngine,
    State,
    Verdict,
    VerdictRule,
)
from pipegraft.gray.judgement import Answer
from pipegraft.gray.ports import (
    BASELINE_METRICS,
    JUDGE,
    METRICS,
    ROLLOUT,
    Arms,
    ConnectedRollout,
    FakeJudge,
    FakeRollout,
    FakeSource,
    Judge,
    MetricSource,
    Rollout,
    RolloutPhase,
    RolloutRule,
    RolloutSeen,
    RolloutVerdict,
)
from pipegraft.iac.ports import IAC, RENDERERS, FakeIacRepository, IacBranch, Renderer
from pipegraft.images.hooks import IMAGE_BUILDER, WHY_BUILDER, FakeImageBuilder, ImageBuilder
from pipegraft.images.ports import (
    REGISTRY,
    REGISTRY_AT,
    SIGNING_KEY,
    VERIFIER,
    FakeKey,
    FakeRegistry,
    FakeVerifier,
    ReferringRegistry,
    SignatureVerifier,
    SigningKey,
)

__all__ = [
    "CiSystemSuite",
    "ExaminationSuite",
    "FakeConnections",
    "StageSuite",
    "patient_of",
    "stage_context",
]


P = ParamSpec("P")
T = TypeVar("T")

_DELIVERY: Mapping[str, Any] = {
    "app": "shop",
    "registry": "registry.example.com/shop",
    "components": {"web": {"path": "web"}},
    "iac": {"repository": "https://git.example.com/iac/shop.git"},
    "environments": {"production": {"gate": {"engine": "fake"}}},
}


@dataclass(frozen=True, slots=True)
class FakeConnections:
    """Fakes behind every port; each can be replaced by what a test needs.

    Arguments:
        further: what is behind ports of one's own.
        listeners: objects with hooks, such as ``pipegraft_taken_back``, as a plugin has them.
    """

    images: ReferringRegistry = field(default_factory=FakeRegistry)
    maker: ImageBuilder = field(default_factory=FakeImageBuilder)
    signatures: SignatureVerifier = field(default_factory=FakeVerifier)
    key: SigningKey = field(default_factory=FakeKey)
    branch: IacBranch = field(default_factory=FakeIacRepository)
    deployed: GitOpsEngine = field(default_factory=lambda: FakeEngine([{}]))
    rule: VerdictRule = lambda _status, _at_target: Verdict(State.SUCCEEDED, "all is well")
    settle: float = 0.0
    decides: Judge = field(default_factory=lambda: FakeJudge(Answer.PASS))
    sources: Mapping[str, MetricSource] = field(default_factory=lambda: {"errors": FakeSource([Arms()])})
    observed: Rollout = field(default_factory=lambda: FakeRollout(RolloutSeen(None)))
    reads: RolloutRule = lambda _seen, _ours, _since: RolloutVerdict(RolloutPhase.PROMOTED, "all is well")
    rendering: Mapping[str, Renderer] = field(default_factory=dict)
    further: Mapping[Port[..., Any], Any] = field(default_factory=dict)
    listeners: Sequence[object] = ()

    def open(self, port: Port[P, T], *_args: P.args, **_kwargs: P.kwargs) -> T:
        behind: Mapping[Port[..., Any], Any] = {
            REGISTRY: self.images,
            REGISTRY_AT: self.images,
            IMAGE_BUILDER: ("fake", self.maker),
            WHY_BUILDER: "it is a fake",
            VERIFIER: self.signatures,
            SIGNING_KEY: self.key,
            IAC: self.branch,
            RENDERERS: self.rendering,
            ENGINE: ConnectedEngine(self.deployed, self.rule, self.settle),
            JUDGE: self.decides,
            METRICS: self.sources,
            BASELINE_METRICS: self.sources,
            ROLLOUT: ConnectedRollout(self.observed, self.reads),
            **self.further,
        }
        found: T = behind[port]
        return found

    def calls(self, hook: str, **arguments: object) -> Iterator[tuple[str, Callable[[], Any]]]:
        plugins = Plugins(HOOKS, ())
        for number, listener in enumerate(self.listeners):
            plugins.register(listener, f"listener-{number}")
        return plugins.calls(hook, **arguments)


def stage_context(
    root: Path,
    *,
    environment: str | None = "production",
    delivery: Mapping[str, Any] | None = None,
    images: Mapping[str, BuiltImage] | None = None,
    connections: Connections | None = None,
    progress: Progress | None = None,
) -> StageContext:
    """What a stage is given, with fakes behind every port.

    Arguments:
        root: the source repository's folder.
        environment: the one it runs for, None for a stage of the application.
        delivery: keys of ``delivery.yaml`` that differ from a small shop's.
        images: what image-build has put into the release record.
        connections: the outside world; `FakeConnections` if None.
        progress: who hears what the stage reports; nobody if None.
    """
    declared = Delivery.model_validate({**_DELIVERY, **(delivery or {})})
    release = Release(app=declared.app, source=Source(commit="1" * 40, number=1), images=images or {})
    return StageContext(
        declared,
        root,
        environment,
        connections or FakeConnections(),
        FakeReleaseStore(release),
        FakeClock(),
        progress or RecordingProgress(),
    )


class StageSuite:
    """The contract of a stage definition."""

    def test_it_says_what_it_does_in_a_sentence(self, stage: Stage) -> None:
        assert stage.summary.endswith(".")
        assert "\n" not in stage.summary

    def test_every_input_has_a_default_and_says_what_it_is(self, stage: Stage) -> None:
        defaults = stage.parse_inputs({}).model_dump()
        for name, info in stage.inputs.model_fields.items():
            assert keys_of(stage.inputs)[name] in defaults
            assert info.description, f"input '{name}' has no docstring"

    def test_it_says_in_seconds_how_long_it_may_take(self, stage: Stage) -> None:
        delivery = Delivery.model_validate(_DELIVERY)
        (environment,) = delivery.environments
        longest = stage.longest(delivery, environment if stage.scope == "environment" else None)
        assert 0 <= longest < float("inf")

    def test_an_unknown_input_is_refused(self, stage: Stage) -> None:
        with pytest.raises(ValidationError):
            stage.parse_inputs({"no-such-input": "x"})

    def test_gitlab_gets_a_template_with_a_default_for_every_input(self, stage: Stage) -> None:
        (text,) = _templates("gitlab", stage).values()
        header, jobs = yaml.safe_load_all(text)
        inputs = header["spec"]["inputs"]
        assert set(keys_of(stage.inputs).values()) <= inputs.keys()
        assert all("default" in one for one in inputs.values())
        assert any(stage.name in name for name in jobs)

    def test_jenkins_gets_a_step(self, stage: Stage) -> None:
        library = _templates("jenkins", stage)
        step = step_name(stage.name)
        assert f"'{stage.name}'" in library["src/io/pipegraft/Stages.groovy"]
        assert {f"vars/{step}.groovy", f"vars/{step}.txt"} <= library.keys()

    def test_its_page_names_every_input(self, stage: Stage) -> None:
        page = stage_page(stage)
        assert stage.summary in page
        assert all(f"`{key}`" in page for key in keys_of(stage.inputs).values())


def _templates(system: str, stage: Stage) -> Mapping[str, str]:
    return shipped_plugins().all(CI_SYSTEMS)[system].templates([stage])


def patient_of(
    root: Path,
    connections: Connections | None = None,
    environment: Mapping[str, str] | None = None,
    **delivery: Any,
) -> Patient:
    """Something to examine.

    Arguments:
        connections: the systems; fakes if None.
        environment: variables of the process.
        delivery: keys of ``delivery.yaml`` that differ from a small shop's.
    """
    context = stage_context(root, delivery=delivery, connections=connections or FakeConnections())
    return Patient(context.delivery, root, context.connections, environment or {}, (), context.clock)


class ExaminationSuite:
    """The contract of an examination."""

    @pytest.fixture
    def examination(self) -> Examination:
        raise NotImplementedError("a subclass provides the examination under test")

    def test_it_says_what_it_checks(self, examination: Examination) -> None:
        assert examination.summary.endswith(".")
        assert "\n" not in examination.summary

    def test_it_answers_with_diagnoses_or_an_error_for_people(
        self, examination: Examination, tmp_path: Path
    ) -> None:
        patient = patient_of(tmp_path, registry="oci:registry", iac={"repository": "iac.git"})
        for subject in examination.subjects(patient):
            try:
                found = list(examination.run(patient, subject))
            except PipegraftError:
                continue
            assert all(isinstance(one, Diagnosis) for one in found)
            assert all(one.found for one in found)
            assert all(one.mend for one in found if one.health in (Health.WRONG, Health.UNREACHABLE))


_STAGES = (
    Stage(name="first-stage", summary="Comes first.", run=lambda _context, _inputs: None, scope="app"),
    Stage(
        name="second-stage",
        summary="Comes second.",
        run=lambda _context, _inputs: None,
        after=("first-stage",),
        deploys=True,
    ),
)


def _reader(files: Mapping[str, str | None]) -> Callable[[str], str | None]:
    return files.get


class CiSystemSuite:
    """The contract of a CI system."""

    @pytest.fixture
    def asked(self, system: CiSystem, file: str, pipeline: str) -> InjectionRequest:
        """Two stages to be grafted onto the team's pipeline."""
        plan = Plan(
            app="shop",
            stages=(
                PlannedStage("first-stage"),
                PlannedStage("second-stage", "production", needs=("first-stage",)),
            ),
        )
        return InjectionRequest(file=file, text=pipeline, plan=plan, templates=system.templates(_STAGES))

    def test_the_team_keeps_its_jobs_and_gets_deliverys(
        self, system: CiSystem, asked: InjectionRequest
    ) -> None:
        made = system.inject(asked)
        assert asked.file in made.files
        assert made.jobs_added
        assert made.jobs_unchanged

    def test_the_same_question_has_the_same_answer(self, system: CiSystem, asked: InjectionRequest) -> None:
        assert system.inject(asked) == system.inject(asked)

    def test_a_second_injection_changes_nothing(
        self, system: CiSystem, asked: InjectionRequest, again: Callable[[Injection], InjectionRequest]
    ) -> None:
        assert not system.inject(again(system.inject(asked))).files

    def test_it_comes_out_again_byte_for_byte(
        self, system: CiSystem, asked: InjectionRequest, pipeline: str
    ) -> None:
        made = system.inject(asked)
        text = made.files[asked.file]
        assert text is not None
        left = system.eject(asked.file, text, _reader(made.files))
        assert left.files[asked.file] == pipeline

    def test_its_templates_are_the_same_each_time(self, system: CiSystem) -> None:
        assert dict(system.templates(_STAGES)) == dict(system.templates(_STAGES))

    def test_outside_of_it_there_is_no_source(self, system: CiSystem) -> None:
        assert system.source({}) is None

    @pytest.fixture
    def again(self, asked: InjectionRequest) -> Callable[[Injection], InjectionRequest]:
        """The question after the answer was written."""

        def ask(made: Injection) -> InjectionRequest:
            text = made.files[asked.file]
            assert text is not None
            return replace(asked, text=text, read=_reader(made.files))

        return ask
