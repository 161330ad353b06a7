"""The doctor: everything at once, each within its time, and no secret in what is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipegraft.app.doctor import CheckUp, examine
from pipegraft.app.plugins import shipped_plugins
from pipegraft.core import hooks
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient, addresses_of
from pipegraft.core.errors import AccessDenied, Unreachable, UsageError
from pipegraft.core.hooks import EXAMINATIONS
from pipegraft.core.plugins import Plugins
from pipegraft.core.ports import FakeClock
from pipegraft.core.stage import Project, Requirement
from pipegraft.gate.ports import FakeEngine, State, Verdict
from pipegraft.gray.observation import ArmCounts
from pipegraft.gray.ports import Arms, FakeSource
from pipegraft.testing.stage_suite import ExaminationSuite, FakeConnections, patient_of, stage_context

KNOWN = shipped_plugins().all(EXAMINATIONS)


class TestEveryExamination(ExaminationSuite):
    @pytest.fixture(params=KNOWN.values(), ids=list(KNOWN))
    def examination(self, request: pytest.FixtureRequest) -> Examination:
        found: Examination = request.param
        return found


class Plugin:
    """Entry point of a plugin with these examinations."""

    name, group, dist, value = "mine", "pipegraft", None, "mine"

    def __init__(self, *examinations: Examination) -> None:
        self._examinations = examinations

    def load(self) -> object:
        from types import ModuleType

        from pipegraft.core.plugins import hookimpl

        module = ModuleType("mine")
        module.pipegraft_examinations = hookimpl(lambda: self._examinations)  # type: ignore[attr-defined]
        return module


def examined(*examinations: Examination, only: tuple[str, ...] = (), **environment: str) -> list[CheckUp]:
    plugins = Plugins([hooks], [Plugin(*examinations)])  # type: ignore[list-item]
    project = Project(Path(), stage_context(Path()).delivery, plugins)
    return examine(project, FakeConnections(), environment, FakeClock(), only)


def raising(error: Exception) -> Examination:
    def run(_patient: Patient, _subject: str) -> Iterator[Diagnosis]:
        yield Diagnosis("first", Health.GOOD, "well")
        raise error

    return Examination("raising", "Raises.", run)


@pytest.mark.parametrize(
    ("error", "health"),
    [
        (Unreachable("no answer", fix="look"), Health.UNREACHABLE),
        (AccessDenied("no right", fix="ask"), Health.WRONG),
        (UsageError("no such thing", fix="name it"), Health.WRONG),
        (ValueError("oh"), Health.WRONG),
    ],
)
def test_what_a_check_raises_is_told_beside_what_it_found(error: Exception, health: Health) -> None:
    (check,) = examined(raising(error))
    assert [one.health for one in check.diagnoses] == [Health.GOOD, health]
    assert str(error.args[0]) in check.diagnoses[1].found
    assert check.diagnoses[1].mend


def test_what_hangs_is_left_after_its_time_and_what_it_found_counts() -> None:
    released = threading.Event()

    def hang(_patient: Patient, _subject: str) -> Iterator[Diagnosis]:
        yield Diagnosis("first", Health.GOOD, "well")
        released.wait(60)

    quick = Examination("quick", "Is quick.", lambda _p, _s: [Diagnosis("q", Health.GOOD, "well")])
    checks = examined(Examination("slow", "Hangs.", hang, limit=0.05), quick)
    released.set()
    slow, fast = checks
    assert [one.health for one in slow.diagnoses] == [Health.GOOD, Health.UNREACHABLE]
    assert "did not end within 0.05 s" in slow.diagnoses[1].found
    assert [one.health for one in fast.diagnoses] == [Health.GOOD]


def test_subjects_are_looked_at_beside_one_another() -> None:
    both = threading.Barrier(2, timeout=30)

    def meet(_patient: Patient, subject: str) -> Iterator[Diagnosis]:
        both.wait()
        yield Diagnosis(subject, Health.GOOD, "met")

    checks = examined(Examination("pair", "Meets.", meet, lambda _patient: ("a", "b")))
    assert [one.diagnoses[0].subject for one in checks] == ["a", "b"]


def test_no_secret_is_told() -> None:
    def leak(_patient: Patient, _subject: str) -> Iterator[Diagnosis]:
        raise Unreachable(
            "https://oauth2:s3cr3t-token@git.example.com said s3cr3t-token", fix="use s3cr3t-token"
        )

    (check,) = examined(Examination("leak", "Leaks.", leak), MY_TOKEN="s3cr3t-token", MODE="said")
    told = check.diagnoses[0]
    assert "s3cr3t" not in told.found + told.mend
    assert "said" in told.found


def test_a_password_in_a_url_is_not_told_even_if_no_variable_holds_it(tmp_path: Path) -> None:
    def leak(_patient: Patient, _subject: str) -> Iterator[Diagnosis]:
        yield Diagnosis(
            "https://me:hunter2@git.example.com", Health.WRONG, "http://a:b@c", "see git@host:x/y"
        )

    (check,) = examined(Examination("leak", "Leaks.", leak))
    (told,) = check.diagnoses
    assert (told.subject, told.found) == ("https://me:***@git.example.com", "http://a:***@c")
    assert told.mend == "see git@host:x/y"


def test_a_secret_with_slashes_is_hidden_and_the_path_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")

    def leak(_patient: Patient, _subject: str) -> Iterator[Diagnosis]:
        yield Diagnosis("a", Health.WRONG, f"ab/cd+ef== and {tmp_path / 'key'}", "mend")

    examination = Examination("leak", "Leaks.", leak)
    (check,) = examined(examination, A_SECRET="ab/cd+ef==", KEY_TOKEN=str(tmp_path / "key"))
    assert check.diagnoses[0].found == f"*** and {tmp_path / 'key'}"


def test_one_examination_can_be_chosen() -> None:
    good = [Examination(name, "Checks.", lambda _p, _s: ()) for name in ("one-thing", "another")]
    assert [check.examination.name for check in examined(*good, only=("another",))] == ["another"]
    with pytest.raises(UsageError, match="there is no examination called 'third'"):
        examined(*good, only=("third",))


def test_a_plugin_that_did_not_load_is_told() -> None:
    class Broken:
        name, dist, value, group, extras = "broken", None, "broken:plugin", "pipegraft", ()

        def load(self) -> object:
            raise ImportError("no module")

    project = Project(Path(), stage_context(Path()).delivery, Plugins([hooks], [Broken()]))  # type: ignore[list-item]
    (check,) = examine(project, FakeConnections(), {}, FakeClock())
    assert check.diagnoses[0].health is Health.WRONG
    assert "broken:plugin cannot be loaded: ImportError: no module" in check.diagnoses[0].found
    assert check.diagnoses[0].mend == "install a version of it that works, or uninstall it"


def run(name: str, patient: Patient) -> list[Diagnosis]:
    examination = KNOWN[name]
    return [one for subject in examination.subjects(patient) for one in examination.run(patient, subject)]


def test_a_gate_that_fails_is_reachable_and_worth_knowing(tmp_path: Path) -> None:
    bad = Verdict(State.FAILED, "web crashes")
    connections = FakeConnections(deployed=FakeEngine([{}]), rule=lambda _status, _at: bad)
    (found,) = run("gate", patient_of(tmp_path, connections))
    assert (found.health, "web crashes" in found.found) == (Health.NOTE, True)
    with pytest.raises(Unreachable):
        run("gate", patient_of(tmp_path, FakeConnections(deployed=FakeEngine([Unreachable("x")]))))


def test_a_metric_without_data_is_worth_knowing(tmp_path: Path) -> None:
    gray = {"gate": {"engine": "fake"}, "gray": {"steps": [5, 50], "metrics": [{"source": "fake"}]}}
    delivery = {"environments": {"production": gray}}
    (found,) = run("metrics", patient_of(tmp_path, **delivery))
    assert found.health is Health.NOTE
    sources = {"errors": FakeSource([Arms(ArmCounts(90, 1), ArmCounts(10, 0))])}
    (found,) = run("metrics", patient_of(tmp_path, FakeConnections(sources=sources), **delivery))
    assert (found.health, found.found) == (Health.GOOD, "answers: 100 requests")


def test_variables_are_told_to_be_set_never_what_they_hold(tmp_path: Path) -> None:
    patient = patient_of(tmp_path, environment={"MY_TOKEN": "hush", "CI_DEBUG_TRACE": "true"})
    needs = (
        Requirement("MY_TOKEN", "opens"),
        Requirement("OTHER", "helps"),
        Requirement("no-such-tool", "works"),
    )
    patient = Patient(
        patient.delivery, tmp_path, patient.connections, patient.environment, needs, patient.clock
    )
    found = {one.subject: one.health for one in run("variables", patient)}
    assert found == {
        "MY_TOKEN": Health.GOOD,
        "OTHER": Health.NOTE,
        "no-such-tool": Health.WRONG,
        "CI_DEBUG_TRACE": Health.WRONG,
    }


def test_a_key_that_others_may_read_is_wrong(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    for mode, health in ((0o600, Health.GOOD), (0o644, Health.WRONG)):
        key.chmod(mode)
        patient = patient_of(tmp_path, environment={"PIPEGRAFT_IAC_SSH_KEY": str(key)})
        told = next(one for one in run("iac-repository", patient) if one.subject == "PIPEGRAFT_IAC_SSH_KEY")
        assert told.health is health


def test_servers_are_found_wherever_a_delivery_names_them(tmp_path: Path) -> None:
    patient = patient_of(
        tmp_path,
        iac={"repository": "https://user:pw@git.example.com/iac.git"},
        environments={"production": {"gate": {"engine": "argocd", "server": "https://argo.example.com/x?y"}}},
    )
    assert list(addresses_of(patient.delivery)) == ["https://git.example.com", "https://argo.example.com"]
