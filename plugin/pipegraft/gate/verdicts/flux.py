"""Verdict on Flux: the source first, then what applies it, then what it applies.

Source: fluxcd/source-controller and kustomize-controller API v1, helm-controller API v2. A failed
Kustomization keeps ``Reconciling=True`` and retries for ever, so generic readiness rules hang on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from pipegraft.gate.ports import Resource, State, Status, Verdict
from pipegraft.gate.verdicts import workloads
from pipegraft.gate.verdicts.conditions import (
    Object,
    condition,
    is_observed,
    is_true,
    name_of,
    said,
    time_of,
    worst,
)
from pipegraft.gate.verdicts.repositories import same_repository
from pipegraft.gate.verdicts.several import several

__all__ = ["verdict", "verdicts"]

_KUSTOMIZATION_FAILURES = {"BuildFailed", "PruneFailed", "ReconciliationFailed", "HealthCheckFailed"}
_LASTING = timedelta(seconds=60)
"""How long fetching must have failed before that is no hiccup."""

_CHECKED = re.compile(r"health checks for revision \S*?([0-9a-f]{40,64})\b")
"""What kustomize-controller says while it waits for what it has applied."""

AtTarget = Callable[[str], bool]


def verdict(status: Status, at_target: AtTarget) -> Verdict:
    """Succeeded once the source, the Kustomization and what it applies are at the target and well.

    Arguments:
        status: ``source``: a GitRepository; ``kustomization``; ``helm-releases`` and ``workloads``: lists of
            what the Kustomization applied, None where they were not looked at; ``owned``: ReplicaSets and
            pods of the workloads; ``child``: whether another Kustomization declares this one, which then may
            be made from another repository; ``repository`` and ``branch`` of the IaC repository, None: any;
            ``now``: the cluster's time, RFC 3339.
        at_target: whether a revision is the target or a descendant of it.
    """
    source: Object = status["source"]
    if not status.get("child"):
        foreign = _foreign(source, status)
        if foreign:
            return foreign
    elif _foreign(source, status):
        at_target = bool  # any revision of another repository will do
    found = [_source(source, status.get("now"), at_target)]
    if found[-1].state is State.SUCCEEDED and status.get("kustomization"):
        found.append(_kustomization(status["kustomization"], status, at_target))
        if found[-1].state is State.SUCCEEDED:
            found.append(_applied(status))
    named = (source, status.get("kustomization"))
    rows = [
        Resource(name_of(item), one.state, one.reason)
        for item, one in zip(named, found, strict=False)
        if item
    ]
    return replace(found[-1], resources=(*rows, *found[-1].resources))


verdicts = several(verdict, lambda status: name_of(status.get("kustomization") or status["source"]))
"""The rule for ``applications``, see `several`."""


def _foreign(source: Object, status: Status) -> Verdict | None:
    """A source that will never show the target."""
    name, wanted = name_of(source), status.get("repository")
    url, reference = str(source["spec"].get("url", "")), source["spec"].get("ref") or {}
    if wanted is not None and not same_repository(url, wanted):
        hint = "if that is the same repository by another name, set 'gate.repository' to it"
        return Verdict(State.FAILED, f"{name} follows {url}, not the IaC repository, {wanted}", (hint,))
    pinned = next((reference[key] for key in ("commit", "name", "semver", "tag") if reference.get(key)), None)
    followed = pinned or reference.get("branch") or "master"
    branch = status.get("branch")
    if branch is not None and followed not in {branch, f"refs/heads/{branch}"}:
        return Verdict(State.FAILED, f"{name} follows '{followed}', not the branch '{branch}'")
    return None


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


def _kustomization(item: Object, all_of_it: Status, at_target: AtTarget) -> Verdict:
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
    doing = said(condition(item, "Reconciling")) or said(ready)
    found = Verdict(State.PROGRESSING, f"{name} has applied {applied} so far", tuple(filter(None, [doing])))
    checked = _CHECKED.search(doing)
    if checked and at_target(checked[1]) and all_of_it.get("workloads"):
        told = _workloads(all_of_it)
        return told if told.state is State.FAILED else replace(found, resources=told.resources)
    return found


def _applied(status: Status) -> Verdict:
    """What the Kustomization applied; without `wait` or health checks its readiness says nothing of it."""
    kustomization: Object = status["kustomization"]
    releases = [_helm_release(release) for release in status.get("helm-releases") or ()]
    bad = worst(releases, "")
    if bad.state is not State.SUCCEEDED:
        told = _workloads(status) if status.get("workloads") else bad
        return told if told.state is State.FAILED and bad.state is State.PROGRESSING else bad
    checked = kustomization["spec"].get("wait") or kustomization["spec"].get("healthChecks")
    if checked or status.get("workloads") is None:
        how = "applied and healthy" if checked else "applied; its health was not asked for"
        return Verdict(State.SUCCEEDED, f"{name_of(kustomization)} is {how}")
    return _workloads(status)


def _workloads(status: Status) -> Verdict:
    return workloads.health(status["workloads"], status.get("owned") or (), status.get("now"))


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
