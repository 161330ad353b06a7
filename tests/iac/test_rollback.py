"""Taking a release back by hand: to the byte, by a commit, and so that it stays away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pipegraft.appspec.environment_file import bump
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import Conflict, EditRefused, UsageError
from pipegraft.core.ports import FakeClock
from pipegraft.core.release import ReleaseMark, Source
from pipegraft.iac.commits import commit_message, release_trailers
from pipegraft.iac.ports import FakeIacRepository
from pipegraft.iac.released_images import EnvironmentState, read_state, write_state
from pipegraft.iac.rollback import RollbackRequest, roll_back

PATH = "environments/production.yaml"
STATE = ".pipegraft/production.yaml"
APP = {"app.yaml": "app: shop\ncomponents: {web: {}}\n"}
IMAGE = f"r/web@sha256:{'a' * 64}"
STABLE = f"# by hand\ncomponents:\r\n  web: {{image: '{IMAGE}' }}\nrelease: {{number: 12, source: x}}"
DELIVERY = Delivery.model_validate(
    {
        "app": "shop",
        "registry": "r",
        "components": {"web": {"path": "web"}},
        "iac": {"repository": "iac.git"},
        "environments": {
            "production": {"gate": {"engine": "fake"}},
            "charts": {
                "gate": {"engine": "fake"},
                "targets": [{"kind": "yaml", "file": "v.yaml", "path": "i", "component": "web"}],
            },
        },
    }
)


def deliver(branch: FakeIacRepository, number: int, digit: str, *, gray: bool = False) -> str:
    """What iac-bump commits."""
    text = branch.read(PATH, branch.tip())
    mark = ReleaseMark(number=number, source=f"{number:040x}")
    made = bump(text, {"web": f"r/web@sha256:{digit * 64}"}, mark, gray=gray, file=PATH)
    trailers = release_trailers("shop", "production", Source(commit=mark.source, number=number), made.step)
    return branch.commit({PATH: made.text}, commit_message(f"release {number}", [], trailers), branch.tip())


def take_back(
    branch: FakeIacRepository, to: str | None = None, *, environment: str = "production", dry: bool = False
):  # type: ignore[no-untyped-def]
    return roll_back(branch, RollbackRequest(DELIVERY, environment, to, dry))


@pytest.mark.parametrize("gray", [False, True])
def test_the_newest_release_is_taken_back_to_the_byte(gray: bool) -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    before = branch.tip()
    deliver(branch, 13, "b", gray=gray)
    done = take_back(branch)
    assert branch.read(PATH, done.commit) == STABLE
    assert (done.restored, done.paths, done.written) == (before, (PATH,), True)
    assert done.taken_back == ReleaseMark(number=13, source=f"{13:040x}")
    commit = branch.log(PATH)[0]
    assert commit.id == done.commit
    assert commit.subject == "shop: take back release 13 in production"
    assert commit.trailers["Pipegraft-Step"] == "rollback"
    assert commit.trailers["Pipegraft-Release"] == "13"
    assert read_state(branch.read(STATE, done.commit), STATE).taken_back == done.taken_back


def test_a_gray_release_that_was_taken_over_does_not_come_back() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    deliver(branch, 13, "b", gray=True)
    deliver(branch, 14, "c", gray=True)
    done = take_back(branch)
    assert branch.read(PATH, done.commit) == STABLE
    assert done.taken_back == ReleaseMark(number=14, source=f"{14:040x}")


def test_a_release_that_came_twice_goes_back_to_what_was_there_the_second_time() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    deliver(branch, 13, "b", gray=True)
    edited = STABLE + "\n# meanwhile\n"
    branch.commit({PATH: edited}, "taken back and edited", branch.tip())
    deliver(branch, 13, "b", gray=True)
    assert branch.read(PATH, take_back(branch).commit) == edited


def test_edits_made_before_the_release_stay_those_after_it_began_go() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    edited = STABLE + "\n# before\n"
    branch.commit({PATH: edited}, "by hand", branch.tip())
    deliver(branch, 13, "b")
    branch.commit({"other.yaml": "1"}, "elsewhere", branch.tip())
    done = take_back(branch)
    assert branch.read(PATH, done.commit) == edited
    assert branch.read("other.yaml", done.commit) == "1"


def test_a_commit_can_be_named() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    first = deliver(branch, 13, "b")
    text = branch.read(PATH, first)
    deliver(branch, 14, "c")
    for name in (first, first[:9]):
        done = take_back(branch, name)
        assert done.restored == first
        assert branch.read(PATH, done.commit) == text
    assert not take_back(branch, first).written


def test_each_time_goes_one_release_further_back_and_then_says_so() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    deliver(branch, 13, "b")
    with_13 = branch.read(PATH, branch.tip())
    deliver(branch, 14, "c")
    taken = [take_back(branch) for _ in range(2)]
    assert [(one.written, one.taken_back and one.taken_back.number) for one in taken] == [
        (True, 14),
        (True, 13),
    ]
    assert branch.read(PATH, taken[0].commit) == with_13
    assert branch.read(PATH, branch.tip()) == STABLE
    assert [one.trailers["Pipegraft-Release"] for one in branch.log(PATH)[:2]] == ["13", "14"]
    remembered = read_state(branch.read(STATE, branch.tip()), STATE).taken_back
    assert remembered
    assert remembered.number == 14  # the newest: neither comes again by itself
    with pytest.raises(UsageError, match=r"no release to take back.*\n.*--to: "):
        take_back(branch)


def test_a_job_that_its_pipeline_repeats_takes_back_once() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    deliver(branch, 13, "b")
    with_13 = branch.read(PATH, branch.tip())
    deliver(branch, 14, "c")
    job = RollbackRequest(DELIVERY, "production", pipeline="https://ci.example.com/pipelines/7")
    first, again = roll_back(branch, job), roll_back(branch, job)
    assert (first.written, first.repeated) == (True, False)
    assert (again.written, again.repeated, again.commit) == (False, True, first.commit)
    assert again.restored == first.restored
    assert branch.read(PATH, branch.tip()) == with_13
    other = replace(job, pipeline="https://ci.example.com/pipelines/8")
    assert roll_back(branch, other).written
    assert branch.read(PATH, branch.tip()) == STABLE


def test_a_rebuild_on_jenkins_is_the_same_wish_until_it_is_said_to_be_another() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    deliver(branch, 13, "b")
    deliver(branch, 14, "c")
    build = RollbackRequest(DELIVERY, "production", pipeline="https://ci.example.com/job/shop/job/main/7/")
    rebuilt = replace(build, pipeline=build.pipeline.replace("/7/", "/8/"))
    assert roll_back(branch, build).written
    assert roll_back(branch, rebuilt).repeated
    assert roll_back(branch, replace(rebuilt, again=True)).written
    assert branch.read(PATH, branch.tip()) == STABLE
    deliver(branch, 15, "d")
    assert roll_back(branch, rebuilt).written  # what has been released since is another matter


@pytest.mark.parametrize(
    "change", [{"again": True}, {"pipeline": "local"}, {"pipeline": ""}, {"environment": "charts"}]
)
def test_whoever_means_it_goes_further_back(change: Mapping[str, Any]) -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    deliver(branch, 13, "b")
    deliver(branch, 14, "c")
    job = RollbackRequest(DELIVERY, "production", pipeline="https://ci.example.com/pipelines/7")
    mine = replace(job, **{key: one for key, one in change.items() if key != "environment"})
    roll_back(branch, mine)
    if "environment" in change:
        with pytest.raises(UsageError, match="no commit of Pipegraft"):
            roll_back(branch, replace(job, **change))
        return
    assert roll_back(branch, mine).taken_back == ReleaseMark(number=13, source=f"{13:040x}")


def test_after_a_new_release_the_same_pipeline_takes_that_back() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    deliver(branch, 13, "b")
    job = RollbackRequest(DELIVERY, "production", pipeline="https://ci.example.com/pipelines/7")
    roll_back(branch, job)
    deliver(branch, 15, "c")
    assert roll_back(branch, job).taken_back == ReleaseMark(number=15, source=f"{15:040x}")


def test_after_an_aborted_gray_release_the_one_before_is_taken_back() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    deliver(branch, 13, "b")
    with_13 = branch.read(PATH, branch.tip())
    deliver(branch, 14, "c", gray=True)
    trailers = release_trailers("shop", "production", Source(commit="e" * 40, number=14), "abort")
    branch.commit({PATH: with_13}, commit_message("abort", [], trailers), branch.tip())
    done = take_back(branch)
    assert (done.written, done.taken_back and done.taken_back.number) == (True, 13)
    assert branch.read(PATH, branch.tip()) == STABLE


def test_targets_go_back_again_and_again() -> None:
    branch = FakeIacRepository({"v.yaml": "i: r/web:v0\n"})
    state_file = ".pipegraft/charts.yaml"
    for number in (1, 2, 3):
        source = Source(commit=f"{number:040x}", number=number)
        trailers = release_trailers("shop", "charts", source, "bump")
        mark = EnvironmentState(release=ReleaseMark(number=number, source=source.commit))
        state = write_state(branch.read(state_file, branch.tip()), mark, state_file)
        files = {"v.yaml": f"i: r/web:v{number}\n", state_file: state}
        branch.commit(files, commit_message("release", [], trailers), branch.tip())
    for number in (2, 1):
        assert take_back(branch, environment="charts").written
        assert branch.read("v.yaml", branch.tip()) == f"i: r/web:v{number}\n"


def test_undoing_an_edit_takes_no_release_back() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    first = branch.tip()
    branch.commit({PATH: STABLE + "\n# since then\n"}, "by hand", first)
    done = take_back(branch, first)
    assert branch.read(PATH, done.commit) == STABLE
    assert done.taken_back is None
    assert branch.log(PATH)[0].subject == "shop: restore in production"
    assert branch.read(STATE, done.commit) is None


def test_a_dry_run_writes_nothing() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    tip = deliver(branch, 13, "b")
    done = take_back(branch, dry=True)
    assert (done.written, done.paths, branch.tip()) == (True, (PATH,), tip)


def test_targets_and_their_record_go_back_together() -> None:
    state = ".pipegraft/charts.yaml"
    branch = FakeIacRepository({"v.yaml": "i: old\n", state: "release: {number: 12, source: x}\n"})
    source = Source(commit=f"{13:040x}", number=13)
    message = commit_message("release 13", [], release_trailers("shop", "charts", source, "bump"))
    files = {"v.yaml": "i: new\n", state: "release: {number: 13, source: y}\n"}
    branch.commit(files, message, branch.tip())
    done = take_back(branch, environment="charts")
    assert branch.read("v.yaml", done.commit) == "i: old\n"
    remembered = read_state(branch.read(state, done.commit), state)
    assert (remembered.release, remembered.taken_back) == (
        ReleaseMark(number=12, source="x"),
        ReleaseMark(number=13, source="y"),
    )


class Strict:
    """A chart of now that wants a value which the values of then do not have."""

    name = "helm"

    def render(self, files: Mapping[str, bytes], folder: str, values: Sequence[str] = ()) -> str:
        if b"port" not in files["values.yaml"]:
            raise EditRefused("port is required", fix="set it")
        return "kind: Service\n"


@pytest.mark.parametrize("effect", [None, "warn"])
def test_what_cannot_be_rendered_any_more_is_not_restored(effect: str | None) -> None:
    target = {"kind": "yaml", "file": "values.yaml", "path": "i", "component": "web"}
    environment = {"gate": {"engine": "fake"}, "targets": [target], **({"effect": effect} if effect else {})}
    data = DELIVERY.model_dump(exclude_unset=True) | {"environments": {"charts": environment}}
    delivery = Delivery.model_validate(data)
    branch = FakeIacRepository({"values.yaml": "i: old\n", "Chart.yaml": "name: web\n"})
    first = branch.tip()
    tip = branch.commit({"values.yaml": "i: new\nport: 80\n"}, "release", first)
    request = RollbackRequest(delivery, "charts", first, renderers={"helm": Strict()})
    if effect:
        assert roll_back(branch, request).written
        return
    for dry in (True, False):
        with pytest.raises(EditRefused, match="cannot be rendered any more: port is required"):
            roll_back(branch, replace(request, dry_run=dry))
    assert branch.tip() == tip
    kept = branch.commit({"values.yaml": "i: newer\nport: 80\n"}, "release", tip)
    done = roll_back(branch, replace(request, to=tip))
    assert (done.written, branch.read("values.yaml", done.commit)) == (True, "i: new\nport: 80\n"), kept


def test_the_newest_release_counts_whichever_file_it_changed() -> None:
    state = ".pipegraft/charts.yaml"
    clock = FakeClock()
    branch = FakeIacRepository({"v.yaml": "i: old\n", state: "release: {number: 11, source: x}\n"}, clock.now)
    for number, changed in ((12, {"v.yaml": "i: new\n"}), (13, {})):
        clock.sleep(60)
        source = Source(commit=f"{number:040x}", number=number)
        trailers = release_trailers("shop", "charts", source, "bump")
        files = {**changed, state: f"release: {{number: {number}, source: y}}\n"}
        branch.commit(files, commit_message(f"release {number}", [], trailers), branch.tip())
    done = take_back(branch, environment="charts")
    assert branch.read("v.yaml", done.commit) == "i: new\n"
    assert read_state(branch.read(state, done.commit), state).release == ReleaseMark(number=12, source="y")


@pytest.mark.parametrize(
    ("to", "environment", "message"),
    [
        ("f" * 40, "production", "expected a commit of the branch"),
        ("abc", "production", "expected a commit of the branch"),
        (None, "moon", "no environment 'moon'"),
        (None, "production", "no release to take back"),
    ],
)
def test_what_cannot_be_found_is_refused(to: str | None, environment: str, message: str) -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    tip = branch.tip()
    with pytest.raises(UsageError, match=message):
        take_back(branch, to, environment=environment)
    assert branch.tip() == tip


def test_a_commit_without_the_file_is_refused() -> None:
    branch = FakeIacRepository(APP)
    first = branch.tip()
    deliver(branch, 13, "b")
    with pytest.raises(UsageError, match=r"expected environments/production\.yaml at commit"):
        take_back(branch, first)


class Racing(FakeIacRepository):
    """Somebody changes the file right before our commit."""

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        if "take back" in message and self.log()[0].subject != "theirs":
            super().commit({PATH: "# theirs\n"}, "theirs", parent)
        return super().commit(changes, message, parent)


def test_an_edit_made_meanwhile_is_a_conflict() -> None:
    branch = Racing({**APP, PATH: STABLE})
    deliver(branch, 13, "b")
    with pytest.raises(Conflict, match=PATH):
        take_back(branch)
    assert branch.read(PATH, branch.tip()) == "# theirs\n"


def test_what_is_remembered_is_kept_beside_new_things() -> None:
    mark = ReleaseMark(number=1, source="a")
    from pipegraft.iac.released_images import EnvironmentState

    text = write_state(None, EnvironmentState(taken_back=mark), STATE)
    text = write_state(text, EnvironmentState(release=mark, images={"web": "r"}), STATE)
    assert read_state(text, STATE) == EnvironmentState(release=mark, images={"web": "r"}, taken_back=mark)


def test_a_commit_in_the_midst_of_a_gray_release_is_refused() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    on_its_way = deliver(branch, 13, "b", gray=True)
    for later in (lambda: None, lambda: deliver(branch, 14, "c")):
        later()
        tip = branch.tip()
        with pytest.raises(UsageError, match="release 13 was on its way, with 0% of the requests"):
            take_back(branch, on_its_way)
        assert branch.tip() == tip


def test_a_named_commit_ends_the_gray_release_that_runs() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    before = branch.tip()
    deliver(branch, 13, "b", gray=True)
    done = take_back(branch, before)
    assert branch.read(PATH, done.commit) == STABLE
    assert done.taken_back == ReleaseMark(number=13, source=f"{13:040x}")


@pytest.mark.parametrize("remembers_more", [False, True])
def test_a_release_that_is_brought_back_is_not_remembered_as_taken_back(remembers_more: bool) -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    released = deliver(branch, 13, "b")
    text = branch.read(PATH, released)
    take_back(branch)
    if remembers_more:
        more = (branch.read(STATE, branch.tip()) or "") + "images: {web: x}\n"
        branch.commit({STATE: more}, "more", branch.tip())
    done = take_back(branch, released)
    assert branch.read(PATH, done.commit) == text
    state = branch.read(STATE, done.commit)
    assert (state is None) != remembers_more
    assert read_state(state, STATE).taken_back is None


def test_what_is_restored_older_than_what_was_taken_back_stays_away() -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    thirteen = deliver(branch, 13, "b")
    deliver(branch, 14, "c")
    take_back(branch)
    take_back(branch)
    take_back(branch, thirteen)
    state = read_state(branch.read(STATE, branch.tip()), STATE)
    assert state.taken_back == ReleaseMark(number=14, source=f"{14:040x}")


@pytest.mark.parametrize("to", ["main", "HEAD~1", "-x", "", "1" * 40])
def test_what_is_no_commit_of_the_branch_is_refused(to: str) -> None:
    branch = FakeIacRepository({**APP, PATH: STABLE})
    deliver(branch, 13, "b")
    tip = branch.tip()
    with pytest.raises(UsageError, match="expected a commit of the branch"):
        take_back(branch, to)
    assert branch.tip() == tip
