"""Verdict on Flux: the source first, then what applies it, then what it applies.

Source: fluxcd/source-controller and kustomize-controller API v1, helm-controller API v2. A failed
Kustomization keeps ``Reconciling=True`` and retries for ever, so generic readiness rules hang on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from pipegraft.gate import workloads
from pipegraft.gate.conditions import (
    COMMIT,
    HOPELESS,
    Object,
    condition,
    is_about,
    is_observed,
    is_true,
    name_of,
    said,
    same_repository,
    several,
    time_of,
    worst,
)
from pipegraft.gate.ports import Resource, State, Status, Verdict

__all__ = ["REQUESTED", "is_answered", "is_younger", "verdict", "verdicts"]

REQUESTED = "reconcile.fluxcd.io/requestedAt"
"""Annotation that asks for a look; its value comes back as ``status.lastHandledReconcileAt``."""
_KUSTOMIZATION_FAILURES = {"BuildFailed", "PruneFailed", "ReconciliationFailed", "HealthCheckFailed"}
_DENIED = "AccessDenied"
"""Reason for a reference into another namespace where Flux is told to allow none."""
_UNFETCHED = "ArtifactFailed"
"""Reason for what is wrong with the files: their path, which stays so, or how they were fetched."""
_LASTING = timedelta(seconds=60)
"""How long fetching must have failed before that is no hiccup; so long waits, too, who may not ask."""
_BLUR = timedelta(seconds=2)
"""By how much two times of one cluster may differ that are of the same moment."""
_REVISION = re.compile(r"revision \S*?([0-9a-f]{40,64})\b")

_CHECKED = re.compile(r"health checks for revision \S*?([0-9a-f]{40,64})\b")
"""What kustomize-controller says while it waits for what it has applied."""

_SKIPPING = {
    "kustomize.toolkit.fluxcd.io/reconcile": {"disabled"},
    "kustomize.toolkit.fluxcd.io/ssa": {"Ignore", "IfNotPresent"},
}
"""Annotations of an object, and their values by which kustomize-controller does not change it."""
_STANDING = {State.SUSPENDED, State.BLOCKED}
_ENDED = {State.FAILED, State.BLOCKED}
_ALL_WELL, _UNASKED = "applied and healthy", "applied; its health was not asked for"

_UNLOOKED = "its chart could not be looked at, and what is ready may be of the one before"

AtTarget = Callable[[str], bool]


def verdict(status: Status, at_target: AtTarget) -> Verdict:
    """Succeeded once the source, the Kustomization and what it applies are at the target and well.

    Arguments:
        status: ``source``: a GitRepository, of a child an OCIRepository or None, too; ``kustomization``;
            ``helm-releases`` and ``workloads``: lists of what the Kustomization applied, None where they were
            not looked at; ``helm-charts``: the HelmCharts and OCIRepositories that were looked at, by the
            name of the release; ``hidden-charts``: the releases whose charts could not be; ``owned``:
            ReplicaSets and pods of the workloads;
            ``child``: whether another Kustomization declares this one, which then may be made from another
            repository; ``repository`` and ``branch`` of the IaC repository, None: any;
            ``asked``: by name, the value of the annotation by which we asked each object to look,
            ``refused``: names of those that we may not ask;
            ``began`` and ``now``: the cluster's time, RFC 3339, when the wait began and now.
        at_target: whether a revision is the target or a descendant of it.
    """
    source: Object | None = status["source"]
    foreign = source and _foreign(source, status)
    if foreign and not status.get("child"):
        return foreign
    if source is None or foreign:  # of a child: whatever its source has now
        at_target = partial(_is_fetched, source)
    found = [_source(source, status, at_target)] if source else [Verdict(State.SUCCEEDED, _UNASKED)]
    if found[-1].state is State.SUCCEEDED and status.get("kustomization"):
        found.append(_kustomization(status["kustomization"], status, at_target))
        if found[-1].state is State.SUCCEEDED:
            found.append(_applied(status, at_target))
    if found[-1].state is State.SUCCEEDED:
        unlooked = [f"{name}: {_UNLOOKED}" for name in status.get("hidden-charts") or ()]
        found[-1] = replace(found[-1], evidence=(*found[-1].evidence, *unlooked))
    named = (source, status.get("kustomization"))
    rows = [
        Resource(name_of(item), one.state, one.reason)
        for item, one in zip(named, found, strict=False)
        if item
    ]
    return replace(found[-1], resources=(*rows, *found[-1].resources))


def _is_fetched(source: Object | None, revision: str) -> bool:
    """Whether a revision is what a source has now; any is where the source is not known."""
    return source is None or (bool(revision) and revision == _commit(_artifact(source)))


def _artifact(source: Object) -> str | None:
    return ((source.get("status") or {}).get("artifact") or {}).get("revision")


verdicts = several(verdict, lambda status: name_of(status.get("kustomization") or status["source"]))
"""The rule for ``applications``, see `several`."""


def _foreign(source: Object, status: Status) -> Verdict | None:
    """A source that will never show the target."""
    if source["kind"] != "GitRepository":
        return Verdict(State.FAILED, f"{name_of(source)} has no commits")
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


def is_answered(item: Object, asked: Mapping[str, str]) -> bool:
    """Whether an object has been looked at since we asked, or somebody else after us."""
    ours = asked.get(name_of(item))
    handled = (item.get("status") or {}).get("lastHandledReconcileAt")
    if not (ours and handled):
        return False
    try:
        return time_of(handled) >= time_of(ours)
    except (ValueError, TypeError):  # any word will do for somebody else
        return bool(handled == ours)


def is_younger(entry: Mapping[str, Any], began: str) -> bool:
    """Whether a condition has surely changed since; its times have whole seconds, and so has the server's."""
    return time_of(entry.get("lastTransitionTime")) >= time_of(began) + _BLUR


