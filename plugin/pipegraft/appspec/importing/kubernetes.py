"""Plain Kubernetes objects as an app spec: what `render --target kubernetes` prints, and what teams write."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from pipegraft.appspec.importing.builds import Tree
from pipegraft.appspec.importing.builds import is_ours as is_own_folder
from pipegraft.appspec.importing.objects import (
    KubernetesObject,
    is_ours,
    selected,
    take_defaults,
    take_ingress,
    take_ours,
    take_route,
    take_written,
)
from pipegraft.appspec.importing.pod import take_claim, take_pod
from pipegraft.appspec.importing.taking import Imported, Route, Taking, dotted_route, found_values
from pipegraft.appspec.rendering.kubernetes import KEPT

__all__ = ["import_kubernetes", "manifests_in"]

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_OVERLAP = {"Allow": "allow", "Forbid": "forbid", "Replace": "replace"}
_WORKLOADS = ("Deployment", "StatefulSet", "CronJob", "Job")
_RENDERED: Mapping[str, str] = {
    "Chart.yaml": "Helm chart",
    "kustomization.yaml": "Kustomize overlay",
    "kustomization.yml": "Kustomize overlay",
    "Kustomization": "Kustomize overlay",
}
_WORKLOAD = re.compile(r"^kind:\s*(Deployment|StatefulSet|DaemonSet|CronJob)\s*$", re.MULTILINE)
_IN_PART = frozenset({"subPath", "subPathExpr"})
_STAYS = "keep its manifest; `targets` of the environment in delivery.yaml write its images where it is"


def manifests_in(tree: Tree) -> Iterator[str]:
    """Helm charts, Kustomize overlays and folders of manifests, the outermost of each, with the way out."""
    files = [one for one in tree.files if is_own_folder(posixpath.dirname(one))]
    rendered = [one for one in files if posixpath.basename(one) in _RENDERED]
    written = [one for one in files if one.endswith((".yaml", ".yml")) and _holds_workload(tree, one)]
    seen: list[str] = []
    for group in (rendered, written):
        for file in sorted(group, key=lambda one: (one.count("/"), one)):
            folder = posixpath.dirname(file) or "."
            if any(one == "." or f"{folder}/".startswith(f"{one}/") for one in seen):
                continue
            seen.append(folder)
            if group is written:
                way_out = f"`pipegraft import kubernetes {folder}` makes an app spec of them"
                yield f"{folder}: Kubernetes manifests; {way_out}"
            else:
                way_out = "in the IaC repository, `targets` can name the file that holds its images"
                yield f"{folder}: a {_RENDERED[posixpath.basename(file)]}; {way_out}"


def _holds_workload(tree: Tree, file: str) -> bool:
    text = tree.read(file) or ""
    return "apiVersion:" in text and bool(_WORKLOAD.search(text))


def import_kubernetes(documents: Iterable[tuple[str, Any]], into: Imported) -> None:
    """Take objects apart.

    Arguments:
        documents: file and content.
        into: gets components and what is left.
    """
    documents = list(documents)
    for file, data in documents:
        if not isinstance(data, dict) or not data:
            into.left.append(f"{file}: expected a Kubernetes object, found {_kind(data)}")
    objects = [KubernetesObject(file, data) for file, data in documents if data and isinstance(data, dict)]
    claims = {one.name: one for one in objects if one.kind == "PersistentVolumeClaim"}
    services = {one.name: deepcopy(one.part.mapping("spec")) for one in objects if one.kind == "Service"}
    workloads = {}
    for one in objects:
        named = _NAME.fullmatch(one.component) and one.component not in workloads
        if one.kind in _WORKLOADS and named and not _unfit(one):
            workloads[one.component] = one
    into.reserved = frozenset(workloads)
    for name, one in workloads.items():
        _take_workload(name, one, claims, into)
    for one in sorted(objects, key=lambda one: one.kind != "Service"):  # routes name their numbers
        _take_beside(one, workloads, services, into)
    for one in objects:
        into.left += _left(one, workloads)


def _left(one: KubernetesObject, workloads: Mapping[str, KubernetesObject]) -> Iterator[str]:
    """What of an object is not carried over, beyond what a server says by itself."""
    if one.part.untouched():
        why = _unfit(one)
        if not why and one.kind in _WORKLOADS and one.component in workloads:
            why = f"another one is '{one.component}' already"
        yield f"{one.part.name}: the whole object{f' ({why})' if why else ''}"
        return
    take_defaults(one.part)
    written = take_written(one.part)
    yield from one.part.left()
    for key, value in one.selecting.items():
        yield f"{one.part.name}: the label {key}: {value}, by which its pods were selected; they get others"
    if written:
        yield f"{one.part.name}: what the API server wrote: {', '.join(written)}"


def _unfit(one: KubernetesObject) -> str:
    """Why an object cannot be a component: what it keeps would be lost, or it would run elsewhere."""
    if one.kind == "DaemonSet":
        return f"an app spec knows nothing that runs on each node: {_STAYS}"
    if one.part.peek("spec", "suspend") is True:
        return f"spec.suspend: true: an app spec has no word for what waits, and would run it: {_STAYS}"
    templates: Route = ("spec", "volumeClaimTemplates")
    held = one.part.keys(*templates) if one.kind == "StatefulSet" else []
    if held and (replicas := one.part.peek("spec", "replicas")) not in (None, 0, 1):
        return f"spec.replicas: {replicas}: an app spec has no storage for each replica alone: {_STAYS}"
    pod = Taking(one.part.peek("spec", "template", "spec"), "")
    mounts = [
        pod.mapping("containers", container, "volumeMounts", mount)
        for container in pod.keys("containers")
        for mount in pod.keys("containers", container, "volumeMounts")
    ]
    for at in held:
        name = one.part.peek(*templates, at, "metadata", "name")
        parts = [mount for mount in mounts if mount.get("name") == name and mount.keys() & _IN_PART]
        if parts or take_claim(Taking(one.part.peek(*templates, at), "")) is None:
            why = "mounted in part" if parts else "no storage of one access mode and a size"
            return f"{dotted_route((*templates, at))}: '{name}' is {why}: {_STAYS}"
    return ""


def _kind(data: Any) -> str:
    """What a document is instead of an object; its text may be secret."""
    if isinstance(data, dict):
        return "an empty mapping"
    return "a list" if isinstance(data, list) else "nothing" if data is None else "a plain value"


def _take_workload(
    name: str, one: KubernetesObject, claims: Mapping[str, KubernetesObject], into: Imported
) -> None:
    part = one.part
    spec: tuple[str, ...] = ("spec", "jobTemplate", "spec") if one.kind == "CronJob" else ("spec",)
    template = (*spec, "template")
    one.labels = part.mapping(*template, "metadata", "labels")
    selector = part.mapping("spec", "selector", "matchLabels")
    if selector:
        part.take("spec", "selector", "matchLabels")
    one.selecting = {key: value for key, value in selector.items() if not is_ours(key)}
    one.take_metadata(into)
    take_ours(part, "metadata", also=selector)
    take_ours(part, *template, "metadata", also=selector)
    own = {"job": _job(one, spec)} if one.kind in ("Job", "CronJob") else _replicas(part)
    if one.kind == "StatefulSet":
        own |= _kept_apart(one, own, into)
    pod, guests = take_pod(part, (*template, "spec"), name, selector or one.labels, into)
    annotations = {
        key: part.take(*template, "metadata", "annotations", key)
        for key in part.mapping(*template, "metadata", "annotations")
    }
    into.components[name] = {"intimacy": "rpc", **own, **pod, **found_values({"annotations": annotations})}
    into.components |= guests
    for each in (name, *guests):
        into.sources["components", each] = [part]
    _take_claims(into.components, (name, *guests), name, claims, into)


def _kept_apart(one: KubernetesObject, own: Mapping[str, Any], into: Imported) -> dict[str, Any]:
    """How a StatefulSet replaces its pods, one by one and none beside another; what else it promises is left.

    Source: Kubernetes, "StatefulSets": deployment and scaling guarantees, stable network ID.
    """
    part = one.part
    for at in part.keys("spec", "volumeClaimTemplates"):
        claim = part.peek("spec", "volumeClaimTemplates", at, "metadata", "name")
        into.left.append(
            f"{part.name}: spec.volumeClaimTemplates[{at}]: what is in the claim '{claim}-{one.name}-0' "
            f"(a new one is '{one.name}-{claim}'; `claim` in place of `persistent` keeps the old)"
        )
    if service := part.take("spec", "serviceName"):
        name = f"{one.name}-0.{service}"
        into.left.append(
            f"{part.name}: spec.serviceName: {service} (no pod has a name of its own, as {name})"
        )
    if not part.take_if(("spec", "updateStrategy", "type"), "RollingUpdate"):
        return {}
    several = own.get("replicas", 1) > 1
    return {
        "update": {"strategy": "rolling", "surge": 0, "unavailable": 1}
        if several
        else {"strategy": "recreate"}
    }


def _replicas(part: Taking) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(part.peek("spec", "replicas"), int):
        found["replicas"] = part.take("spec", "replicas")
    kind = part.peek("spec", "strategy", "type")
    if kind == "Recreate":
        part.take("spec", "strategy", "type")
        found["update"] = {"strategy": "recreate"}
    elif kind in (None, "RollingUpdate"):
        part.take("spec", "strategy", "type")
        rolling = ("spec", "strategy", "rollingUpdate")
        update = {
            "strategy": "rolling" if kind else None,
            "surge": part.take(*rolling, "maxSurge"),
            "unavailable": part.take(*rolling, "maxUnavailable"),
        }
        if found_values(update):
            found["update"] = found_values(update)
    return found


def _job(one: KubernetesObject, spec: tuple[str, ...]) -> dict[str, Any]:
    part = one.part
    part.take_if((*spec, "template", "spec", "restartPolicy"), "Never")
    deadline = part.take(*spec, "activeDeadlineSeconds")
    found = {
        "schedule": part.take("spec", "schedule"),
        "time-zone": part.take("spec", "timeZone"),
        "retries": part.take(*spec, "backoffLimit"),
        "deadline": f"{deadline}s" if deadline else None,
    }
    if str(part.peek("spec", "concurrencyPolicy")) in _OVERLAP:
        found["overlap"] = _OVERLAP[part.take("spec", "concurrencyPolicy")]
    return found_values(found)


def _take_claims(
    components: Mapping[str, dict[str, Any]],
    members: Iterable[str],
    workload: str,
    claims: Mapping[str, KubernetesObject],
    into: Imported,
) -> None:
    """Claims that belong to the workload alone become persistent volumes of it."""
    for member in members:
        for name, volume in components[member].get("volumes", {}).items():
            claim = claims.get(str(volume.get("claim", "")))
            if claim is None or claim.name != f"{workload}-{name}":
                continue
            persistent = take_claim(claim.part)
            if persistent is None:
                continue
            claim.take_metadata(into)
            for key, value in KEPT.items():
                claim.part.take_if(("metadata", "annotations", key), value)
            into.sources["components", member].append(claim.part)
            del volume["claim"]
            volume["persistent"] = persistent


def _take_beside(
    one: KubernetesObject,
    workloads: Mapping[str, KubernetesObject],
    services: Mapping[str, Mapping[str, Any]],
    into: Imported,
) -> None:
    match one.kind:
        case "Service":
            _take_service(one, workloads, into)
        case "HTTPRoute":
            take_route(one, workloads, into)
        case "Ingress":
            take_ingress(one, workloads, services, into)
        case "HorizontalPodAutoscaler":
            _take_autoscaler(one, workloads, into)
        case "PodDisruptionBudget":
            _take_budget(one, workloads, into)


def _take_service(one: KubernetesObject, workloads: Mapping[str, KubernetesObject], into: Imported) -> None:
    """A Service of the workload's name is what we make by ourselves, with the numbers of its ports."""
    part = one.part
    workload = selected(part.mapping("spec", "selector"), workloads)
    if workload is None or workload != one.name:
        return
    part.take("spec", "selector")
    part.take_if(("spec", "type"), "ClusterIP")
    numbers = _numbers(workload, into.components)
    own: dict[str, int] = into.components[workload].get("ports", {})
    said: dict[str, int] = {}
    for at in part.keys("spec", "ports"):
        port = part.mapping("spec", "ports", at)
        number = numbers.get(str(port.get("targetPort", port.get("port"))))
        names = [name for name, held in own.items() if held == number and name not in said]
        if number is None or not isinstance(port.get("port"), int):
            continue
        if number != port["port"]:
            if not names:
                continue  # of a sidecar, or a second number for a port that has one
            said[names[0]] = port["port"]
        for key in ("port", "targetPort"):
            part.take("spec", "ports", at, key)
        part.take_if(("spec", "ports", at, "protocol"), "TCP")
        part.take_if(("spec", "ports", at, "name"), *names, "entrance")
    if said:
        into.components[workload]["service-ports"] = said
    one.take_metadata(into)
    take_ours(part, "metadata", also=workloads[workload].labels)


