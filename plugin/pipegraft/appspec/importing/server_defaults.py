"""What an API server adds to an object: defaults, which it will add again, and what it writes itself.

Source: Kubernetes API reference v1.33, defaults of apps/v1, batch/v1 and core/v1.
"""

from __future__ import annotations

import re
from typing import Any

from pipegraft.appspec.importing.consumed_keys import Taking, dotted_route

__all__ = ["take_defaults", "take_written"]

_DEFAULTS: tuple[tuple[str, Any], ...] = (
    (r"spec\.revisionHistoryLimit", 10),
    (r"spec\.progressDeadlineSeconds", 600),
    (r"spec\.minReadySeconds", 0),
    (r"spec\.(paused|suspend)", False),
    (r"spec\.successfulJobsHistoryLimit", 3),
    (r"spec\.failedJobsHistoryLimit", 1),
    (r"(.+\.)?spec\.(parallelism|completions)", 1),
    (r"(.+\.)?spec\.completionMode", "NonIndexed"),
    (r"(.+\.)?spec\.podReplacementPolicy", "TerminatingOrFailed"),
    (r".+\.spec\.dnsPolicy", "ClusterFirst"),
    (r".+\.spec\.schedulerName", "default-scheduler"),
    (r".+\.spec\.enableServiceLinks", True),
    (r".+\.spec\.(hostNetwork|hostPID|hostIPC|shareProcessNamespace)", False),
    (r".+\.terminationMessagePath", "/dev/termination-log"),
    (r".+\.terminationMessagePolicy", "File"),
    (r".+ontainers\[\d+\]\.(stdin|stdinOnce|tty)", False),
    (r".+Probe\.successThreshold", 1),
    (r".+\.securityContext\.privileged", False),
    (r".+\.(configMap|secret|projected)\.defaultMode", 420),
    (r".+\.persistentVolumeClaim\.readOnly", False),
    (r"spec\.volumeMode", "Filesystem"),
    (r"spec\.sessionAffinity", "None"),
    (r"spec\.internalTrafficPolicy", "Cluster"),
    (r"spec\.ipFamilyPolicy", "SingleStack"),
    (r"spec\.ipFamilies\[0\]", "IPv4"),
)
_WRITTEN = re.compile(
    r"status(\..+)?"
    r"|metadata\.(uid|resourceVersion|generation|creationTimestamp|selfLink|managedFields)([.\[].*)?"
    r"|metadata\.annotations\.(deployment\.kubernetes\.io/revision"
    r"|kubectl\.kubernetes\.io/last-applied-configuration)"
    r"|spec\.(clusterIP|clusterIPs\[\d+\])"
)
_HEADLESS = "None"


def take_defaults(part: Taking) -> None:
    """Take what the server would say by itself, were it not there."""
    for route, value in list(part.routes()):
        if _is_default(route, value):
            part.take(*route)


def _is_default(route: tuple[str | int, ...], value: Any) -> bool:
    dotted = dotted_route(route)
    return any(
        type(value) is type(known) and value == known and re.fullmatch(pattern, dotted)
        for pattern, known in _DEFAULTS
    )


def take_written(part: Taking) -> list[str]:
    """Take what only a server writes; answers the keys of it."""
    found: dict[str, None] = {}
    for route, value in list(part.routes()):
        dotted = dotted_route(route)
        if _WRITTEN.fullmatch(dotted) and value != _HEADLESS:
            part.take(*route)
            found[".".join(map(str, route[:1] if route[0] == "status" else route[:2]))] = None
    return list(found)