def is_believed(item: Object, entry: Mapping[str, Any], status: Status) -> bool:
    """Whether a condition is younger than our wait, or the answer to our request to look.

    Where we may not ask, it is believed if it is about as young, or once nothing has changed it for a while.
    """
    began, now = status.get("began"), status.get("now")
    if not began or not now or is_younger(entry, began):
        return True
    if name_of(item) in (status.get("asked") or {}):
        return is_answered(item, status["asked"])
    if name_of(item) not in (status.get("refused") or ()):
        return False  # it is about to be asked
    young = time_of(entry.get("lastTransitionTime")) >= time_of(began) - _BLUR
    return young or time_of(now) - time_of(began) > _LASTING


def _failure(item: Object, status: Status, *kinds: str) -> Mapping[str, Any]:
    """The first of some conditions that is true, about this spec and believed; empty if there is none."""
    for kind in kinds:
        entry = condition(item, kind)
        if entry.get("status") == "True" and is_about(item, entry) and is_believed(item, entry, status):
            return entry
    return {}


def _source(source: Object, status: Status, at_target: AtTarget) -> Verdict:
    name = name_of(source)
    ready = condition(source, "Ready")
    if source["spec"].get("suspend"):
        kind = "git" if source["kind"] == "GitRepository" else "oci"
        return Verdict(
            State.BLOCKED, f"{name} is suspended", (f"flux resume source {kind} {_named(source)}",)
        )
    stalled = _failure(source, status, "Stalled")
    if stalled:
        return Verdict(State.FAILED, f"{name} is stalled: {said(stalled)}")
    signed = condition(source, "SourceVerified")
    named = COMMIT.findall(str(signed.get("message"))) if signed.get("status") == "False" else ()
    if is_about(source, signed) and any(at_target(commit) for commit in named):
        return Verdict(State.FAILED, f"{name} does not accept the commit: {said(signed)}")
    failed = condition(source, "FetchFailed")
    if failed.get("status") == "True":
        lasting = _has_lasted(source, failed, status) and bool(_failure(source, status, "FetchFailed"))
        state = State.FAILED if lasting else State.PROGRESSING
        return Verdict(state, f"{name} cannot fetch: {said(failed)}", outside=lasting)
    if not is_observed(source):
        return Verdict(State.PROGRESSING, f"{name} has changed and was not looked at since", _told(ready))
    revision = _commit(_artifact(source))
    if ready.get("status") != "True" or not at_target(revision):
        seen = revision[:12] or "nothing"
        return Verdict(State.PROGRESSING, f"{name} has fetched {seen} so far", _told(ready))
    return Verdict(State.SUCCEEDED, f"{name} has fetched {revision[:12]}")


def _has_lasted(item: Object, entry: Mapping[str, Any], status: Status) -> bool:
    """Whether a failure has lasted, and is one still that we asked about; else while we were looking."""
    if not status.get("now"):
        return False
    since = time_of(entry.get("lastTransitionTime"))
    if not is_answered(item, status.get("asked") or {}):
        since = max(since, time_of(status.get("began")))
    return time_of(status["now"]) - since > _LASTING


