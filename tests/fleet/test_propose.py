"""One merge request a project, whatever happens in between."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping

import pytest
from fleet_files import PIPELINE, delivery
from gitlab_double import Refused
from group_double import PERIOD, TOKEN, Lab

from pipegraft.ci.hooks import InjectOptions, Mode, TemplateSource
from pipegraft.core.errors import AccessDenied, UsageError
from pipegraft.core.plugins import Plugins
from pipegraft.core.ports import FakeClock, RecordingProgress
from pipegraft.fleet.adapters import TOKEN as VARIABLE
from pipegraft.fleet.adapters import GitLabGroup, open_group
from pipegraft.fleet.ports import FakeForge
from pipegraft.fleet.usecases.edits import Editor, Reader, bumping, ejecting, injecting, upgrading
from pipegraft.fleet.usecases.projects import Campaign, Outcome, propose_to_all, select

PROJECT = TemplateSource("project", "platform/pipegraft", "v0.1.0")


@pytest.fixture
def inject(plugins: Plugins) -> Campaign:
    return campaign(injecting(plugins, InjectOptions(source=PROJECT)))


def campaign(edit: Editor, branch: str = "pipegraft/inject", *, auto_merge: bool = False) -> Campaign:
    return Campaign(branch, "Graft delivery", "What it does.", edit, auto_merge=auto_merge)


def propose(forge: GitLabGroup, campaign: Campaign, *, dry_run: bool = False) -> dict[str, Outcome]:
    outcomes = propose_to_all(
        forge, campaign, select(forge, ()), RecordingProgress(), jobs=4, dry_run=dry_run
    )
    return {one.project.path.removeprefix("acme/"): one for one in outcomes}


def states(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: one.state for name, one in outcomes.items()}


def test_every_project_gets_one_request_with_the_graft(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    for name in ("shop", "bank", "park"):
        add(name)
    assert states(propose(forge, inject)) == dict.fromkeys(("bank", "park", "shop"), "proposed")
    assert len(lab.requests) == 3
    request = lab.requests[0]
    assert (request["title"], request["labels"]) == ("Graft delivery", ["pipegraft"])
    held = lab.repositories[request["project_id"]]
    assert ".pipegraft/gitlab.yml" in held.paths("pipegraft/inject")
    assert "include: .pipegraft/gitlab.yml" in (held.read(".gitlab-ci.yml", "pipegraft/inject") or "")
    assert held.read(".gitlab-ci.yml", "main") == PIPELINE


def test_commits_to_many_repositories_are_worded_as_their_server_wants_it(
    lab: Lab, add: Callable[..., int], inject: Campaign
) -> None:
    add("shop")
    variables = {"PIPEGRAFT_GITLAB_TOKEN": TOKEN, "PIPEGRAFT_COMMIT_MESSAGE": "ci: OPS-7 {{ subject }}"}
    forge = open_group("acme", lab.url, variables)
    assert states(propose(forge, inject)) == {"shop": "proposed"}
    said = lab.repositories[1].message("pipegraft/inject")
    assert said.startswith(f"ci: OPS-7 {inject.title}\n\nPipegraft-Change: ")
    assert states(propose(forge, inject)) == {"shop": "waiting"}


def test_again_nothing_is_asked_of_anybody_twice(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    add("shop")
    propose(forge, inject)
    before = lab.repositories[1].name("pipegraft/inject")
    assert states(propose(forge, inject)) == {"shop": "waiting"}
    assert len(lab.requests) == 1
    assert lab.repositories[1].name("pipegraft/inject") == before


def test_what_changed_meanwhile_is_brought_into_the_same_request(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    add("shop")
    propose(forge, inject)
    lab.repositories[1].write(
        "main", lab.repositories[1].name("main"), "more", {".gitlab-ci.yml": PIPELINE + "# more\n"}
    )
    assert states(propose(forge, inject)) == {"shop": "updated"}
    assert len(lab.requests) == 1
    assert "# more" in (lab.repositories[1].read(".gitlab-ci.yml", "pipegraft/inject") or "")
    assert states(propose(forge, inject)) == {"shop": "waiting"}


def test_a_branch_that_people_commit_to_is_theirs(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    add("shop")
    propose(forge, inject)
    held = lab.repositories[1]
    theirs = held.write("pipegraft/inject", held.name("pipegraft/inject"), "by hand", {"mine": "x"})
    held.write("main", held.name("main"), "more", {".gitlab-ci.yml": PIPELINE + "# more\n"})
    found = propose(forge, inject)["shop"]
    assert found.state == "held"
    assert "somebody has committed to pipegraft/inject of acme/shop" in found.note
    assert held.name("pipegraft/inject") == theirs


def test_a_request_that_people_closed_is_not_opened_again(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    add("shop")
    propose(forge, inject)
    lab.requests[0]["state"] = "closed"
    assert states(propose(forge, inject)) == {"shop": "declined"}
    assert len(lab.requests) == 1


def test_merged_is_done_and_eject_restores_every_byte(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign, plugins: Plugins
) -> None:
    add("shop")
    original = lab.files(1)
    propose(forge, inject)
    lab.merge(lab.requests[0], at=1.0)
    assert states(propose(forge, inject)) == {"shop": "current"}
    out = campaign(ejecting(plugins), "pipegraft/eject")
    assert states(propose(forge, out)) == {"shop": "proposed"}
    lab.merge(lab.requests[1], at=2.0)
    assert lab.files(1) == original
    assert states(propose(forge, out)) == {"shop": "current"}


def test_what_a_fleet_leaves_alone(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    add("shop")
    add("fork", forked_from_project={"id": 1})
    lab.add("empty", None)
    lab.add("docs", {"README.md": "x"})
    add("old", archived=True)
    found = propose(forge, inject)
    assert states(found) == {"shop": "proposed", "fork": "skipped", "empty": "skipped", "docs": "skipped"}
    assert found["fork"].note == "it is a fork"
    assert "delivery.yaml" in found["docs"].note


def test_one_that_refuses_stops_no_other(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    add("shop")
    lab.add("broken", {".gitlab-ci.yml": "a: [", "delivery.yaml": "app: 1"})
    found = propose(forge, inject)
    assert states(found) == {"broken": "refused", "shop": "proposed"}
    assert "acme/broken/delivery.yaml" in found["broken"].note


def test_a_dry_run_writes_nothing_and_reads_little(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    for number in range(3):
        add(f"shop{number}")
    found = propose(forge, inject, dry_run=True)
    assert states(found) == dict.fromkeys(("shop0", "shop1", "shop2"), "proposed")
    assert found["shop0"].edit.files.keys() == {".gitlab-ci.yml", ".pipegraft/gitlab.yml"}
    assert {method for method, _ in lab.calls} == {"GET"}
    assert not lab.requests


def per_project(lab: Lab) -> collections.Counter[str]:
    return collections.Counter(
        path.split("/")[4] for _, path in lab.calls if path.startswith("/api/v4/projects/")
    )


def test_a_project_costs_at_most_six_calls(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    for number in range(3):
        add(f"shop{number}")
    propose(forge, inject)
    assert max(per_project(lab).values()) <= 6
    lab.calls.clear()
    propose(forge, inject)
    assert max(per_project(lab).values()) <= 6


@pytest.mark.parametrize("end", ["commits", "merge_requests"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_short_anywhere_there_is_still_one_request(
    lab: Lab, add: Callable[..., int], inject: Campaign, end: str, when: str
) -> None:
    add("shop")
    forge = open_group("acme", lab.url, {"PIPEGRAFT_GITLAB_TOKEN": TOKEN})

    def break_off(method: str, path: str) -> None:
        if method == "POST" and path.endswith(end):
            raise ConnectionAbortedError

    setattr(lab, when, break_off)
    forge._client.retry_transient_errors = False
    assert states(propose(forge, inject)) == {"shop": "failed"}
    lab.before = lab.after = lambda _method, _path: None
    assert states(propose(forge, inject))["shop"] in {"proposed", "waiting"}
    assert len(lab.opened("pipegraft/inject")) == 1
    assert states(propose(forge, inject)) == {"shop": "waiting"}


def test_limits_and_faults_of_the_server_are_waited_out(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    for number in range(5):
        add(f"shop{number}")
    answers = [429, 500, 502, 504, 429, 503]

    def stumble(_method: str, _path: str) -> None:
        if answers:
            raise Refused(answers.pop(), "not now")

    lab.before = stumble
    assert set(states(propose(forge, inject)).values()) == {"proposed"}
    assert len(lab.requests) == 5


def test_a_rate_limit_is_waited_for_as_long_as_the_server_says(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    now = [1_700_000_000.0]

    def sleep(seconds: float) -> None:
        if seconds >= 1:  # the server thread of the double also sleeps
            slept.append(seconds)
            now[0] = lab.ends

    monkeypatch.setattr("time.sleep", sleep)
    for number in range(12):
        add(f"shop{number}")
    lab.limit, lab.tells, lab.time = 10, False, lambda: now[0]
    assert set(states(propose(forge, inject)).values()) == {"proposed"}
    assert len(lab.requests) == 12
    assert lab.refused
    assert set(slept) == {60}


@pytest.mark.parametrize("limit", [10, 40])
def test_a_server_that_tells_its_rate_limit_has_nothing_to_refuse(
    lab: Lab, add: Callable[..., int], inject: Campaign, limit: int
) -> None:
    clock = FakeClock()
    told: list[float] = []
    lab.limit, lab.time = limit, clock.now
    for number in range(30):
        add(f"shop{number}")
    began = clock.now()
    forge = open_group("acme", lab.url, {VARIABLE: TOKEN}, clock=clock, held_back=told.append)
    projects = select(forge, ())
    outcomes = propose_to_all(forge, inject, projects, RecordingProgress(), jobs=1)  # the clock jumps
    assert {one.state for one in outcomes} == {"proposed"}
    assert lab.refused == 0
    periods = len(lab.calls) / limit
    assert periods > 3
    assert clock.now() - began <= PERIOD * (periods + 1)  # and no longer than it must
    assert bool(told) == (limit == 10)  # six seconds between two requests are worth a word


def test_pages_of_projects_are_all_read(lab: Lab, forge: GitLabGroup) -> None:
    for number in range(230):
        lab.add(f"p{number:03}", None)
    assert len(select(forge, ())) == 230
    assert [one.path for one in select(forge, ("acme/p00?",))] == [f"acme/p00{n}" for n in range(10)]
    assert len(lab.calls) == 6


def test_a_wrong_token_is_named_by_its_variable(lab: Lab) -> None:
    with pytest.raises(AccessDenied, match="GitLab refused the token for group acme") as caught:
        select(open_group("acme", lab.url, {"PIPEGRAFT_GITLAB_TOKEN": "glpat-wrong"}), ())
    assert "PIPEGRAFT_GITLAB_TOKEN" in caught.value.problem.fix
    assert "glpat-wrong" not in str(caught.value)


def test_a_group_that_is_not_there_is_named(lab: Lab, forge: GitLabGroup) -> None:
    with pytest.raises(AccessDenied, match="there is no group other"):
        select(GitLabGroup(forge._client, "other"), ())


def test_auto_merge_is_asked_for(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, plugins: Plugins
) -> None:
    add("shop")
    edit = injecting(plugins, InjectOptions(source=PROJECT))
    propose(forge, campaign(edit, auto_merge=True))
    assert lab.requests[0]["auto"]


@pytest.mark.parametrize("status", [401, 403, 405, 406, 409, 422])
def test_a_merge_that_is_not_allowed_yet_is_left_to_the_next_run(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, plugins: Plugins, status: int
) -> None:
    add("shop")
    merging = campaign(injecting(plugins, InjectOptions(source=PROJECT)), auto_merge=True)
    lab.merging = status
    assert states(propose(forge, merging)) == {"shop": "proposed"}
    lab.merging = 0
    assert states(propose(forge, merging)) == {"shop": "waiting"}
    assert lab.requests[0]["auto"]


@pytest.mark.parametrize("place", ["ci/main.yml@acme/shared", "https://example.com/ci.yml"])
def test_a_pipeline_that_is_elsewhere_is_skipped_with_the_place(
    add: Callable[..., int], forge: GitLabGroup, inject: Campaign, plugins: Plugins, place: str
) -> None:
    add("shop", ci_config_path=place)
    for one in (inject, campaign(ejecting(plugins)), campaign(upgrading(plugins, "v1"))):
        found = propose(forge, one)["shop"]
        assert (found.state, found.note) == ("skipped", f"its CI configuration is elsewhere: {place}")


def test_a_project_without_merge_requests_is_skipped(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    add("shop", merge_requests_access_level="disabled")
    found = propose(forge, inject)["shop"]
    assert (found.state, found.note) == ("skipped", "its merge requests are disabled")
    assert {method for method, _ in lab.calls} == {"GET"}


def test_a_request_follows_the_default_branch_to_its_new_name(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    add("shop")
    propose(forge, inject)
    lab.repositories[1].git("branch", "trunk", "main")
    lab.projects[1]["default_branch"] = "trunk"
    assert states(propose(forge, inject)) == {"shop": "updated"}
    assert [one["target_branch"] for one in lab.requests] == ["trunk"]
    assert states(propose(forge, inject)) == {"shop": "waiting"}


def test_a_forks_request_from_a_branch_of_the_same_name_is_not_ours(
    lab: Lab, add: Callable[..., int], forge: GitLabGroup, inject: Campaign
) -> None:
    add("shop")
    theirs = {
        "iid": 77,
        "project_id": 1,
        "source_project_id": 9,
        "state": "opened",
        "source_branch": "pipegraft/inject",
        "labels": [],
        "title": "Theirs",
    }
    lab.requests.append(dict(theirs))
    assert states(propose(forge, inject)) == {"shop": "proposed"}
    assert lab.requests[0] == theirs
    assert states(propose(forge, inject)) == {"shop": "waiting"}
    assert len(lab.requests) == 2


OLD = "registry.example.com/mesh@sha256:" + "1" * 64
NEW = "registry.example.com/mesh@sha256:" + "2" * 64
ENVIRONMENT = f"""\
# production
components:
  mesh: {{image: {OLD}}}   # the sidecar
