"""What KubeVela's definitions make of an Application's workloads, as their CUE templates say.

Of ``webservice``, ``scaler``, ``init-container``, ``sidecar`` and ``json-patch``: the sources are named in
``vela_definitions.yaml``. Traits patch in their order; ``+patchKey=name`` appends what has a new name.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Data = dict[str, Any]

_SCHEMAS: Data = yaml.safe_load((Path(__file__).parent / "vela_definitions.yaml").read_text())
_CONTAINER = {"image": "image", "cmd": "command", "args": "args", "env": "env"}
_PROBES = ("livenessProbe", "readinessProbe")


def check_properties(kind: str, properties: Data) -> None:
    """Raise if a definition does not have these parameters."""
    schema = {
        "$defs": _SCHEMAS["$defs"],
        "type": "object",
        "additionalProperties": False,
        **_SCHEMAS["definitions"][kind],
    }
    jsonschema.Draft202012Validator(schema).validate(properties)


def deployment(application: Data, component: Data) -> Data:
    """The Deployment of one ``webservice``."""
    properties = component["properties"]
    labels = {"app.oam.dev/name": application["metadata"]["name"], "app.oam.dev/component": component["name"]}
    main = {"name": component["name"], **_renamed(properties)}
    if "ports" in properties:
        main["ports"] = [
            {
                "containerPort": port.get("containerPort", port["port"]),
                "protocol": "TCP",
                "name": port["name"],
            }
            for port in properties["ports"]
        ]
    amounts = {key: properties[key] for key in ("cpu", "memory") if key in properties}
    if amounts:
        main["resources"] = {"requests": amounts, "limits": dict(amounts)}
    metadata: Data = {"labels": labels}
    if "annotations" in properties:
        metadata["annotations"] = properties["annotations"]
    pod: Data = {"containers": [main]}
    if "imagePullSecrets" in properties:
        pod["imagePullSecrets"] = [{"name": name} for name in properties["imagePullSecrets"]]
    made: Data = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": component["name"], "namespace": application["metadata"]["namespace"]},
        "spec": {
            "selector": {"matchLabels": {"app.oam.dev/component": component["name"]}},
            "template": {"metadata": metadata, "spec": pod},
        },
    }
    for trait in component["traits"]:
        _TRAITS[trait["type"]](made, trait["properties"])
    return made


def _renamed(properties: Data) -> Data:
    found = {name: properties[key] for key, name in _CONTAINER.items() if key in properties}
    return {**found, **{key: properties[key] for key in _PROBES if key in properties}}


def _scaler(made: Data, properties: Data) -> None:
    made["spec"]["replicas"] = properties["replicas"]


def _sidecar(made: Data, properties: Data) -> None:
    pod = made["spec"]["template"]["spec"]
    pod["containers"].append({"name": properties["name"], **_renamed(properties)})


def _init_container(made: Data, properties: Data) -> None:
    pod = made["spec"]["template"]["spec"]
    name = properties["mountName"]
    main = pod["containers"][0]
    main.setdefault("volumeMounts", []).append({"name": name, "mountPath": properties["appMountPath"]})
    pod.setdefault("volumes", []).append({"name": name, "emptyDir": {}})
    pod.setdefault("initContainers", []).append(
        {
            "name": properties["name"],
            **_renamed(properties),
            "imagePullPolicy": "IfNotPresent",
            "volumeMounts": [{"name": name, "mountPath": properties["initMountPath"]}],
        }
    )


def _json_patch(made: Data, properties: Data) -> None:
    for operation in properties["operations"]:
        *steps, last = operation["path"].lstrip("/").split("/")
        at: Any = made
        for step in steps:
            at = at[int(step)] if isinstance(at, list) else at[step]  # RFC 6902: what holds it must exist
        value = copy.deepcopy(operation["value"])
        if isinstance(at, list):
            assert last == "-", operation
            at.append(value)
        else:
            assert last not in at, f"{operation['path']} would replace {at[last]}"
            at[last] = value


_TRAITS = {
    "scaler": _scaler,
    "sidecar": _sidecar,
    "init-container": _init_container,
    "json-patch": _json_patch,
}
