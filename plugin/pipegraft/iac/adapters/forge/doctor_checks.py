"""What GitLab says of the token that writes through its API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.plugins import hookimpl
from pipegraft.iac.adapters.forge.gitlab import open_gitlab_project, or_none, translated

__all__ = ["pipegraft_examinations"]

_DEVELOPER = 30
_SOON = 14
"""Days before its end at which a token is worth a word."""


def _subjects(patient: Patient) -> Sequence[str]:
    return () if patient.delivery.iac.write == "push" else ("",)


def run(patient: Patient, _subject: str) -> Iterator[Diagnosis]:
    """Version of the server, scopes and end of the token, and the role it has in the project.

    Sources: GitLab's REST API, "Version", "Personal access tokens" (self) and "Projects".
    """
    project = open_gitlab_project(patient.delivery.iac.repository, patient.environment)
    client, name = project.manager.gitlab, str(project.encoded_id).replace("%2F", "/")
    with translated(name):
        version = client.http_get("/version")
        token: Any = or_none(lambda: client.http_get("/personal_access_tokens/self"))
        held: Any = client.http_get(f"/projects/{project.encoded_id}")
    known = version.get("version", "unknown") if isinstance(version, Mapping) else "unknown"
    yield Diagnosis("GitLab API", Health.GOOD, f"answers: version {known}")
    if isinstance(token, Mapping):
        yield from _token(token, datetime.fromtimestamp(patient.clock.now(), UTC).date())
    yield _role(held, name)


def _token(token: Mapping[str, Any], today: date) -> Iterator[Diagnosis]:
    subject, scopes = "PIPEGRAFT_IAC_TOKEN", token.get("scopes") or []
    if "api" not in scopes:
        said = ", ".join(map(str, scopes)) or "none"
        yield Diagnosis(
            subject,
            Health.WRONG,
            f"its scopes are {said}",
            "make a project access token with the scope 'api'",
        )
    else:
        yield Diagnosis(subject, Health.GOOD, "has the scope 'api'")
    if ends := token.get("expires_at"):
        left = (date.fromisoformat(str(ends)) - today).days
        if left < _SOON:
            health = Health.WRONG if left < 0 else Health.NOTE
            yield Diagnosis(subject, health, f"it ends on {ends}", "rotate it, and set the CI variable anew")


def _role(held: Mapping[str, Any], name: str) -> Diagnosis:
    permissions = held.get("permissions") or {}
    levels = [
        (permissions.get(kind) or {}).get("access_level", 0) for kind in ("project_access", "group_access")
    ]
    if held.get("archived"):
        return Diagnosis(
            name, Health.WRONG, "the project is archived", "name another project in 'iac.repository'"
        )
    if max(levels) < _DEVELOPER:
        return Diagnosis(
            name, Health.WRONG, "the token's role may not write", "give it the role Developer, or Maintainer"
        )
    return Diagnosis(name, Health.GOOD, "the token's role may write")


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("gitlab-api", "GitLab takes the token, and the token may write.", run, _subjects)
