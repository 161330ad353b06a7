"""Verdict on Flux: the source first, then what applies it, then what it applies.

Source: fluxcd/source-controller and kustomize-controller API v1, helm-controller API v2. A failed
Kustomization keeps ``Reconciling=True`` and retries for ever, so generic readiness rules hang on it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from pipegraft.domain.verdicts import workloads
from pipegraft.domain.verdicts.conditions import (
    Object,
    condition,
    is_observed,
    is_true,
    name_of,
    said,
    time_of,
)
from pipegraft.ports.engine import State, Status, Verdict

__all__ = ["verdict"]

_KUSTOMIZATION_FAILURES = {"BuildFailed", "PruneFailed", "ReconciliationFailed", "HealthCheckFailed"}
_LASTING = timedelta(seconds=60)
"""How long fetching must have failed before that is no hiccup."""

AtTarget = Callable[[str], bool]


def verdict(status: Status, at_target: AtTarget) -> Verdict:
    """Succeeded once the source, the Kustomization and what it applies are at the target and well.

    Arguments:
        status: ``source``: a GitRepository; ``kustomization``; ``helm-releases`` and ``workloads``: lists of
            what the Kustomization applied, None where they were not looked at; ``owned``: ReplicaSets and
            pods of the workloads; ``now``: RFC 3339.
        at_target: whether a revision is the target or a descendant of it.
    """
    found = _source(status["source"], status.get("now"), at_target)
    if found.state is State.SUCCEEDED and status.get("kustomization"):
        found = _kustomization(status["kustomization"], at_target)
        if found.state is State.SUCCEEDED:
            found = _applied(status)
    return found


def _source(source: Object, now: str | None, at_target: AtTarget) -> Verdict:
    name = name_of(source)
    ready = condition(source, "Ready")
    if source["spec"].get("suspend"):
        return Verdict(State.BLOCKED, f"{name} is suspended")
    if is_true(source, "Stalled"):
        return Verdict(State.FAILED, f"{name} is stalled: {said(condition(source, 'Stalled'))}")
    if not is_observed(source):
        return Verdict(State.PROGRESSING, f"{name} has changed and was not looked at since")
    failed = condition(source, "FetchFailed")
    if failed.get("status") == "True":
        lasted = time_of(now) - time_of(failed.get("lastTransitionTime")) if now else timedelta()
        state = State.FAILED if lasted > _LASTING else State.PROGRESSING
        return Verdict(state, f"{name} cannot fetch: {said(failed)}")
    revision = _commit(((source.get("status") or {}).get("artifact") or {}).get("revision"))
    if ready.get("status") != "True" or not at_target(revision):
        seen = revision[:12] or "nothing"
        return Verdict(
            State.PROGRESSING, f"{name} has fetched {seen} so far", tuple(filter(None, [said(ready)]))
        )
    return Verdict(State.SUCCEEDED, f"{name} has fetched {revision[:12]}")


def _kustomization(item: Object, at_target: AtTarget) -> Verdict:
    name = name_of(item)
    ready = condition(item, "Ready")
    status = item.get("status") or {}
    if item["spec"].get("suspend"):
        return Verdict(State.BLOCKED, f"{name} is suspended")
    if is_true(item, "Stalled"):
        return Verdict(State.FAILED, f"{name} is stalled: {said(condition(item, 'Stalled'))}")
    if not is_observed(item):
        return Verdict(State.PROGRESSING, f"{name} has changed and was not looked at since")
    if ready.get("status") == "True" and at_target(_commit(status.get("lastAppliedRevision"))):
        return Verdict(State.SUCCEEDED, f"{name} is applied")
    attempted = _commit(status.get("lastAttemptedRevision"))
    tried = bool(attempted) and at_target(attempted)
    if ready.get("status") == "False" and ready.get("reason") in _KUSTOMIZATION_FAILURES and tried:
        return Verdict(State.FAILED, f"{name}: {said(ready)}")
    applied = _commit(status.get("lastAppliedRevision"))[:12] or "nothing"
    return Verdict(
        State.PROGRESSING, f"{name} has applied {applied} so far", tuple(filter(None, [said(ready)]))
    )


def _applied(status: Status) -> Verdict:
    """What the Kustomization applied; without `wait` or health checks its readiness says nothing of it."""
    kustomization: Object = status["kustomization"]
    for release in status.get("helm-releases") or ():
        found = _helm_release(release)
        if found.state is not State.SUCCEEDED:
            return found
    checked = kustomization["spec"].get("wait") or kustomization["spec"].get("healthChecks")
    if checked or status.get("workloads") is None:
        how = "applied and healthy" if checked else "applied; its health was not asked for"
        return Verdict(State.SUCCEEDED, f"{name_of(kustomization)} is {how}")
    return workloads.health(status["workloads"], status.get("owned") or ())


def _helm_release(item: Object) -> Verdict:
    name = name_of(item)
    ready = condition(item, "Ready")
    if item["spec"].get("suspend"):
        return Verdict(State.BLOCKED, f"{name} is suspended")
    if not is_observed(item):
        return Verdict(State.PROGRESSING, f"{name} has changed and was not looked at since")
    for kind in ("Stalled", "Remediated"):
        if is_true(item, kind):
            return Verdict(State.FAILED, f"{name}: {kind}: {said(condition(item, kind))}")
    tested = condition(item, "TestSuccess")
    if tested.get("status") == "False":
        return Verdict(State.FAILED, f"{name}: its tests failed: {said(tested)}")
    if ready.get("status") == "True":
        return Verdict(State.SUCCEEDED, f"{name} is ready")
    return Verdict(State.PROGRESSING, f"{name}: {said(ready) or 'not ready yet'}")


def _commit(revision: str | None) -> str:
    """Commit of ``branch@sha1:…`` (Flux 2) or ``branch/…`` (before)."""
    text = revision or ""
    return text.rpartition(":")[2] if ":" in text else text.rpartition("/")[2]
