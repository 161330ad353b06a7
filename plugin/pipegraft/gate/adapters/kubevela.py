"""KubeVela: an Application whose published version is a commit, and the verdict on it.

Source: kubevela/kubevela, ``apis/core.oam.dev/common/types.go``, ``v1beta1/application_types.go`` and the
Application's controller; kubevela/workflow, ``pkg/executor`` and ``pkg/types``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pipegraft.appspec.rendering.oam import PUBLISH_VERSION
from pipegraft.core.plugins import hookimpl
from pipegraft.gate import workloads
from pipegraft.gate.adapters.workloads import ClusterReader, Reference, unknown
from pipegraft.gate.conditions import Object, condition, is_observed, name_of, said, several, time_of
from pipegraft.gate.hooks import GitOpsEnginePlugin
from pipegraft.gate.model import KubeVelaOptions
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, Resource, State, Status, Verdict
from pipegraft.gate.workloads import KINDS
from pipegraft.kubernetes.adapters.cluster import Cluster, open_cluster
from pipegraft.kubernetes.model import Kind

__all__ = ["KubeVela", "pipegraft_gitops_engines", "verdict", "verdicts"]


_STAGES = ("Parsed", "Parse", "Revision", "Policy", "Render", "Workflow")
"""Conditions of the steps that an Application goes through; the later one waits for the one before."""
_MOMENT = timedelta(seconds=15)
_PAUSED = "controller.core.oam.dev/pause"
"""Label by which the controller leaves an Application alone."""
_GIVEN_UP = "suspends automatically because the failed times of steps have reached the limit"
"""What a workflow says that suspends for its failures, where KubeVela is told to suspend then."""
_FAILED = {"workflowFailed", "workflowTerminated", "deleting"}


def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    """Succeeded once the workflow of the published version is finished and every service is healthy.

    Arguments:
        status: ``application``: the object; ``workloads``: what it has applied, ``owned``: their ReplicaSets
            and pods, None where they were not looked at; ``began`` and ``now``: the cluster's time, RFC 3339,
            when the wait began and now.
        at_target: whether a revision is the target or a descendant of it.
    """
    app: Object = status["application"]
    found = _refused(app, status, at_target) or _conclude(app, at_target)
    looks = found.state in {State.PROGRESSING, State.SUCCEEDED} and _is_published(app, at_target)
    if status.get("workloads") and looks:
        found = _with_workloads(found, status)
    if found.state is State.PROGRESSING and (app["metadata"].get("labels") or {}).get(_PAUSED) == "true":
        fix = f"remove the Application's label {_PAUSED}"
        found = Verdict(State.BLOCKED, f"KubeVela is told to leave it alone; {found.reason}", (fix,))
    rows = tuple(_rows(app.get("status") or {}))
    return replace(found, resources=(*rows, *found.resources))


def _with_workloads(found: Verdict, status: Status) -> Verdict:
    """What KubeVela gives no health, the objects of ``k8s-objects`` among it, says itself how it is."""
    told = workloads.health(status["workloads"], status.get("owned") or (), status.get("now"))
    if told.state in {State.FAILED, State.BLOCKED} or (
        found.state is State.SUCCEEDED and told.state is not found.state
    ):
        return told
    return replace(found, resources=told.resources, images=told.images)


def _refused(app: Object, status: Status, at_target: Callable[[str], bool]) -> Verdict | None:
    """A condition by which KubeVela says that it cannot make anything of the published version.

    It tries again for ever, so what mends itself is given a moment.
    """
    if not at_target(_published(app)) or app["metadata"].get("deletionTimestamp"):
        return None
    for kind in _STAGES:
        entry = condition(app, kind)
        if entry.get("status") != "False":
            continue
        reason = f"{name_of(app)}: {kind}: {said(entry)}"
        began, now = status.get("began"), status.get("now")
        young = began and time_of(entry.get("lastTransitionTime")) >= time_of(began)
        lasts = not (began and now) or young or time_of(now) - time_of(began) > _MOMENT
        return Verdict(State.FAILED if lasts else State.PROGRESSING, reason)
    return None


verdicts = several(verdict, lambda status: name_of(status["application"]))
"""The rule for ``applications``, see `several`."""


def _is_published(app: Object, at_target: Callable[[str], bool]) -> bool:
    """Whether KubeVela works on a version that is the target: what it has applied is then of it."""
    workflow = (app.get("status") or {}).get("workflow") or {}
    published = _published(app)
    return bool(published) and at_target(published) and workflow.get("appRevision") == published


def _published(app: Object) -> str:
    return str((app["metadata"].get("annotations") or {}).get(PUBLISH_VERSION, ""))


def _rows(seen: Mapping[str, Any]) -> Iterator[Resource]:
    for service in seen.get("services") or ():
        state = State.SUCCEEDED if service.get("healthy") else State.PROGRESSING
        yield Resource(f"service {service.get('name')}", state, service.get("message") or "")


def _conclude(app: Object, at_target: Callable[[str], bool]) -> Verdict:
    seen: Mapping[str, Any] = app.get("status") or {}
    published = _published(app)
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
        return _suspended(app, workflow, evidence)
    if phase != "running" or not workflow.get("finished"):
        return Verdict(State.PROGRESSING, f"{phase or 'not started'}: {_step(workflow)}", evidence)
    if not seen.get("services") or evidence:
        reason = evidence[0] if evidence else "no service is reported yet"
        return Verdict(State.PROGRESSING, reason, evidence)
    return Verdict(State.SUCCEEDED, f"{published[:12]} runs and every service is healthy")


def _suspended(app: Object, workflow: Mapping[str, Any], evidence: tuple[str, ...]) -> Verdict:
    if _GIVEN_UP in str(workflow.get("message")):
        return Verdict(State.FAILED, f"{workflow['message']}: {_step(workflow)}", evidence)
    reason, metadata = f"the workflow is suspended: {_step(workflow)}", app["metadata"]
    if _goes_on(app, workflow):
        return Verdict(State.PROGRESSING, reason, evidence)
    resume = f"vela workflow resume {metadata['name']} -n {metadata.get('namespace', 'default')}"
    return Verdict(State.SUSPENDED, reason, (*evidence, resume))


def _goes_on(app: Object, workflow: Mapping[str, Any]) -> bool:
    """Whether a workflow is suspended for a while only: its step says for how long."""
    declared = list(_steps(app["spec"].get("workflow")))
    timed = {one.get("name") for one in declared if (one.get("properties") or {}).get("duration")}
    waits = [
        one.get("name")
        for one in _steps(workflow)
        if one.get("type") == "suspend" and one.get("phase") in {"running", "suspending"}
    ]
    return bool(waits) and timed.issuperset(waits)


def _steps(workflow: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """Steps and those of groups."""
    for one in (workflow or {}).get("steps") or ():
        yield one
        yield from one.get("subSteps") or ()


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


APPLICATION = Kind("core.oam.dev", "v1beta1", "Application", "applications")
_HERE = {"", "local"}
"""How KubeVela names the cluster it runs in."""


class KubeVela:
    """`GitOpsEngine` over Applications of the Open Application Model.

    Arguments:
        options: which ones.
        cluster: where KubeVela runs.
    """

    def __init__(self, options: KubeVelaOptions, cluster: Cluster) -> None:
        self._options = options
        self._cluster = cluster
        self._reader = ClusterReader(cluster)
        self._began: str | None = None

    def observe(self, *, anew: bool = False) -> Status:
        self._reader.begin(anew=anew)
        self._began = self._began or self._cluster.now().isoformat()
        entries = []
        for name in self._options.names:
            app = self._reader.find(APPLICATION, self._options.namespace, name)
            if app is None:
                raise unknown(
                    f"KubeVela has no Application '{name}' in namespace '{self._options.namespace}'",
                    name,
                    (one for _, one in self._reader.objects(APPLICATION, self._options.namespace)),
                    "'gate.application', 'gate.namespace'",
                )
            told = {"began": self._began, "now": self._cluster.now().isoformat()}
            entries.append({"application": app, **told, **self._workloads(app)})
        return {"applications": entries, "expected": len(self._options.names)}

    def request_sync(self) -> None:
        """Nothing to ask for: it sees a new version when it is applied."""

    def wait(self, seconds: float) -> None:
        self._reader.wait(seconds)

    def explain(self) -> Sequence[str]:
        return self._reader.explain()

    def _workloads(self, app: Mapping[str, Any]) -> Mapping[str, object]:
        status = app.get("status") or {}
        applied = [
            item
            for item in status.get("appliedResources") or ()
            if item.get("kind") in KINDS and (item.get("cluster") or "") in _HERE
        ]
        if not self._options.workloads or not applied:
            return {}
        return self._reader.workloads(
            Reference(item["kind"], item.get("namespace") or self._options.namespace, item["name"])
            for item in applied
        )


def _connect(options: KubeVelaOptions, request: EngineRequest) -> GitOpsEngine:
    return KubeVela(options, open_cluster(options, request.root))


@hookimpl
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    yield GitOpsEnginePlugin("kubevela", KubeVelaOptions, _connect, verdicts, names_commit=True)
