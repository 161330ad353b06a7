"""From what git complains about to the error tree."""

from __future__ import annotations

import re

from pipegraft.core.errors import (
    AccessDenied,
    Locked,
    PipegraftError,
    TipMoved,
    Unreachable,
    UsageError,
    Vetoed,
)

__all__ = ["explain", "explain_rejection"]

_DENIED = re.compile(
    r"authentication failed|could not read (username|password)|permission denied|access denied"
    r"|returned error: 40[13]|http 40[13]|not allowed to|unauthorized|terminal prompts disabled"
    r"|protected branch",
    re.IGNORECASE,
)
_ASKED = re.compile(r"could not read (Username|Password) for '[^']*': terminal prompts disabled")
_HOST_KEY = re.compile(r"host key verification failed", re.IGNORECASE)
_CERTIFICATE = re.compile(
    r"certificate problem|certificate verif|certificate subject name|no alternative certificate",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"returned error: 30[12378]", re.IGNORECASE)
_ABSENT = re.compile(
    r"not found|does not appear to be a git repository|does not exist|returned error: 404"
    r"|could not find repository",
    re.IGNORECASE,
)
_OWNER = re.compile(r"dubious ownership", re.IGNORECASE)
_BAD_REQUEST = re.compile(r"returned error: 400|http 400", re.IGNORECASE)
_LOCK = re.compile(r"unable to create '(?P<lock>[^']+\.lock)': file exists", re.IGNORECASE)
_RACE = re.compile(
    r"stale info|fetch first|non-fast[- ]forward|incorrect old value|but expected|failed to update ref"
    r"|reference already exists|failed to lock|cannot lock ref|remote ref updated",
    re.IGNORECASE,
)


def explain(errors: str, repository: str) -> PipegraftError:
    """Why a fetch or a look at the remote failed.

    Arguments:
        errors: what git complained about, without secrets.
        repository: name for messages.
    """
    said = _essence(errors)
    if lock := _LOCK.search(errors):
        return locked(repository, lock["lock"])
    if _HOST_KEY.search(errors):
        return AccessDenied(
            f"the host key of {repository} is not known: {said}",
            fix="add the server's key to known_hosts (ssh-keyscan, compared with what its owner publishes)",
        )
    if _CERTIFICATE.search(errors):
        return AccessDenied(
            f"the certificate of {repository} is not trusted: {said}",
            fix="name the file with your CA's certificate in GIT_SSL_CAINFO (GitLab: CI_SERVER_TLS_CA_FILE)",
        )
    if _OWNER.search(errors):
        return AccessDenied(
            f"git refuses {repository}: it belongs to another user",
            fix=f"run: git config --global --add safe.directory {repository}",
        )
    if _BAD_REQUEST.search(errors):
        return UsageError(
            f"{repository} does not take the request: {said}",
            fix="a header of this machine's git goes out beside the token: look at 'git config --get-regexp "
            "extraheader', and take it out",
        )
    if _ELSEWHERE.search(errors):
        return AccessDenied(
            f"{repository} answers with another address, where credentials are not sent on: {said}",
            fix="write the repository's present address into 'iac.repository' of delivery.yaml",
        )
    return _not_let_in(errors, repository, said)


def _not_let_in(errors: str, repository: str, said: str) -> PipegraftError:
    """Why a server that was reached at its address gave nothing, or that there was none."""
    if _ABSENT.search(errors):
        return AccessDenied(
            f"there is no repository {repository} for these credentials: {said}",
            fix="check 'iac.repository' in delivery.yaml, and that the token or key may read it",
        )
    if _DENIED.search(errors):
        return AccessDenied(
            f"{repository} refused the credentials: {said}",
            fix="set PIPEGRAFT_IAC_TOKEN (and PIPEGRAFT_IAC_USER) or PIPEGRAFT_IAC_SSH_KEY, or correct them",
        )
    return Unreachable(f"{repository} gave no answer: {said}", fix="check the network, then run this again")


def explain_rejection(status: str, errors: str, repository: str, branch: str) -> PipegraftError:
    """Why a push was not taken.

    Arguments:
        status: the reason in git's porcelain report; empty if there was none.
        errors: what git and the server complained about, without secrets.
        repository: name for messages.
        branch: the branch that was to move.
    """
    if lock := _LOCK.search(errors):
        return locked(repository, lock["lock"])
    if not status:
        return explain(errors, repository)
    said = _server_lines(errors) or status
    if _DENIED.search(errors) or _DENIED.search(status):
        return AccessDenied(
            f"{repository} does not let these credentials push to '{branch}': {said}",
            fix="give the token write access to the repository, and to the branch if it is protected",
        )
    if "hook declined" in status:
        return Vetoed(
            f"{repository} declined the commit: {said}",
            fix="mend what the server's hook names: 'iac.commit' in delivery.yaml words messages and names "
            "author and committer; nothing was written",
        )
    if _RACE.search(status):
        return TipMoved(f"expected '{branch}' of {repository} where it was read, it has moved: {status}")
    return UsageError(f"{repository} did not take the commit: {status} {_server_lines(errors)}".rstrip())


def locked(repository: str, lock: str) -> Locked:
    """The error for a lock file that another process holds, or a dead one left."""
    lock = lock.replace("/./", "/")
    return Locked(
        f"{repository} is locked by {lock}",
        fix=f"wait for the other writer; if none is running, a dead one left the lock: delete {lock}",
    )


def _essence(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    lines = [_ASKED.sub("it wants a user and a password that are valid", line) for line in lines]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))] or lines
    return "; ".join(line.removeprefix("fatal: ") for line in telling[:3]) or "no reason given"


def _server_lines(errors: str) -> str:
    said = (
        line.removeprefix("remote:").strip() for line in errors.splitlines() if line.startswith("remote:")
    )
    return "; ".join(line for line in said if line)