def _numbers(workload: str, components: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Ports of a pod by number and by name."""
    found: dict[str, int] = {}
    for name, one in components.items():
        if name == workload or one.get("host") == workload:
            for port, number in one.get("ports", {}).items():
                found |= {port: number, str(number): number}
    return found


def _take_autoscaler(
    one: KubernetesObject, workloads: Mapping[str, KubernetesObject], into: Imported
) -> None:
    part = one.part
    name = str(part.peek("spec", "scaleTargetRef", "name"))
    kind = part.peek("spec", "scaleTargetRef", "kind")
    if name not in workloads or kind != workloads[name].kind or "autoscaling" in into.components[name]:
        return
    volumes = into.components[name].get("volumes", {}).values()
    if kind == "StatefulSet" and any("persistent" in one for one in volumes):
        return  # each replica would have storage of its own
    shares: dict[str, int] = {}
    for at in part.keys("spec", "metrics"):
        metric = ("spec", "metrics", at)
        resource = part.peek(*metric, "resource", "name")
        percent = part.peek(*metric, "resource", "target", "averageUtilization")
        if part.peek(*metric, "type") == "Resource" and resource in ("cpu", "memory") and percent:
            shares[resource] = percent
            part.take(*metric)
    scaling = {"min": part.take("spec", "minReplicas"), "max": part.take("spec", "maxReplicas"), **shares}
    part.take("spec", "scaleTargetRef")
    one.take_metadata(into)
    take_ours(part, "metadata", also=workloads[name].labels)
    into.sources["components", name].append(part)
    component = into.components[name]
    if "replicas" in component:
        by = f"{workloads[name].part.name}: spec.replicas: {component.pop('replicas')}"
        into.left.append(f"{by} (the autoscaler says how many)")
    component["autoscaling"] = found_values(scaling)


def _take_budget(one: KubernetesObject, workloads: Mapping[str, KubernetesObject], into: Imported) -> None:
    part = one.part
    workload = selected(part.mapping("spec", "selector", "matchLabels"), workloads)
    if workload is None or "disruption" in into.components[workload]:
        return
    part.take("spec", "selector", "matchLabels")
    bounds = {
        "min-available": part.take("spec", "minAvailable"),
        "max-unavailable": part.take("spec", "maxUnavailable"),
    }
    one.take_metadata(into)
    into.sources["components", workload].append(part)
    into.components[workload]["disruption"] = {
        key: value for key, value in bounds.items() if value is not None
    }
