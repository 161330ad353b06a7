"""Which requests reach a pod, and how they are split: told to whatever router the entrance names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipegraft.appspec.model.spec import Entrance
from pipegraft.appspec.pods import Pod
from pipegraft.appspec.ports.traffic import ClusterRouter, EntranceSplit, GrayShare
from pipegraft.appspec.rendering.common import ANNOTATION, Manifest, ports_of
from pipegraft.appspec.routers.gateway_api import GatewayApi
from pipegraft.appspec.routers.registered import CLUSTER_ROUTERS, DEFAULT_ROUTER
from pipegraft.appspec.spec import GRAY_SUFFIX, Resolved
from pipegraft.core.errors import UsageError

__all__ = ["gray_gets_more", "http_route_of", "is_routed", "other_routers", "routes_of"]

_EMBEDDED: Final = "embedded"


def is_routed(resolved: Resolved, pod: Pod) -> bool:
    """Whether requests to the pod are split or come from outside."""
    split = resolved.gray is not None and pod.name in resolved.gray.pods and bool(ports_of(pod))
    return pod.main.spec.entrance is not None or split


def routes_of(
    resolved: Resolved, pod: Pod, routers: Mapping[str, ClusterRouter] = CLUSTER_ROUTERS
) -> Iterator[Manifest]:
    """The objects of the router that a pod's entrance names.

    Arguments:
        routers: name → router, for those of plugins.

    Raises:
        UsageError: there is no such router, or it cannot do what is asked.
    """
    split = _split(resolved, pod)
    name = split.entrance.router or DEFAULT_ROUTER
    router = routers.get(name)
    if router is None:
        raise UsageError(
            f"the entrance of '{pod.name}' names the router '{name}', which works in no cluster; "
            f"there are: {', '.join(routers)}",
            fix="correct 'router' of the entrance, or install the plugin that brings it",
        )
    for refusal in router.refusals(split.entrance):
        raise UsageError(f"the entrance of '{pod.name}': {refusal.message}", fix=refusal.fix)
    for item in router.render(split):
        annotations = _listen(split.entrance) | item["metadata"].pop("annotations", {})
        if annotations:
            item["metadata"]["annotations"] = annotations
        yield item


def http_route_of(resolved: Resolved, pod: Pod) -> Manifest:
    """The pod's route in the words of the Gateway API, whatever router it names: for where none is."""
    route: Manifest = GatewayApi().render(_split(resolved, pod))[0]
    return route


def other_routers(resolved: Resolved, router: str) -> Iterator[tuple[str, str]]:
    """Components of a gray release that another router splits than the delivery says, with its name.

    Arguments:
        router: what `gray.router` of the delivery names. The embedded engine reads HTTPRoutes, too.
    """
    understood = {router, DEFAULT_ROUTER} if router == _EMBEDDED else {router}
    for entrance, name in _split_entrances(resolved):
        if (entrance.router or DEFAULT_ROUTER) not in understood:
            yield name, entrance.router or DEFAULT_ROUTER


def gray_gets_more(resolved: Resolved) -> bool:
    """Whether the new version is meant to get requests beside its weight."""
    return any(
        entrance.gray_for or entrance.affinity or entrance.mirror
        for entrance, _ in _split_entrances(resolved)
    )


def _split_entrances(resolved: Resolved) -> Iterator[tuple[Entrance, str]]:
    for pod in resolved.pods:
        if resolved.gray and pod.name in resolved.gray.pods and is_routed(resolved, pod):
            yield pod.main.spec.entrance or Entrance(), pod.name


def _listen(entrance: Entrance) -> dict[str, Any]:
    return {f"{ANNOTATION}listen": entrance.listen} if entrance.listen else {}


def _split(resolved: Resolved, pod: Pod) -> EntranceSplit:
    entrance = pod.main.spec.entrance or Entrance()
    gray = None
    if resolved.gray and pod.name in resolved.gray.pods:
        new = resolved.gray.pods[pod.name]
        weight, number = resolved.gray.weight, resolved.gray.release.number
        gray = GrayShare(pod.name + GRAY_SUFFIX, _service_port(new), weight, number)
    return EntranceSplit(pod.name, resolved.namespace, _service_port(pod), entrance, gray)


def _service_port(pod: Pod) -> int:
    return pod.entrance[1] if pod.entrance else next(iter(pod.main.ports.values()))
