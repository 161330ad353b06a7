"""Verdict on a KubeVela Application.

Source: kubevela/kubevela, ``apis/core.oam.dev/common/types.go`` and ``v1beta1/application_types.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipegraft.domain.rendering.oam import PUBLISH_VERSION
from pipegraft.domain.verdicts.conditions import Object, is_observed
from pipegraft.ports.engine import State, Status, Verdict

__all__ = ["verdict"]

_FAILED = {"workflowFailed", "workflowTerminated", "deleting"}


def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    """Succeeded once the workflow of the published version is finished and every service is healthy.

    Arguments:
        status: ``application``: the object.
        at_target: whether a revision is the target or a descendant of it.
    """
    app: Object = status["application"]
    seen: Mapping[str, Any] = app.get("status") or {}
    published = (app["metadata"].get("annotations") or {}).get(PUBLISH_VERSION, "")
    if app["metadata"].get("deletionTimestamp"):
        return Verdict(State.FAILED, "the Application is being deleted")
    if not published or not at_target(published):
        return Verdict(
            State.PROGRESSING, f"the Application in the cluster is of {published[:12] or 'no revision'}"
        )
    workflow = seen.get("workflow") or {}
    phase = seen.get("status", "")
    if not is_observed(app) or workflow.get("appRevision") != published:
        running = workflow.get("appRevision") or "none"
        return Verdict(State.PROGRESSING, f"KubeVela is still at version {running}")
    evidence = tuple(_unwell(seen))
    if phase in _FAILED:
        return Verdict(State.FAILED, f"{phase}: {workflow.get('message') or _step(workflow)}", evidence)
    if phase == "workflowSuspending" or workflow.get("suspend"):
        return Verdict(State.SUSPENDED, f"the workflow is suspended: {_step(workflow)}", evidence)
    if phase != "running" or not workflow.get("finished"):
        return Verdict(State.PROGRESSING, f"{phase or 'not started'}: {_step(workflow)}", evidence)
    if not seen.get("services") or evidence:
        reason = evidence[0] if evidence else "no service is reported yet"
        return Verdict(State.PROGRESSING, reason, evidence)
    return Verdict(State.SUCCEEDED, f"{published[:12]} runs and every service is healthy")


def _unwell(seen: Mapping[str, Any]) -> Iterator[str]:
    for service in seen.get("services") or ():
        if not service.get("healthy"):
            yield f"service {service.get('name')}: {service.get('message') or 'not healthy'}"
        for trait in service.get("traits") or ():
            if not trait.get("healthy") and not trait.get("pending"):
                what = f"trait {trait.get('type')} of {service.get('name')}"
                yield f"{what}: {trait.get('message') or 'not healthy'}"


def _step(workflow: Mapping[str, Any]) -> str:
    """The step that is not done, or what is known instead."""
    for step in workflow.get("steps") or ():
        if step.get("phase") != "succeeded":
            message = step.get("message") or step.get("reason") or ""
            return f"step {step.get('name')} {step.get('phase')}" + (f": {message}" if message else "")
    return "no step is open"
