"""The IaC repository over GitLab's API, and releases as merge requests, against a strict double."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from gitlab_double import TOKEN, GitLab, serve_gitlab

from pipegraft.core.delivery import MergeRequest
from pipegraft.core.errors import AccessDenied, Held, Locked, TipMoved, Unreachable, UsageError, Vetoed
from pipegraft.core.ports import FakeClock
from pipegraft.core.release import Source
from pipegraft.iac.adapters.gitlab import GitLabBranch, MergeRequestBranch, open_gitlab_project
from pipegraft.iac.commits import commit_message, release_trailers
from pipegraft.iac.optimistic_commit import Changes, rewrite
from pipegraft.iac.ports import IacBranch, NewerProposed
from pipegraft.testing.iac_suite import Clients, IacBranchSuite

FILES = {"app.yaml": "app: shop\n", "environments/production.yaml": "a: 1\n"}
PATH = "environments/production.yaml"


@pytest.fixture
def lab() -> Iterator[GitLab]:
    with serve_gitlab(FILES) as running:
        yield running


def branch_of(lab: GitLab, token: str = TOKEN) -> GitLabBranch:
    project = open_gitlab_project(f"{lab.url}/iac/shop.git", {"PIPEGRAFT_IAC_TOKEN": token})
    return GitLabBranch(project, "main")


class TestGitLabIsConformant(IacBranchSuite):
    @pytest.fixture
    def clients(self) -> Iterator[Clients]:
        with serve_gitlab({}) as lab:

            def make(files: Mapping[str, str]) -> Callable[[], IacBranch]:
                lab.commits.clear()
                lab.branches.clear()
                lab.commit("main", files, "first commit")
                return lambda: branch_of(lab)

            yield make


def test_a_file_that_changed_in_the_last_moment_is_not_overwritten(lab: GitLab) -> None:
    branch = branch_of(lab)
    tip = branch.tip()

    def somebody_else(method: str, _path: str) -> None:
        if method == "POST":
            lab.before = lambda _method, _path: None
            lab.commit("main", {PATH: "theirs\n"}, "theirs")

    lab.before = somebody_else
    with pytest.raises(TipMoved, match="has changed since"):
        branch.commit({PATH: "ours\n"}, "ours", tip)
    assert lab.commits[lab.branches["main"]].files[PATH] == "theirs\n"


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "9:reference does not point to expected object", TipMoved),
        (400, "Commit message does not follow the pattern: pre-receive hook declined", Vetoed),
        (400, "branch is invalid", UsageError),
        (401, "401 Unauthorized", AccessDenied),
        (401, "<html>\n<h1>Proxy</h1>\n</html>\n", AccessDenied),
        (403, "You are not allowed to push into this branch", AccessDenied),
        (409, "Conflict", Locked),
        (500, "500 Internal Server Error", Unreachable),
        (502, "Bad Gateway", Unreachable),
        (503, "Service Unavailable", Unreachable),
    ],
)
def test_what_gitlab_answers_is_translated(
    lab: GitLab, status: int, message: str, kind: type[Exception]
) -> None:
    branch = branch_of(lab)
    tip = branch.tip()
    lab.failures["POST", "/repository/commits"] = [(status, message)]
    with pytest.raises(kind, match="iac/shop") as caught:
        branch.commit({PATH: "ours\n"}, "ours", tip)
    assert TOKEN not in str(caught.value)
    assert "<" not in str(caught.value)
    assert lab.branches["main"] == tip


def test_the_race_of_parallel_commits_and_a_busy_server_are_waited_out(lab: GitLab) -> None:
    race = (400, "9:reference does not point to expected object")
    lab.failures["POST", "/repository/commits"] = [race, (409, "Conflict"), (503, "busy"), race]
    lab.failures["GET", "/repository/branches/main"] = [(429, "Retry later")]
    done = rewrite(branch_of(lab), lambda _read: Changes({PATH: "ours\n"}, "m"))
    assert done.written
    assert lab.commits[lab.branches["main"]].files[PATH] == "ours\n"


def test_a_token_or_project_that_is_wrong_is_told(lab: GitLab) -> None:
    with pytest.raises(AccessDenied, match="refused the token"):
        branch_of(lab, "wrong").tip()
    project = open_gitlab_project(f"{lab.url}/iac/other.git", {"PIPEGRAFT_IAC_TOKEN": TOKEN})
    with pytest.raises(AccessDenied, match="there is no iac/other"):
        GitLabBranch(project, "main").tip()
    project = open_gitlab_project(f"{lab.url}/iac/shop.git", {"PIPEGRAFT_IAC_TOKEN": TOKEN})
    with pytest.raises(UsageError, match="branch 'release'"):
        GitLabBranch(project, "release").tip()
    with pytest.raises(UsageError, match="needs a token"):
        open_gitlab_project(f"{lab.url}/iac/shop.git", {})
    with pytest.raises(UsageError, match="URL of a GitLab project"):
        open_gitlab_project("../iac.git", {"PIPEGRAFT_IAC_TOKEN": TOKEN})


def test_a_server_that_is_not_there_is_unreachable() -> None:
    project = open_gitlab_project("http://127.0.0.1:9/iac/shop.git", {"PIPEGRAFT_IAC_TOKEN": TOKEN})
    with pytest.raises(Unreachable, match="iac/shop"):
        GitLabBranch(project, "main").tip()


@pytest.mark.parametrize(
    ("repository", "known", "base"),
    [
        ("https://me:pw@git.example.com/iac/shop.git", "", "https://git.example.com"),
        (
            "https://example.com/gitlab/iac/shop.git",
            "https://example.com/gitlab",
            "https://example.com/gitlab",
        ),
        ("git@git.example.com:iac/shop.git", "", "https://git.example.com"),
        ("ssh://git@git.example.com:2222/iac/shop.git", "", "https://git.example.com"),
    ],
)
def test_the_server_of_a_url(repository: str, known: str, base: str) -> None:
    project = open_gitlab_project(repository, {"PIPEGRAFT_IAC_TOKEN": TOKEN, "CI_SERVER_URL": known})
    assert (project.manager.gitlab.url, project.encoded_id) == (base, "iac%2Fshop")


def release(number: int) -> str:
    source = Source(commit=f"{number:040x}", number=number)
    return commit_message(
        f"release {number}", ["web: a → b"], release_trailers("shop", "production", source, "bump")
    )


class Requests:
    """A branch that is written by merge requests, and what happens to them."""

    def __init__(self, lab: GitLab, **settings: object) -> None:
        self.lab = lab
        self.clock = FakeClock()
        project = open_gitlab_project(f"{lab.url}/iac/shop.git", {"PIPEGRAFT_IAC_TOKEN": TOKEN})
        self.branch = MergeRequestBranch(project, "main", MergeRequest.model_validate(settings), self.clock)

    def commit(self, number: int) -> str:
        return self.branch.commit({PATH: f"a: {number}\n"}, release(number), self.branch.tip())


def test_a_release_is_one_merge_request_brought_up_to_date_in_place(lab: GitLab) -> None:
    requests = Requests(
        lab, labels=["release", "shop"], description="{Release} of {App}: {unknown}\n\n{message}"
    )
    main = lab.branches["main"]
    first = requests.commit(13)
    assert lab.branches == {"main": main, "pipegraft/shop/production": first}
    second = requests.commit(14)
    assert lab.branches == {"main": main, "pipegraft/shop/production": second}
    assert lab.commits[second].parent == main
    assert lab.commits[second].files == FILES | {PATH: "a: 14\n"}
    (request,) = lab.requests
    assert request["title"] == "release 14"
    assert request["description"] == "14 of shop: {unknown}\n\n" + release(14).strip()
    assert request["labels"] == "release,shop"
    assert (request["auto"], request["squash"], request["remove_source_branch"]) == (True, False, True)


def test_an_older_release_does_not_replace_a_newer_one_that_waits(lab: GitLab) -> None:
    requests = Requests(lab)
    newer = requests.commit(14)
    posts = [call for call in lab.calls if call.startswith(("POST", "PUT"))]
    with pytest.raises(NewerProposed) as caught:
        requests.commit(13)
    assert (caught.value.commit, caught.value.number) == (newer, 14)
    assert [call for call in lab.calls if call.startswith(("POST", "PUT"))] == posts
    assert lab.branches["pipegraft/shop/production"] == newer
    lab.requests[0]["state"] = "closed"  # people said no to it
    assert requests.commit(13) == lab.branches["pipegraft/shop/production"] != newer


def test_running_again_changes_nothing(lab: GitLab) -> None:
    requests = Requests(lab)
    first = requests.commit(13)
    posts = [call for call in lab.calls if call.startswith("POST")]
    assert requests.commit(13) == first
    assert [call for call in lab.calls if call.startswith("POST")] == posts


def test_auto_merge_can_be_left_to_people(lab: GitLab) -> None:
    Requests(lab, **{"auto-merge": False}).commit(13)
    assert not lab.requests[0]["auto"]


def test_a_request_that_cannot_be_merged_yet_waits_for_people(lab: GitLab) -> None:
    lab.failures["PUT", r"/merge_requests/1/merge"] = [(405, "405 Method Not Allowed")]
    assert Requests(lab).commit(13) == lab.branches["pipegraft/shop/production"]


def test_waiting_for_the_merge(lab: GitLab) -> None:
    requests = Requests(lab, wait="10m")
    looks = []

    def merge_at_third_look(method: str, path: str) -> None:
        if method == "GET" and path.endswith("/merge_requests/1"):
            looks.append(path)
            if len(looks) == 3:
                lab.requests[0] |= {"state": "merged", "merge_commit_sha": "f" * 40}

    lab.before = merge_at_third_look
    assert requests.commit(13) == "f" * 40
    assert requests.clock.slept == [5.0, 5.0]


@pytest.mark.parametrize("state", ["opened", "closed"])
def test_a_merge_that_does_not_come_holds_the_release(lab: GitLab, state: str) -> None:
    requests = Requests(lab, wait="1m")
    lab.before = lambda _method, _path: [one.update(state=state) for one in lab.requests]  # type: ignore[assignment,return-value]
    with pytest.raises(Held, match=r"merge_requests/1 "):
        requests.commit(13)


def test_commits_have_the_author_that_is_declared_and_else_the_user_of_the_token(lab: GitLab) -> None:
    project = open_gitlab_project(f"{lab.url}/iac/shop.git", {"PIPEGRAFT_IAC_TOKEN": TOKEN})
    declared = "Ada Lovelace <ada@example.com>"
    branches = (
        GitLabBranch(project, "main", declared),
        MergeRequestBranch(project, "main", MergeRequest(), FakeClock(), declared),
        GitLabBranch(project, "main"),
    )
    for number, branch in enumerate(branches):
        branch.commit({PATH: f"a: {number + 7}\n"}, release(number), branch.tip())
    who = {"author_name": "Ada Lovelace", "author_email": "ada@example.com"}
    assert lab.authors == [who, who, {}]
