"""A double of GitLab's REST API for a group with many projects, each a real git repository.

It refuses every parameter that the documentation does not name for a call. docs.gitlab.com/api: groups,
repository_files, repositories, branches, commits, merge_requests, pipelines; pagination by ``Link`` headers.
"""

from __future__ import annotations

import base64
import json
import math
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from gitlab_double import Refused, checked

TOKEN = "glpat-group"
PERIOD = 60.0
"""Seconds of a rate limit."""


class Repository:
    """A bare git repository."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", folder], check=True)
        self.write("main", None, "first commit", files)

    def git(self, *words: str, data: bytes | None = None) -> bytes:
        return subprocess.run(
            ["git", "-C", self.folder, *words], input=data, check=True, capture_output=True
        ).stdout

    def name(self, revision: str) -> str | None:
        found = subprocess.run(
            ["git", "-C", self.folder, "rev-parse", "-q", "--verify", f"{revision}^{{commit}}"],
            capture_output=True,
            check=False,
        )
        return found.stdout.decode().strip() or None

    def read(self, path: str, at: str) -> str | None:
        found = subprocess.run(
            ["git", "-C", self.folder, "cat-file", "blob", f"{at}:{path}"], capture_output=True, check=False
        )
        return None if found.returncode else found.stdout.decode()

    def paths(self, at: str) -> list[str]:
        return self.git("ls-tree", "-r", "--name-only", "-z", at).decode().rstrip("\0").split("\0")

    def message(self, at: str) -> str:
        return self.git("log", "-1", "--format=%B", at).decode()

    def write(self, branch: str, start: str | None, message: str, files: Mapping[str, str | None]) -> str:
        said = message.encode()
        lines = [f"commit refs/heads/{branch}\ncommitter Ada <ada@example.com> 1700000000 +0000\n".encode()]
        lines += [b"data %d\n%s\n" % (len(said), said)]
        lines += [f"from {start}\n".encode()] if start else []
        for path, text in files.items():
            if text is None:
                lines.append(f"D {path}\n".encode())
            else:
                content = text.encode()
                lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content))
        with self._lock:
            self.git("fast-import", "--quiet", "--force", data=b"".join(lines))
        made = self.name(branch)
        assert made
        return made

    @contextmanager
    def worktree(self, at: str) -> Iterator[Callable[..., str]]:
        """A folder with a commit checked out, where git's words are run; each answers what git printed."""
        with tempfile.TemporaryDirectory() as folder, self._lock:
            place = Path(folder) / "tree"
            self.git("worktree", "add", "-q", "--detach", str(place), at)
            who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]

            def run(*words: str) -> str:
                done = subprocess.run(["git", "-C", place, *who, *words], capture_output=True, check=True)
                return done.stdout.decode().strip()

            try:
                yield run
            finally:
                self.git("worktree", "remove", "--force", str(place))

    def merge(self, branch: str, method: str, title: str, *, squash: bool) -> dict[str, Any]:
        """Merge a branch into main; answers what GitLab's merge request says of it.

        Arguments:
            method: the project's setting: ``merge``, ``rebase_merge`` (semi-linear) or ``ff``.
        """
        with self.worktree("main") as run:
            before = run("rev-parse", "HEAD")
            picked, squashed = run("rev-parse", branch), None
            if squash:
                run("merge", "-q", "--squash", branch)
                run("commit", "-q", "-m", title)
                picked = squashed = run("rev-parse", "HEAD")
            elif method != "merge":
                if run("merge-base", "HEAD", branch) == before:
                    run("merge", "-q", "--ff-only", branch)
                else:
                    run("cherry-pick", f"HEAD..{branch}")
                picked = run("rev-parse", "HEAD")
            if method != "ff":
                run("reset", "-q", "--hard", before)
                run("merge", "-q", "--no-ff", "-m", f"Merge branch '{branch}' into 'main'", picked)
            head = run("rev-parse", "HEAD")
            went = run("rev-list", f"{before}..{branch if squash else picked}").split()
            run("update-ref", "refs/heads/main", head, before)
        return {
            "merge_commit_sha": None if method == "ff" else head,
            "squash_commit_sha": squashed,
            "sha": went[0],
            "commits": went,
        }

    def changed(self, commit: str) -> dict[str, tuple[str | None, str | None]]:
        names = self.git("diff-tree", "-r", "--name-only", "--no-commit-id", commit).decode().split()
        return {name: (self.read(name, f"{commit}^"), self.read(name, commit)) for name in names}


