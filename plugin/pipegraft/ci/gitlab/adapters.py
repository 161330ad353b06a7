"""GitLab's CI lint API: what the server itself makes of a graft, remote includes and all.

Source: https://docs.gitlab.com/api/lint/ . The server does not have the new files yet, so it is given one
text.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import gitlab
import requests

from pipegraft.ci.gitlab.configuration import Files, Layer, dump_yaml, include_entries, interpolate, load
from pipegraft.ci.gitlab.eject import root_of, splice, ungraft
from pipegraft.ci.gitlab.grafts import MANIFEST, remove_include
from pipegraft.ci.gitlab.inject import file_exists, job_names, refuse
from pipegraft.ci.gitlab.manifest import CHILD, settings_for
from pipegraft.ci.gitlab.pipeline import Pipeline, differences, resolve
from pipegraft.ci.gitlab.seeds import events
from pipegraft.ci.gitlab.when import event_rows, unread_notes, untimely
from pipegraft.ci.hooks import Injection, InjectionRequest
from pipegraft.core.adapters.gitlab_requests import limit_answers
from pipegraft.core.errors import AccessDenied, EditRefused, Place, Unreachable, UsageError
from pipegraft.core.reading import readable
from pipegraft.text.yaml.changes import Replaced
from pipegraft.text.yaml.layout import line_break_near, line_start
from pipegraft.text.yaml.source import parse

__all__ = ["TOKEN", "standalone_child", "standalone_root", "verify"]


def standalone_root(
    file: str, text: str, read: Callable[[str], str | None], templates: Mapping[str, str]
) -> str:
    """The root configuration with delivery's jobs written out in place of the include line.

    Arguments:
        file: its path.
        text: the grafted text.
        read: the generated files.
        templates: template file name → text.
    """
    source = parse(text, file)
    root = root_of(source)
    first = source.start(source.children(root)[0])
    at = line_start(source.text, first)
    jobs = _written_out(read(MANIFEST) or "", templates)
    lines = [f"{' ' * (first - at)}{line}" for line in dump_yaml(jobs).splitlines()]
    newline = line_break_near(source.text, at)
    added = Replaced(at, at, "".join(line + newline for line in lines))
    return splice(source.text, [added, *remove_include(source, root)])


def standalone_child(read: Callable[[str], str | None], templates: Mapping[str, str]) -> str | None:
    """The child pipeline with its jobs written out; None if there is none."""
    child = read(CHILD)
    return None if child is None else dump_yaml(_written_out(child, templates))


def _written_out(manifest: str, templates: Mapping[str, str]) -> dict[str, Any]:
    values = load(manifest, MANIFEST).values
    jobs: dict[str, Any] = {}
    for entry in include_entries(values):
        path = str(entry.get("local") or entry.get("file") or entry.get("remote"))
        jobs |= interpolate(load(templates[posixpath.basename(path)], path), entry.get("inputs") or {})
    own = {key: value for key, value in values.items() if key != "include"}
    return {
        **jobs,
        **{key: {**jobs.get(key, {}), **value} if key in jobs else value for key, value in own.items()},
    }


TOKEN = "PIPEGRAFT_GITLAB_TOKEN"  # noqa: S105 - the variable's name
_TIMEOUT = 60.0  # GitLab gives includes 30 s to resolve


def verify(
    request: InjectionRequest, injection: Injection, project: str, variables: Mapping[str, str]
) -> Injection:
    """Let the server compare the pipeline before and after, and say what its includes hold.

    Arguments:
        request: what was asked for.
        injection: what came of it; not written or pushed yet.
        project: the project's URL on its server.
        variables: ``PIPEGRAFT_GITLAB_TOKEN`` holds a token with the scope ``api``.

    Returns:
        The injection with what was verified, and when delivery runs with every include read.

    Raises:
        EditRefused: the server finds the grafted pipeline invalid, a job of the team changed, or what is
            included lets delivery never run, or too early.
        UsageError: no token, or the pipeline was invalid before.
        AccessDenied, Unreachable: the server's word.
    """
    lint = _Lint(project, variables)
    was = lint.pipeline(ungraft(request.file, request.text).text)
    if isinstance(was, str):
        raise UsageError(
            f"GitLab finds the pipeline invalid without delivery: {was}",
            place=Place(request.file),
            fix="mend it first, or leave out --verify",
        )

    def read(path: str) -> str | None:
        return injection.files[path] if path in injection.files else request.read(path)

    text = injection.files.get(request.file) or request.text
    becomes = lint.pipeline(standalone_root(request.file, text, read, request.templates))
    child = standalone_child(read, request.templates)
    under = lint.pipeline(child) if child is not None else None
    refused = [one for one in (becomes, under) if isinstance(one, str)]
    found = refused if isinstance(becomes, str) else refused or differences(was, becomes)
    if found or isinstance(becomes, str):
        raise EditRefused(
            f"GitLab does not agree with the graft: {'; '.join(found[:3])}",
            place=Place(request.file),
            fix="use --mode child, or report this file",
        )
    jobs = sum(not name.startswith(".") for name in was.jobs)
    said = f"{lint.name} agrees: the pipeline is valid, and its {jobs} jobs are the same before and after."
    return replace(_timed(request, injection, becomes, Files(read, request.find)), verified=said)


def _timed(request: InjectionRequest, injection: Injection, whole: Pipeline, files: Files) -> Injection:
    """The injection with the table of events of the pipeline that the server has put together."""
    settings = settings_for(request)
    known = events(settings.branch, request.default_branch)
    rows = event_rows(whole, job_names(request, settings), partial(file_exists, files), known)
    refuse(list(untimely(rows, lambda _name: Place(request.file), settings.branch)))
    stale = unread_notes(injection.events)
    notes = (*(note for note in injection.notes if note not in stale), *unread_notes(rows))
    return replace(injection, events=rows, notes=notes)


class _Lint:
    """One project's linter."""

    def __init__(self, project: str, variables: Mapping[str, str]) -> None:
        parts = urlsplit(project)
        path = parts.path.strip("/").removesuffix(".git")
        if parts.scheme not in ("http", "https") or not path:
            raise UsageError(
                f"expected the URL of a GitLab project, found '{project}'",
                fix="write --verify https://gitlab.example.com/group/project",
            )
        token = variables.get(TOKEN)
        if not token:
            raise UsageError(
                "--verify needs a token, found none", fix=f"set {TOKEN} to a token with the scope 'api'"
            )
        self.name = parts.netloc.rpartition("@")[2]
        client = gitlab.Gitlab(f"{parts.scheme}://{self.name}", private_token=token, timeout=_TIMEOUT)
        limit_answers(client.session)
        self._project = client.projects.get(path, lazy=True)

    def pipeline(self, content: str) -> Pipeline | str:
        """What the server makes of a configuration, or why it is invalid."""
        answer = self._ask({"content": content, "dry_run": False})
        if not answer.valid:
            return "; ".join(answer.errors) or "no reason given"
        return resolve([Layer("merged", load(answer.merged_yaml, "merged").values)])

    def _ask(self, question: dict[str, Any]) -> Any:
        try:
            with readable(self.name):
                return self._project.ci_lint.create(question)
        except gitlab.GitlabError as error:
            if error.response_code in (401, 403, 404):
                raise AccessDenied(
                    f"{self.name} refused the token: {error.error_message}",
                    fix=f"give {TOKEN} the scope 'api' and a role of developer in the project",
                ) from None
            raise Unreachable(f"{self.name} answered {error.response_code}", fix="run this again") from None
        except requests.RequestException as error:
            raise Unreachable(
                f"{self.name} gave no answer ({type(error).__name__})",
                fix="run this again, or without --verify",
            ) from None