"""


APP = "app: one\ncomponents:\n  mesh: {}\n"
COMPONENTS = TemplateSource("component", "gitlab.example.com/platform/delivery", "0.1.0")


@pytest.mark.parametrize(
    ("source", "pin"),
    [(PROJECT, "ref: v0.2.0\n"), (COMPONENTS, "delivery/image-build@0.2.0\n")],
    ids=["project", "components"],
)
@pytest.mark.parametrize("mode", ["include", "child"])
def test_an_upgrade_raises_the_pins_of_every_kind(
    plugins: Plugins, source: TemplateSource, pin: str, mode: Mode
) -> None:
    fake = FakeForge({"acme/shop": {".gitlab-ci.yml": PIPELINE, "delivery.yaml": delivery("shop")}})
    (project,) = fake.projects()
    held = fake.files[project.path]
    made = injecting(plugins, InjectOptions(source=source, mode=mode))(Reader(fake, project))
    held |= {path: text for path, text in made.files.items() if text is not None}
    raised = upgrading(plugins, "v0.2.0")(Reader(fake, project))
    assert raised.pinned == source.ref
    assert len(raised.files) == 1, "nothing but the pins changes"
    (text,) = raised.files.values()
    assert text is not None
    assert pin in text
    assert "0.1.0" not in text
    held |= dict.fromkeys(raised.files, text)
    again = upgrading(plugins, "v0.2.0")(Reader(fake, project))
    assert (again.files, again.pinned) == ({}, source.ref.replace("0.1.0", "0.2.0"))


def test_a_sidecars_image_goes_where_it_is_pinned_and_changes_nothing_else(
    lab: Lab, forge: GitLabGroup
) -> None:
    gray = ENVIRONMENT + (
        "gray: {release: {number: 2, source: abc}, weight: 5, phase: step, components: {web: {}}}\n"
    )
    lab.add("one", {"app.yaml": APP, "environments/production.yaml": ENVIRONMENT})
    many = {f"{app}/environments/production.yaml": ENVIRONMENT for app in ("a", "b")}
    lab.add("many", many | {f"{app}/app.yaml": APP for app in ("a", "b")})
    lab.add("without", {"environments/production.yaml": "components: {}\n"})
    lab.add("busy", {"environments/production.yaml": gray})
    bump = campaign(bumping("mesh", NEW, ()), "pipegraft/bump")
    found = propose(forge, bump)
    assert states(found) == {"one": "proposed", "many": "proposed", "without": "skipped", "busy": "refused"}
    assert "a gray release is under way" in found["busy"].note
    assert lab.repositories[1].read("environments/production.yaml", "pipegraft/bump") == ENVIRONMENT.replace(
        OLD, NEW
    )
    assert set(found["many"].edit.files) == {f"{app}/environments/production.yaml" for app in ("a", "b")}


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({}, "there is no app.yaml"),
        ({"app.yaml": "app: one\ncomponents: {web: {}}\n"}, "mesh"),
        ({"app.yaml": APP, "rendered/production/manifests.yaml": "kind: Pod\n"}, "manifests are committed"),
    ],
)
def test_an_image_goes_only_where_what_follows_from_it_is_known(
    lab: Lab, forge: GitLabGroup, beside: Mapping[str, str], message: str
) -> None:
    lab.add("one", {"environments/production.yaml": ENVIRONMENT, **beside})
    found = propose(forge, campaign(bumping("mesh", NEW, ()), "pipegraft/bump"))
    assert found["one"].state == "refused"
    assert message in found["one"].note
    assert not lab.requests


def test_an_image_without_a_digest_is_refused() -> None:
    with pytest.raises(UsageError, match="expected an image pinned by digest"):
        bumping("mesh", "registry.example.com/mesh:latest", ())


def test_where_there_is_no_pipeline_to_wait_for_a_request_is_merged_at_once(
    lab: Lab, forge: GitLabGroup
) -> None:
    lab.merges_behind_pipelines = True
    for name in ("without", "with"):
        lab.add(name, {"app.yaml": APP, "environments/production.yaml": ENVIRONMENT})
    lab.run(2, 1.0, "success")
    bump = campaign(bumping("mesh", NEW, ()), "pipegraft/bump", auto_merge=True)
    propose(forge, bump)
    states = {one["project_id"]: (one["state"], one["auto"]) for one in lab.requests}
    assert states == {1: ("merged", False), 2: ("opened", True)}
    assert lab.repositories[1].read("environments/production.yaml", "main") == ENVIRONMENT.replace(OLD, NEW)


def test_what_people_pushed_to_the_branch_is_not_merged_along(lab: Lab, forge: GitLabGroup) -> None:
    lab.add("one", {"app.yaml": APP, "environments/production.yaml": ENVIRONMENT})
    bump = campaign(bumping("mesh", NEW, ()), "pipegraft/bump")
    propose(forge, bump)
    seen = forge.proposals("pipegraft/bump")[1]
    lab.requests[0]["sha"] = "f" * 40
    forge.merge_when_ready(select(forge, ())[0], seen)
    assert (lab.requests[0]["state"], lab.requests[0]["auto"]) == ("opened", False)
