"""A double of GitLab's REST API for IaC projects.

It refuses every parameter that the documentation does not name for a call, and everything it lacks:
docs.gitlab.com/api: commits, repository_files, branches, repositories, merge_requests. Failures that are
documented or known from issues are replayed when a test asks for them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

TOKEN = "glpat-double"
PROJECT = "/api/v4/projects/iac%2Fshop"


@dataclass
class Made:
    """One commit."""

    id: str
    parent: str | None
    files: dict[str, str]
    message: str


@dataclass
class GitLab:
    """The project's state and what a test may see or set.

    Arguments:
        failures: method and path pattern → answers to give first, as status and message.
        before: called with method and path before each request is served.
        authors: what each request for a commit said of its author.
    """

    url: str = ""
    commits: dict[str, Made] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    authors: list[dict[str, str]] = field(default_factory=list)
    failures: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)
    before: Callable[[str, str], None] = lambda _method, _path: None
    token: dict[str, Any] = field(default_factory=lambda: {"scopes": ["api"], "expires_at": None})
    level: int = 40

    def commit(
        self, branch: str, files: Mapping[str, str | None], message: str, start: str | None = None
    ) -> str:
        parent = start or self.branches.get(branch)
        held = dict(self.commits[parent].files) if parent else {}
        tree = {path: text for path, text in {**held, **files}.items() if text is not None}
        content = repr((tree, parent, message, len(self.commits))).encode()
        name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        self.commits[name] = Made(name, parent, tree, message)
        self.branches[branch] = name
        return name

    def line(self, name: str | None) -> Iterator[Made]:
        while name:
            yield self.commits[name]
            name = self.commits[name].parent

    def last_commit(self, path: str, at: str) -> str:
        found = at
        for one in self.line(at):
            if one.files.get(path) != self.commits[at].files.get(path):
                break
            found = one.id
        return found


class Refused(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


def checked(given: Mapping[str, Any], required: set[str], optional: set[str]) -> None:
    if unknown := given.keys() - required - optional:
        raise Refused(400, f"undocumented parameters: {sorted(unknown)}")
    if missing := required - given.keys():
        raise Refused(400, f"{min(missing)} is missing")


def show(made: Made) -> dict[str, Any]:
    return {
        "id": made.id,
        "parent_ids": [made.parent] if made.parent else [],
        "message": made.message,
        "author_name": "Ada",
        "author_email": "ada@example.com",
        "committed_date": datetime(2024, 5, 1, tzinfo=UTC).isoformat(),
    }


def get_branch(lab: GitLab, given: dict[str, Any], name: str) -> Any:
    checked(given, set(), set())
    if name not in lab.branches:
        raise Refused(404, "404 Branch Not Found")
    return {"name": name, "commit": show(lab.commits[lab.branches[name]])}


def list_branches(lab: GitLab, given: dict[str, Any]) -> Any:
    checked(given, set(), {"search", "regex", "per_page", "page"})
    search = given.get("search", "")
    pattern = re.compile(search if search.startswith("^") else re.escape(search))
    return [get_branch(lab, {}, name) for name in lab.branches if pattern.search(name)]


def get_file(lab: GitLab, given: dict[str, Any], path: str) -> Any:
    checked(given, {"ref"}, set())
    at = lab.branches.get(given["ref"], given["ref"])
    if at not in lab.commits or path not in lab.commits[at].files:
        raise Refused(404, "404 File Not Found")
    content = base64.b64encode(lab.commits[at].files[path].encode()).decode()
    return {
        "file_path": path,
        "encoding": "base64",
        "content": content,
        "ref": given["ref"],
        "commit_id": at,
        "last_commit_id": lab.last_commit(path, at),
    }


def list_tree(lab: GitLab, given: dict[str, Any]) -> Any:
    checked(given, set(), {"path", "ref", "recursive", "per_page", "page", "pagination"})
    at = lab.branches.get(given["ref"], given["ref"])
    start = f"{given['path']}/" if given.get("path") else ""
    found = [path for path in lab.commits[at].files if path.startswith(start)]
    if not found:
        raise Refused(404, "404 invalid revision or path Not Found")
    return [{"path": path, "type": "blob", "name": path.rpartition("/")[2]} for path in found]


def create_commit(lab: GitLab, given: dict[str, Any]) -> Any:
    optional = {"start_branch", "start_sha", "start_project", "author_email", "author_name", "stats", "force"}
    checked(given, {"branch", "commit_message", "actions"}, optional)
    lab.authors.append({key: value for key, value in given.items() if key.startswith("author_")})
    branch, start = given["branch"], given.get("start_sha")
    if start and branch in lab.branches and not given.get("force"):
        raise Refused(
            400, f"A branch called '{branch}' already exists. Switch to that branch to make changes"
        )
    tip = start or lab.branches[branch]
    held = lab.commits[tip].files
    files: dict[str, str | None] = {}
    for action in given["actions"]:
        guards = {"content", "previous_path", "encoding", "last_commit_id", "execute_filemode"}
        checked(action, {"action", "file_path"}, guards)
        path = action["file_path"]
        if action["action"] == "create" and path in held:
            raise Refused(400, "A file with this name already exists")
        if action["action"] in {"update", "delete"}:
            if path not in held:
                raise Refused(400, "A file with this name doesn't exist")
            if action.get("last_commit_id", "") not in {"", lab.last_commit(path, tip)}:
                raise Refused(
                    400, "You are attempting to update a file that has changed since you started editing it."
                )
        if any(other.startswith(f"{path}/") or path.startswith(f"{other}/") for other in held):
            raise Refused(400, "A directory with this name already exists")
        files[path] = action.get("content")
    return show(lab.commits[lab.commit(branch, files, given["commit_message"], start)])


def list_commits(lab: GitLab, given: dict[str, Any]) -> Any:
    checked(given, set(), {"ref_name", "path", "first_parent", "per_page", "page", "since", "until", "all"})
    path = given.get("path")
    found = []
    for one in lab.line(lab.branches[given["ref_name"]]):
        before = lab.commits[one.parent].files if one.parent else {}
        if path is None or one.files.get(path) != before.get(path):
            found.append(show(one))
    size, page = int(given.get("per_page", 20)), int(given.get("page", 1))
    return found[(page - 1) * size : page * size]


def merge_base(lab: GitLab, given: dict[str, Any]) -> Any:
    checked(given, {"refs[]"}, set())
    lines = []
    for name in given["refs[]"]:
        if name not in lab.commits:
            raise Refused(404, f"404 Could not find ref: {name}")
        lines.append([one.id for one in lab.line(name)])
    return show(lab.commits[next(name for name in lines[0] if name in lines[1])])


def list_requests(lab: GitLab, given: dict[str, Any]) -> Any:
    checked(given, set(), {"state", "source_branch", "target_branch", "labels", "per_page", "page"})
    keys = ("state", "source_branch", "target_branch")
    return [one for one in lab.requests if all(one[key] == given.get(key, one[key]) for key in keys)]


def create_request(lab: GitLab, given: dict[str, Any]) -> Any:
    optional = {"description", "labels", "remove_source_branch", "squash", "assignee_id", "milestone_id"}
    checked(given, {"source_branch", "target_branch", "title"}, optional)
    if list_requests(lab, {"state": "opened", "source_branch": given["source_branch"]}):
        raise Refused(409, "Another open merge request already exists for this source branch")
    iid = len(lab.requests) + 1
    web = f"{lab.url}/iac/shop/-/merge_requests/{iid}"
    lab.requests.append({"iid": iid, "id": iid, "state": "opened", "web_url": web, "auto": False, **given})
    return lab.requests[-1]


def get_request(lab: GitLab, given: dict[str, Any], iid: str) -> Any:
    checked(given, set(), {"include_diverged_commits_count", "include_rebase_in_progress", "render_html"})
    return lab.requests[int(iid) - 1]


def update_request(lab: GitLab, given: dict[str, Any], iid: str) -> Any:
    checked(given, set(), {"title", "description", "labels", "state_event", "squash", "remove_source_branch"})
    lab.requests[int(iid) - 1].update(given)
    return lab.requests[int(iid) - 1]


def merge_request(lab: GitLab, given: dict[str, Any], iid: str) -> Any:
    optional = {"merge_commit_message", "merge_when_pipeline_succeeds", "auto_merge", "sha", "squash"}
    checked(given, set(), optional | {"should_remove_source_branch", "squash_commit_message"})
    request = lab.requests[int(iid) - 1]
    if given.get("merge_when_pipeline_succeeds"):
        request["auto"] = True
    return request


def get_project(lab: GitLab, _given: Mapping[str, Any]) -> Any:
    access = {"access_level": lab.level}
    return {"id": 1, "archived": False, "permissions": {"project_access": access, "group_access": None}}


ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", r"", get_project),
    ("GET", r"/repository/branches", list_branches),
    ("GET", r"/repository/branches/([^/]+)", get_branch),
    ("GET", r"/repository/files/([^/]+)", get_file),
    ("GET", r"/repository/tree", list_tree),
    ("POST", r"/repository/commits", create_commit),
    ("GET", r"/repository/commits", list_commits),
    ("GET", r"/repository/merge_base", merge_base),
    ("GET", r"/merge_requests", list_requests),
    ("POST", r"/merge_requests", create_request),
    ("GET", r"/merge_requests/(\d+)", get_request),
    ("PUT", r"/merge_requests/(\d+)", update_request),
    ("PUT", r"/merge_requests/(\d+)/merge", merge_request),
]


@contextmanager
def serve_gitlab(files: Mapping[str, str]) -> Iterator[GitLab]:
    """Run the double with a project ``iac/shop`` whose branch ``main`` holds the files."""
    lab = GitLab()
    lab.commit("main", files, "first commit")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            pairs = parse_qsl(parts.query)
            given: dict[str, Any] = dict(pairs)
            if "refs[]" in given:
                given["refs[]"] = [value for _, value in pairs]
            self._serve(parts.path, given)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._serve(urlsplit(self.path).path, json.loads(body or b"{}"))

        do_PUT = do_POST  # noqa: N815 - the name is the HTTP method's

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def _serve(self, path: str, given: dict[str, Any]) -> None:
            lab.calls.append(f"{self.command} {path.removeprefix(PROJECT)}")
            try:
                lab.before(self.command, path)
                status, answer = 200, self._answer(path, given)
            except Refused as refused:
                status, answer = refused.status, {"message": refused.message}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(content)

        def _answer(self, path: str, given: dict[str, Any]) -> Any:
            if self.headers.get("PRIVATE-TOKEN") != TOKEN:
                raise Refused(401, "401 Unauthorized")
            if path == "/api/v4/version":
                return {"version": "17.5.1", "revision": "abc"}
            if path == "/api/v4/personal_access_tokens/self":
                return lab.token
            if not path.startswith(PROJECT):
                raise Refused(404, "404 Project Not Found")
            below = path.removeprefix(PROJECT)
            for (method, pattern), answers in lab.failures.items():
                if method == self.command and re.fullmatch(pattern, below) and answers:
                    raise Refused(*answers.pop(0))
            for method, pattern, route in ROUTES:
                if method == self.command and (found := re.fullmatch(pattern, below)):
                    return route(lab, given, *(unquote(group) for group in found.groups()))
            raise Refused(404, "404 Not Found")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