def _told(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(filter(None, [said(entry)]))


def _named(item: Object) -> str:
    """What the command line calls an object."""
    return f"{item['metadata']['name']} -n {item['metadata'].get('namespace', 'default')}"


def _kustomization(item: Object, all_of_it: Status, at_target: AtTarget) -> Verdict:
    name = name_of(item)
    ready = condition(item, "Ready")
    status = item.get("status") or {}
    if item["spec"].get("suspend"):
        fix = f"flux resume kustomization {_named(item)}"
        return Verdict(State.BLOCKED, f"{name} is suspended", (fix,))
    stalled = _failure(item, all_of_it, "Stalled")
    if stalled:
        return Verdict(State.FAILED, f"{name} is stalled: {said(stalled)}")
    failed = _failed_kustomization(item, all_of_it, at_target)
    if failed:
        return failed
    if not is_observed(item):
        return Verdict(State.PROGRESSING, f"{name} has changed and was not looked at since", _told(ready))
    if ready.get("status") == "True" and at_target(_commit(status.get("lastAppliedRevision"))):
        return Verdict(State.SUCCEEDED, f"{name} is applied")
    applied = _commit(status.get("lastAppliedRevision"))[:12] or "nothing"
    doing = said(condition(item, "Reconciling")) or said(ready)
    found = Verdict(State.PROGRESSING, f"{name} has applied {applied} so far", tuple(filter(None, [doing])))
    checked = _CHECKED.search(doing)
    if checked and at_target(checked[1]) and all_of_it.get("workloads"):
        told = _workloads(all_of_it)
        return told if told.state in _ENDED else replace(found, resources=told.resources)
    return found


def _failed_kustomization(item: Object, all_of_it: Status, at_target: AtTarget) -> Verdict | None:
    """What keeps the target from being applied, if the last attempt at it says so."""
    ready, reconciling = condition(item, "Ready"), condition(item, "Reconciling")
    if ready.get("status") != "False" or not is_about(item, ready):
        return None
    if _is_denied(item, ready, all_of_it):
        return Verdict(State.FAILED, f"{name_of(item)}: {said(ready)}")
    attempted = _commit((item.get("status") or {}).get("lastAttemptedRevision"))
    doing = _REVISION.search(str(reconciling.get("message", "")))
    tried = doing[1] if doing else attempted  # what could not be fetched was not attempted
    if not (tried and at_target(tried)):
        return None
    found = Verdict(State.FAILED, f"{name_of(item)}: {said(ready)}")
    if ready.get("reason") == _UNFETCHED and "not found" not in str(ready.get("message")):
        lasting = _has_lasted(item, ready, all_of_it)
        return found if lasting else replace(found, state=State.PROGRESSING)
    if ready.get("reason") not in {*_KUSTOMIZATION_FAILURES, _UNFETCHED}:
        return None
    if is_believed(item, ready, all_of_it):
        return found
    return replace(
        found, state=State.PROGRESSING, reason=f"waiting for a new attempt; before, {found.reason}"
    )


def _is_denied(item: Object, ready: Mapping[str, Any], all_of_it: Status) -> bool:
    """Whether a controller refuses what an object refers to, and therefore never tries any revision."""
    denied = ready.get("reason") == _DENIED and ready.get("status") == "False" and is_about(item, ready)
    began = all_of_it.get("began")
    young = not began or is_younger(ready, began)
    return denied and (young or _has_lasted(item, ready, all_of_it))


def _applied(status: Status, at_target: AtTarget) -> Verdict:
    """What the Kustomization applied; without `wait` or health checks its readiness says nothing of it."""
    kustomization: Object = status["kustomization"]
    releases = [_helm_release(release, status, at_target) for release in status.get("helm-releases") or ()]
    bad = worst(releases, "")
    if bad.state is not State.SUCCEEDED:
        told = _workloads(status) if status.get("workloads") else bad
        return told if told.state in _ENDED and bad.state is State.PROGRESSING else bad
    spec, name = kustomization["spec"], name_of(kustomization)
    if status.get("workloads") is None:
        checked = "applied; its health checks are well" if spec.get("healthChecks") else _UNASKED
        return Verdict(State.SUCCEEDED, f"{name} is {_ALL_WELL if spec.get('wait') else checked}")
    told = _workloads(status)
    if spec.get("wait") and told.state not in _STANDING:  # Flux has looked at all of them
        return replace(told, state=State.SUCCEEDED, reason=f"{name} is {_ALL_WELL}", evidence=())
    return told


def _workloads(status: Status) -> Verdict:
    told = workloads.health(status["workloads"], status.get("owned") or (), status.get("now"))
    return replace(told, images=workloads.images_of(status["workloads"], _skipped))


def _skipped(item: Object) -> str:
    """The annotation by which kustomize-controller leaves an object as it is."""
    annotations = item["metadata"].get("annotations") or {}
    for name, words in _SKIPPING.items():
        if annotations.get(name) in words:
            return f"Flux leaves it as it is, for its annotation {name} is {annotations[name]}"
    return ""


def _helm_release(item: Object, all_of_it: Status, at_target: AtTarget) -> Verdict:
    name = name_of(item)
    ready = condition(item, "Ready")
    if item["spec"].get("suspend"):
        return Verdict(State.BLOCKED, f"{name} is suspended", (f"flux resume helmrelease {_named(item)}",))
    if _is_denied(item, ready, all_of_it):
        return Verdict(State.FAILED, f"{name}: {said(ready)}")
    chart = (all_of_it.get("helm-charts") or {}).get(name)
    waits = chart and _chart(chart, item, all_of_it, at_target)  # before that, failures are of the one before
    if waits:
        return waits
    failed = _failed_release(item, all_of_it)
    if failed:
        return failed
    if not (is_observed(item) or (ready.get("status") != "True" and is_about(item, ready))):
        return Verdict(State.PROGRESSING, f"{name} has changed and was not looked at since", _told(ready))
    if is_true(item, "Reconciling"):  # it is ready as of the attempt before
        return Verdict(State.PROGRESSING, f"{name}: {said(condition(item, 'Reconciling'))}")
    if ready.get("status") == "True":
        return Verdict(State.SUCCEEDED, f"{name} is ready")
    return Verdict(State.PROGRESSING, f"{name}: {said(ready) or 'not ready yet'}")


def _failed_release(item: Object, all_of_it: Status) -> Verdict | None:
    """What helm-controller says that it does not try again, or that would fail as often as it is tried."""
    name = name_of(item)
    for kind in ("Stalled", "Remediated"):
        entry = _failure(item, all_of_it, kind)
        if entry:
            again = f"flux reconcile helmrelease {_named(item)} --reset"
            return Verdict(State.FAILED, f"{name}: {kind}: {said(entry)}", (f"to try again: {again}",))
    released, tested = condition(item, "Released"), condition(item, "TestSuccess")
    for entry, counts, what in (
        (released, bool(HOPELESS.search(str(released.get("message")))) and is_about(item, released), ""),
        (tested, is_observed(item), "its tests failed: "),
    ):
        if entry.get("status") == "False" and counts and is_believed(item, entry, all_of_it):
            return Verdict(State.FAILED, f"{name}: {what}{said(entry)}")
    return None


def _chart(chart: Object, release: Object, all_of_it: Status, at_target: AtTarget) -> Verdict | None:
    """What keeps the chart of the target from being released: what is ready may be the one before."""
    name, status = name_of(chart), chart.get("status") or {}
    where, source = chart["spec"].get("sourceRef") or {}, (all_of_it["source"] or {}).get("metadata") or {}
    place = (where.get("kind"), where.get("name"), chart["metadata"].get("namespace"))
    ours = place == ("GitRepository", source.get("name"), source.get("namespace"))
    made_of = _commit(status.get("observedSourceArtifactRevision"))
    if ours and not at_target(made_of):
        return Verdict(State.PROGRESSING, f"{name} is of {made_of[:12] or 'nothing'} so far")
    for kind, stays in (("Stalled", ours), ("FetchFailed", False)):
        entry = condition(chart, kind)
        if entry.get("status") == "True" and is_about(chart, entry):
            lasts = stays or _has_lasted(chart, entry, all_of_it)
            state = State.FAILED if lasts else State.PROGRESSING
            return Verdict(state, f"{name}: {said(entry)}", outside=lasts and kind == "FetchFailed")
    made, tried = _artifact(chart), release.get("status") or {}
    if not is_observed(chart):
        return Verdict(State.PROGRESSING, f"{name} has changed and was not looked at since")
    if chart["kind"] == "OCIRepository":
        fits = _commit(tried.get("lastAttemptedRevisionDigest")) == _commit(made)
    else:
        fits = tried.get("lastAttemptedRevision") == made
    if made and not fits:
        reason = f"{name_of(release)} has not tried version {made} of its chart yet"
        return Verdict(State.PROGRESSING, reason, _told(condition(release, "Ready")))
    return None


def _commit(revision: str | None) -> str:
    """Commit of ``branch@sha1:…`` (Flux 2) or ``branch/…`` (before)."""
    text = revision or ""
    return text.rpartition(":")[2] if ":" in text else text.rpartition("/")[2]
