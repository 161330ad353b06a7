"""What must hold between the components of a pod, and what each may say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from pipegraft.appspec.model import SET_BY_US
from pipegraft.appspec.pods import VOLUME_KINDS, Member, Pod, volume_kind
from pipegraft.appspec.routers import CLUSTER_ROUTERS, DEFAULT_ROUTER
from pipegraft.appspec.traits import Probe, amount_of, named_in
from pipegraft.core.model import kebab

__all__ = ["HOST_ONLY", "PROCESS_ONLY", "Report", "check_listeners", "check_pod"]

HOST_ONLY = (
    "replicas",
    "autoscaling",
    "entrance",
    "service_ports",
    "grace",
    "update",
    "disruption",
    "spread",
    "service_account",
    "pull_secrets",
    "annotations",
    "job",
)
"""Attributes of an rpc component alone."""

PROCESS_ONLY = (
    "ports",
    "env",
    "env_from",
    "volumes",
    "cpu",
    "memory",
    "limits",
    "startup",
    "readiness",
    "liveness",
    "security",
)
"""Attributes of rpc and ipc components."""

_NO_JOB = (
    "replicas",
    "autoscaling",
    "entrance",
    "update",
    "disruption",
    "spread",
    "ports",
    "service_ports",
    "readiness",
)

_LONGEST_JOB = 52  # Kubernetes adds 11 characters to the name of a CronJob, we as many to that of a Job


class Report(Protocol):
    """Takes one mistake: message, route below ``components``, fix."""

    def __call__(self, message: str, route: tuple[str, ...], fix: str = "") -> None: ...


def check_pod(pod: Pod, report: Report) -> None:
    """Report everything in a pod that does not fit together."""
    _check_main(pod, report)
    _check_router(pod, report)
    for member in pod.guests:
        _check_guest(member, report)
    for member in pod.members:
        if member.spec.image is None:
            report(f"component '{member.name}' has no image", (member.name,), "release it, or add 'image'")
        for kind in ("startup", "readiness", "liveness"):
            _check_probe(member, kind, getattr(member.spec, kind), report)
        _check_limits(member, report)
    _check_named_variables(pod, report)
    _check_job(pod, report)
    _check_autoscaling(pod, report)
    _check_update(pod, report)
    _check_ports(pod, report)
    _check_mounts(pod, report)
    _check_volumes(pod, report)


def _check_main(pod: Pod, report: Report) -> None:
    spec = pod.main.spec
    for key in ("host", "mount", "attach", "sidecar"):
        if getattr(spec, key) is not None:
            report(f"'{key}' is for components in another one's pod; '{pod.name}' is rpc", (pod.name, key))
    if spec.entrance and pod.entrance is None:
        names = [member.name for member in pod.processes if member.ports]
        report(
            f"the entrance of '{pod.name}' leads to no port",
            (pod.name, "entrance"),
            f"name a component of the pod with 'via' and one of its ports; with ports: {', '.join(names)}"
            if names
            else "declare 'ports'",
        )


def _check_router(pod: Pod, report: Report) -> None:
    """Refuse what the entrance's router cannot do; a plugin's router is asked when it renders."""
    entrance = pod.main.spec.entrance
    router = entrance and CLUSTER_ROUTERS.get(entrance.router or DEFAULT_ROUTER)
    if entrance and router:
        for refusal in router.refusals(entrance):
            report(refusal.message, (pod.name, "entrance", refusal.key), refusal.fix)


def _check_guest(member: Member, report: Report) -> None:
    refused = HOST_ONLY if member.intimacy == "ipc" else (*HOST_ONLY, *PROCESS_ONLY, "sidecar")
    for name in refused:
        if getattr(member.spec, name) is not None:
            key = kebab(name)
            owner = "the pod's main component" if name in HOST_ONLY else "a component with a process"
            report(f"'{key}' belongs to {owner}; '{member.name}' is {member.intimacy}", (member.name, key))
    if member.intimacy == "in-process" and member.spec.mount is None:
        report(
            f"'{member.name}' is in-process and has no 'mount'",
            (member.name,),
            "add 'mount', the absolute path where it appears in the pod",
        )
    if member.intimacy == "ipc":
        _check_ipc(member, report)
    elif member.attach == "image-volume":
        for key in ("command", "args"):
            if getattr(member.spec, key) is not None:
                report(
                    f"'{key}' is for init containers; '{member.name}' is attached as an image volume",
                    (member.name, key),
                    "write 'attach: init-container', or remove it",
                )


def _check_ipc(member: Member, report: Report) -> None:
    for key in ("mount", "attach"):
        if getattr(member.spec, key) is not None:
            report(f"'{key}' is for in-process components; '{member.name}' is ipc", (member.name, key))
    if member.spec.security and member.spec.security.files_group is not None:
        report(
            f"'files-group' is one for the whole pod; '{member.name}' is ipc",
            (member.name, "security", "files-group"),
            "write it at the pod's main component",
        )


def _check_probe(member: Member, kind: str, probe: Probe | None, report: Report) -> None:
    if probe and probe.exec is None and member.port(probe.port) is None:
        known = ", ".join(member.ports) or "none"
        wanted = f"no port '{probe.port}'" if probe.port else "no ports"
        report(f"'{member.name}' has {wanted} to probe; there are: {known}", (member.name, kind))


def _check_limits(member: Member, report: Report) -> None:
    limits = member.spec.limits
    for key in ("cpu", "memory"):
        asked, limit = getattr(member.spec, key), getattr(limits, key, None)
        if asked and limit and amount_of(limit) < amount_of(asked):
            report(
                f"the limit {limit} is less than the {asked} that are kept for '{member.name}'",
                (member.name, "limits", key),
                f"write at least '{key}: {asked}'",
            )


def _check_named_variables(pod: Pod, report: Report) -> None:
    """Kubernetes leaves ``$(NAME)`` as it is where nothing is called so: the program would get that text."""
    told = pod.variables()
    for member in pod.members:
        spec = member.spec
        texts: list[tuple[tuple[str, ...], object]] = [(("command",), word) for word in spec.command or ()]
        texts += [(("args",), word) for word in spec.args or ()]
        texts += [(("env", name), value) for name, value in (spec.env or {}).items()]
        for route, text in texts:
            for name in dict.fromkeys(named_in(text) if isinstance(text, str) else ()):
                if name.startswith(SET_BY_US) and name not in told:
                    report(
                        f"'{member.name}' uses $({name}), which nothing in the pod of '{pod.name}' sets",
                        (member.name, *route),
                        f"there are: {', '.join(told) or 'none'}; another workload is at COMPONENT:PORT",
                    )


def _check_job(pod: Pod, report: Report) -> None:
    job = pod.main.spec.job
    if job is None:
        return
    for name in _NO_JOB:
        if getattr(pod.main.spec, name) is not None:
            report(f"'{kebab(name)}' is not for jobs; '{pod.name}' has 'job'", (pod.name, kebab(name)))
    for name in ("time_zone", "overlap"):
        if getattr(job, name) is not None and job.schedule is None:
            report(f"'{kebab(name)}' needs a 'schedule'", (pod.name, "job", kebab(name)), "add 'schedule'")
    if len(pod.name) > _LONGEST_JOB:
        report(f"expected at most {_LONGEST_JOB} characters for a job", (pod.name,))
    for member in pod.sidecars:
        if member.sidecar != "native":
            report(
                f"the job '{pod.name}' would never end beside '{member.name}'",
                (member.name,),
                "write 'sidecar: native', which stops with the job",
            )


def _check_autoscaling(pod: Pod, report: Report) -> None:
    scaling, route = pod.main.spec.autoscaling, (pod.name, "autoscaling")
    if scaling is None:
        return
    if pod.main.spec.replicas is not None:
        report(
            f"'{pod.name}' has both 'replicas' and 'autoscaling'",
            route,
            "keep one; in an environment write 'replicas: null' or 'autoscaling: null'",
        )
    if scaling.max is None:
        report(f"the autoscaling of '{pod.name}' has no 'max'", route, "add 'max'")
    elif (scaling.min or 1) > scaling.max:
        report(f"expected 'min' to be at most 'max', found {scaling.min} and {scaling.max}", route)
    targets = [name for name in ("cpu", "memory") if getattr(scaling, name) is not None]
    if not targets:
        report(f"the autoscaling of '{pod.name}' has nothing to go by", route, "add 'cpu' or 'memory'")
    for target in targets:
        for member in pod.processes:
            if getattr(member.spec, target) is None:
                report(
                    f"'{pod.name}' is scaled by percent of the {target} kept for its pod, "
                    f"and '{member.name}' says none",
                    (member.name,),
                    f"add '{target}' to '{member.name}'",
                )


def _check_update(pod: Pod, report: Report) -> None:
    update, disruption = pod.main.spec.update, pod.main.spec.disruption
    if update and update.strategy == "recreate":
        for key in ("surge", "unavailable"):
            if getattr(update, key) is not None:
                report(
                    f"'{key}' is for rolling updates; the strategy of '{pod.name}' is 'recreate'",
                    (pod.name, "update", key),
                    f"remove it, or write '{key}: null' where a layer below says it",
                )
    elif update and _none(update.surge) and _none(update.unavailable):
        report(
            "with neither 'surge' nor 'unavailable' instances no update can begin",
            (pod.name, "update"),
            "let one of them be more than 0",
        )
    if disruption and disruption.min_available is not None and disruption.max_unavailable is not None:
        report(
            "expected either 'min-available' or 'max-unavailable'",
            (pod.name, "disruption"),
            "take one away with null",
        )


def _none(count: int | str | None) -> bool:
    return count is not None and int(str(count).removesuffix("%")) == 0


def _check_ports(pod: Pod, report: Report) -> None:
    owners: dict[int, str] = {}
    for member in pod.processes:
        for name, number in member.ports.items():
            owner = f"{member.name}.{name}"
            if owners.setdefault(number, owner) != owner:
                report(
                    f"'{owner}' and '{owners[number]}' share one pod and both listen on {number}",
                    (member.name, "ports", name),
                    "give one of them another port",
                )
    variables = [name for name, _ in pod.told()]
    for name in sorted({name for name in variables if variables.count(name) > 1}):
        report(f"two ports of the pod '{pod.name}' would both be {name}", (pod.name,), "rename one")


def _check_mounts(pod: Pod, report: Report) -> None:
    """No two things at one path of one container."""
    for member in pod.processes:
        owners: dict[str, str] = {}
        for name, path, route in _mounts(pod, member):
            clean = path.rstrip("/")
            if clean and owners.setdefault(clean, name) != name:
                report(f"'{name}' and '{owners[clean]}' are both mounted at {clean}", route)


def _mounts(pod: Pod, member: Member) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if member is pod.main:
        for mounted in pod.mounted:
            yield mounted.name, mounted.spec.mount or "", (mounted.name, "mount")
    for name, volume in member.volumes.items():
        yield name, volume.path or "", (member.name, "volumes", name)


def _check_volumes(pod: Pod, report: Report) -> None:
    kinds: dict[str, str] = {}
    mounted = {member.name for member in pod.mounted}
    for member in pod.processes:
        for name, volume in member.volumes.items():
            route = (member.name, "volumes", name)
            if volume.path is None:
                report(f"the volume '{name}' of '{member.name}' has no 'path'", route, "add 'path'")
            if name in mounted:
                report(f"'{name}' is the volume of an in-process component already", route, "rename it")
            declared = [kind for kind in VOLUME_KINDS if getattr(volume, kind) is not None]
            if len(declared) > 1:
                report(
                    f"expected one kind of volume, found '{declared[0]}' and '{declared[1]}'",
                    route,
                    "take one away with null",
                )
            if declared and kinds.setdefault(name, member.name) != member.name:
                report(
                    f"'{member.name}' and '{kinds[name]}' both say what the volume '{name}' is",
                    route,
                    "let one of them say it, and the other only 'path'",
                )
    _check_persistent(pod, report)


def _check_persistent(pod: Pod, report: Report) -> None:
    several = pod.main.spec.autoscaling is not None or (pod.main.spec.replicas or 0) > 1
    for member in pod.processes:
        for name, volume in member.volumes.items():
            if volume_kind(volume) != "persistent" or volume.persistent is None:
                continue
            route = (member.name, "volumes", name, "persistent")
            if volume.persistent.size is None:
                report(f"the persistent volume '{name}' has no 'size'", route, "add 'size', such as 10Gi")
            if several and volume.persistent.access in (None, "once"):
                report(
                    f"the volume '{name}' can be used from one node, and '{pod.name}' has several instances",
                    route,
                    "write 'access: many' if the storage can do that, or have one instance",
                )


def check_listeners(pods: Iterable[Pod], report: Report) -> None:
    """No two pods may listen on one address of the machine."""
    seen: dict[str, str] = {}
    for pod in pods:
        listen = pod.main.spec.entrance.listen if pod.main.spec.entrance else None
        if listen and seen.setdefault(listen, pod.name) != pod.name:
            report(
                f"'{seen[listen]}' and '{pod.name}' both listen on {listen}", (pod.name, "entrance", "listen")
            )