class Lab:
    """The group's state and what a test may see or set.

    Arguments:
        before: called with method and path before a request is served; may raise `Refused`.
        merging: status that a request to merge is refused with, 0 to take it.
        limit: requests that are answered in `PERIOD` seconds, None for no limit.
        tells: whether answers have headers that tell of the limit.
        time: seconds since the epoch, as the server's clock has it.
        refused: how many requests were over the limit.
        merges_behind_pipelines: refuse auto-merge where there is no pipeline to wait for, as GitLab does.
        after: called with them once it was served; if it raises, the client hears nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.projects: dict[int, dict[str, Any]] = {}
        self.repositories: dict[int, Repository] = {}
        self.requests: list[dict[str, Any]] = []
        self.pipelines: dict[int, list[dict[str, Any]]] = {}
        self.calls: list[tuple[str, str]] = []
        self.merging = 0
        self.merges_behind_pipelines = False
        self.limit: int | None = None
        self.left = 0
        self.ends = 0.0
        self.tells = True
        self.time: Callable[[], float] = time.time
        self.refused = 0
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self.after: Callable[[str, str], None] = lambda _method, _path: None
        self._lock = threading.Lock()

    def take(self) -> None:
        """Count a request against the rate limit."""
        with self._lock:
            if self.limit is None:
                return
            if self.time() >= self.ends:
                self.left, self.ends = self.limit, self.time() + PERIOD
            if self.left == 0:
                self.refused += 1
                raise Refused(429, "Retry later")
            self.left -= 1

    def add(self, path: str, files: Mapping[str, str] | None, **more: Any) -> int:
        number = len(self.projects) + 1
        branch = None if files is None else "main"
        self.projects[number] = {
            "id": number,
            "path_with_namespace": f"acme/{path}",
            "default_branch": branch,
            "web_url": f"{self.url}/acme/{path}",
            "http_url_to_repo": str(self.folder / f"{number}.git"),
            "archived": False,
            "ci_config_path": None,
            "merge_method": "merge",
            **more,
        }
        if files is not None:
            self.repositories[number] = Repository(self.folder / f"{number}.git", files)
        return number

    def files(self, number: int) -> dict[str, str | None]:
        held = self.repositories[number]
        return {path: held.read(path, "main") for path in held.paths("main")}

    def run(self, number: int, at: float, status: str) -> None:
        runs = self.pipelines.setdefault(number, [])
        created = datetime.fromtimestamp(at, UTC).isoformat()
        runs.append(
            {"id": len(runs) + 1, "status": status, "created_at": created, "ref": "main", "web_url": "u"}
        )

    def merge(self, request: dict[str, Any], at: float) -> None:
        number = request["project_id"]
        method, squash = self.projects[number]["merge_method"], bool(request.get("squash"))
        merged = self.repositories[number].merge(
            request["source_branch"], method, request["title"], squash=squash
        )
        merged_at = datetime.fromtimestamp(at, UTC).isoformat()
        request.update(merged, state="merged", merged_at=merged_at)

    def opened(self, branch: str | None = None) -> list[dict[str, Any]]:
        return [
            one
            for one in self.requests
            if one["state"] == "opened" and branch in (None, one["source_branch"])
        ]

    def create_request(self, number: int, given: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            same = [
                one
                for one in self.opened(given["source_branch"])
                if one["project_id"] == one["source_project_id"] == number
            ]
            if same:
                raise Refused(409, "Another open merge request already exists for this source branch")
            iid = 1 + sum(one["project_id"] == number for one in self.requests)
            web = f"{self.projects[number]['web_url']}/-/merge_requests/{iid}"
            labels = [label for label in given.get("labels", "").split(",") if label]
            made = {
                "iid": iid,
                "project_id": number,
                "source_project_id": number,
                "state": "opened",
                "web_url": web,
                "sha": self.repositories[number].name(given["source_branch"]),
                "auto": False,
                **given,
                "labels": labels,
            }
            self.requests.append(made)
            return made


def list_projects(lab: Lab, given: dict[str, Any]) -> Any:
    checked(
        given,
        set(),
        {"include_subgroups", "archived", "with_shared", "order_by", "sort", "per_page", "page", "search"},
    )
    wanted = given.get("archived")
    return [
        one
        for one in lab.projects.values()
        if wanted is None or one["archived"] == (wanted.lower() == "true")
    ]


def list_group_requests(lab: Lab, given: dict[str, Any]) -> Any:
    optional = {"state", "scope", "source_branch", "labels", "order_by", "sort", "per_page", "page"}
    checked(given, set(), optional)
    return [
        one
        for one in lab.requests
        if given.get("state", "all") in ("all", one["state"])
        and given.get("source_branch", one["source_branch"]) == one["source_branch"]
        and ("labels" not in given or given["labels"] in one["labels"])
    ]


def get_file(lab: Lab, given: dict[str, Any], number: int, path: str) -> Any:
    checked(given, {"ref"}, set())
    text = lab.repositories[number].read(path, given["ref"])
    if text is None:
        raise Refused(404, "404 File Not Found")
    content = base64.b64encode(text.encode()).decode()
    return {"file_path": path, "encoding": "base64", "content": content, "ref": given["ref"]}


def get_tree(lab: Lab, given: dict[str, Any], number: int) -> Any:
    checked(given, set(), {"ref", "recursive", "path", "per_page", "page", "pagination"})
    return [{"path": path, "type": "blob"} for path in lab.repositories[number].paths(given["ref"])]


def get_branch(lab: Lab, given: dict[str, Any], number: int, branch: str) -> Any:
    checked(given, set(), set())
    name = lab.repositories[number].name(f"refs/heads/{branch}")
    if name is None:
        raise Refused(404, "404 Branch Not Found")
    return {"name": branch, "commit": {"id": name, "message": lab.repositories[number].message(name)}}


def create_branch(lab: Lab, given: dict[str, Any], number: int) -> Any:
    checked(given, {"branch", "ref"}, set())
    held = lab.repositories[number]
    if held.name(f"refs/heads/{given['branch']}"):
        raise Refused(400, "Branch already exists")
    held.git("branch", given["branch"], given["ref"])
    return get_branch(lab, {}, number, given["branch"])


def delete_branch(lab: Lab, given: dict[str, Any], number: int, branch: str) -> Any:
    checked(given, set(), set())
    lab.repositories[number].git("branch", "-D", branch)
    return {}


def create_commit(lab: Lab, given: dict[str, Any], number: int) -> Any:
    optional = {"start_branch", "start_sha", "force", "author_email", "author_name", "stats"}
    checked(given, {"branch", "commit_message", "actions"}, optional)
    held = lab.repositories[number]
    if held.name(f"refs/heads/{given['branch']}") and not given.get("force"):
        raise Refused(400, f"A branch called '{given['branch']}' already exists.")
    start = held.name(given["start_branch"])
    texts: dict[str, str | None] = {}
    for action in given["actions"]:
        checked(action, {"action", "file_path"}, {"content", "encoding", "last_commit_id"})
        there = held.read(action["file_path"], given["start_branch"]) is not None
        if action["action"] == "create" and there:
            raise Refused(400, "A file with this name already exists")
        if action["action"] in {"update", "delete"} and not there:
            raise Refused(400, "A file with this name doesn't exist")
        texts[action["file_path"]] = action.get("content")
    made = held.write(given["branch"], start, given["commit_message"], texts)
    for one in lab.opened(given["branch"]):
        if one["project_id"] == one["source_project_id"] == number:
            one["sha"] = made
    return {"id": made}


def revert_commit(lab: Lab, given: dict[str, Any], number: int, commit: str) -> Any:
    checked(given, {"branch"}, {"dry_run"})
    held = lab.repositories[number]
    with held.worktree(f"refs/heads/{given['branch']}") as run:
        before = run("rev-parse", "HEAD")
        mainline = ["-m", "1"] if " " in run("log", "-1", "--format=%P", commit) else []
        try:
            run("revert", "--no-edit", *mainline, commit)
        except subprocess.CalledProcessError:  # a conflict, or nothing is left to revert
            message = "Sorry, we cannot revert this commit automatically. This commit may already have been"
            raise Refused(400, f"{message} reverted, or a more recent commit may have updated it.") from None
        made = run("rev-parse", "HEAD")
        run("update-ref", f"refs/heads/{given['branch']}", made, before)
    return {"id": made}


def list_request_commits(lab: Lab, given: dict[str, Any], number: int, iid: str) -> Any:
    checked(given, set(), {"per_page", "page"})
    request = _request(lab, number, iid)
    tip = f"main..{request['source_branch']}"
    found = request.get("commits") or lab.repositories[number].git("rev-list", tip).decode().split()
    return [{"id": commit} for commit in found]


def list_requests(lab: Lab, given: dict[str, Any], number: int) -> Any:
    checked(given, set(), {"state", "source_branch", "per_page", "page"})
    return [
        one
        for one in lab.requests
        if one["project_id"] == number
        and given.get("state", "all") in ("all", one["state"])
        and given.get("source_branch", one["source_branch"]) == one["source_branch"]
    ]


def create_request(lab: Lab, given: dict[str, Any], number: int) -> Any:
    optional = {"description", "labels", "remove_source_branch", "squash"}
    checked(given, {"source_branch", "target_branch", "title"}, optional)
    return lab.create_request(number, given)


def _request(lab: Lab, number: int, iid: str) -> dict[str, Any]:
    return next(one for one in lab.requests if (one["project_id"], one["iid"]) == (number, int(iid)))


def update_request(lab: Lab, given: dict[str, Any], number: int, iid: str) -> Any:
    checked(given, set(), {"title", "description", "labels", "state_event", "target_branch"})
    request = _request(lab, number, iid)
    if given.pop("state_event", "") == "close":
        given["state"] = "closed"
    if "labels" in given:
        given["labels"] = given["labels"].split(",")
    request.update(given)
    return request


def merge_request(lab: Lab, given: dict[str, Any], number: int, iid: str) -> Any:
    checked(given, set(), {"merge_when_pipeline_succeeds", "auto_merge", "sha", "squash"})
    request = _request(lab, number, iid)
    if lab.merging:
        raise Refused(lab.merging, "not now")
    if given.get("sha", request["sha"]) != request["sha"]:
        raise Refused(409, "SHA does not match HEAD of source branch")
    behind_pipeline = bool(given.get("auto_merge") or given.get("merge_when_pipeline_succeeds"))
    if behind_pipeline and lab.merges_behind_pipelines and not lab.pipelines.get(number):
        raise Refused(405, "405 Method Not Allowed")
    if behind_pipeline:
        request["auto"] = True
    else:
        lab.merge(request, at=100.0)
    return request


def list_pipelines(lab: Lab, given: dict[str, Any], number: int) -> Any:
    checked(given, set(), {"ref", "status", "order_by", "sort", "updated_after", "per_page", "page"})
    return sorted(lab.pipelines.get(number, []), key=lambda one: -one["id"])


GROUP: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", r"/projects", list_projects),
    ("GET", r"/merge_requests", list_group_requests),
]
PROJECT: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", r"/repository/files/([^/]+)", get_file),
    ("GET", r"/repository/tree", get_tree),
    ("GET", r"/repository/branches/([^/]+)", get_branch),
    ("POST", r"/repository/branches", create_branch),
    ("DELETE", r"/repository/branches/([^/]+)", delete_branch),
    ("POST", r"/repository/commits", create_commit),
    ("POST", r"/repository/commits/([^/]+)/revert", revert_commit),
    ("GET", r"/merge_requests", list_requests),
    ("POST", r"/merge_requests", create_request),
    ("PUT", r"/merge_requests/(\d+)", update_request),
    ("PUT", r"/merge_requests/(\d+)/merge", merge_request),
    ("GET", r"/merge_requests/(\d+)/commits", list_request_commits),
    ("GET", r"/pipelines", list_pipelines),
]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lab: Lab

    def do_GET(self) -> None:
        self._serve(dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._serve(json.loads(body or b"{}") | dict(parse_qsl(urlsplit(self.path).query)))

    do_PUT = do_POST  # noqa: N815 - the names are the HTTP methods'
    do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.lab.time() if timestamp is None else timestamp)

    def _serve(self, given: dict[str, Any]) -> None:
        path = urlsplit(self.path).path
        self.lab.calls.append((self.command, path))
        links = ""
        try:
            self.lab.take()
            self.lab.before(self.command, path)
            status, answer = 200, self._answer(path, given)
            if isinstance(answer, list):
                answer, links = self._page(answer, path, given)
            self.lab.after(self.command, path)
        except Refused as refused:
            status, answer = refused.status, {"message": refused.message}
        except ConnectionAbortedError:
            self.close_connection = True
            return
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if links:
            self.send_header("Link", links)
        if self.lab.limit is not None and self.lab.tells:
            reset = math.ceil(self.lab.ends)  # a Unix time, as GitLab's documentation of rate limits says
            for name, value in (("Limit", self.lab.limit), ("Remaining", self.lab.left), ("Reset", reset)):
                self.send_header(f"RateLimit-{name}", str(value))
        if status == 429:
            left = math.ceil(self.lab.ends - self.lab.time()) if self.lab.limit else 0
            self.send_header("Retry-After", str(max(0, left)))
        self.end_headers()
        self.wfile.write(content)

    def _page(self, answer: list[Any], path: str, given: dict[str, Any]) -> tuple[list[Any], str]:
        size, page = int(given.get("per_page", 20)), int(given.get("page", 1))
        if size > 100:
            raise Refused(400, "per_page does not have a valid value")
        link = ""
        if page * size < len(answer):
            query = urlencode({**given, "page": page + 1})
            link = f'<{self.lab.url}{path}?{query}>; rel="next"'
        return answer[(page - 1) * size : page * size], link

    def _answer(self, path: str, given: dict[str, Any]) -> Any:
        if self.headers.get("PRIVATE-TOKEN") != TOKEN:
            raise Refused(401, "401 Unauthorized")
        if found := re.fullmatch(r"/api/v4/groups/acme(/.*)", path):
            return self._routed(GROUP, found[1], given)
        if found := re.fullmatch(r"/api/v4/projects/(\d+)(/.*)", path):
            return self._routed(PROJECT, found[2], given, int(found[1]))
        raise Refused(404, "404 Group Not Found")

    def _routed(
        self, routes: list[tuple[str, str, Callable[..., Any]]], below: str, given: dict[str, Any], *more: int
    ) -> Any:
        for method, pattern, route in routes:
            if method == self.command and (found := re.fullmatch(pattern, below)):
                return route(self.lab, given, *more, *(unquote(group) for group in found.groups()))
        raise Refused(404, "404 Not Found")


@contextmanager
def serve_group(folder: Path) -> Iterator[Lab]:
    """Run the double with an empty group ``acme``; its repositories are below `folder`."""
    lab = Lab(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"lab": lab}))
    server.daemon_threads = True
    lab.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield lab
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
