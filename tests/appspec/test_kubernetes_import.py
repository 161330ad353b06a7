"""Kubernetes objects as an app spec: what we render comes back the same, and nothing is lost silently."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spec_fields import APP, ENVIRONMENT, spec  # of the folder above

from pipegraft.appspec.importing.kubernetes import import_kubernetes
from pipegraft.appspec.importing.taking import Imported, settle
from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.spec import resolve
from pipegraft.appspec.usecases.importing import kubernetes_files
from pipegraft.core.errors import ConfigError, UsageError

THERE = {"namespace": "shop-space", "components": ENVIRONMENT["components"]}
DROPPED = ("metrics", "shop-admin")
"""A SidecarSet and an Ingress: no part of an app spec says that it is one."""


def app() -> dict[str, Any]:
    """Everything there is but what only other objects can say."""
    found = copy.deepcopy(APP)
    for name in DROPPED:
        del found["components"][name]
    entrance = found["components"]["web"]["entrance"]
    for key in ("router", "gray-for", "affinity", "mirror"):
        del entrance[key]
    return found


def imported(objects: list[dict[str, Any]]) -> Imported:
    into = Imported("shop")
    import_kubernetes([("all.yaml", one) for one in objects], into)
    return into


def again(into: Imported) -> list[dict[str, Any]]:
    files = [yaml.safe_dump(one, sort_keys=False) for one in (into.app_file(), into.environment_file())]
    resolved = resolve(*files, "production")
    return render_kubernetes(resolved, "4be1")


WRONG = [7, "text", [], ["text"], [[]], {"text": 7}, {7: {}}, [{"name": []}], None, True]


def routes(value: Any, route: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, part in parts for found in [(*route, key), *routes(part, (*route, key))]]


OBJECTS = render_kubernetes(spec(app(), THERE), "4be1")


@given(st.sampled_from(routes(OBJECTS)), st.sampled_from(WRONG))
@settings(max_examples=200)
def test_values_of_the_wrong_type_end_nothing(route: tuple[Any, ...], value: Any) -> None:
    objects = copy.deepcopy(OBJECTS)
    at: Any = objects
    for step in route[:-1]:
        at = at[step]
    at[route[-1]] = copy.deepcopy(value)
    into = imported([one for one in objects if isinstance(one, dict)])
    try:
        settle(into)
    except ConfigError as error:
        assert all("all.yaml" in str(problem.place) for problem in error.problems)  # noqa: PT017
    else:
        App.model_validate(into.app_file())
        AppEnvironment.model_validate(into.environment_file())


def test_values_that_an_app_spec_refuses_are_left_with_their_source() -> None:
    objects = list(yaml.safe_load_all(FOREIGN))
    objects[0]["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": "9000", "maxSurge": 1}}
    container = objects[0]["spec"]["template"]["spec"]["containers"][0]
    container["startupProbe"] = {"httpGet": {"path": "healthz", "port": 8080}, "periodSeconds": 9}
    into = imported(objects)
    before = len(into.left)
    settle(into)
    shop = into.components["shop"]
    assert shop["update"] == {"surge": 1}
    assert "startup" not in shop
    named = [line.partition(" (")[0] for line in into.left[before:]]
    place = "all.yaml: Deployment shop: spec"
    assert sorted(named) == [
        f"{place}.strategy.rollingUpdate.maxUnavailable: 9000",
        f"{place}.template.spec.containers[0].startupProbe.httpGet.path: healthz",
        f"{place}.template.spec.containers[0].startupProbe.periodSeconds: 9s",
    ]
    App.model_validate(into.app_file())


def by_name(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"]["name"]): without_order(one) for one in objects}


def without_order(value: Any) -> Any:
    """Objects whose lists stand by name: containers, variables and the like are no sequences here."""
    if isinstance(value, dict):
        return {key: without_order(part) for key, part in value.items()}
    if isinstance(value, list):
        parts = [without_order(part) for part in value]
        return sorted(parts, key=lambda one: str(one.get("name"))) if all_named(parts) else parts
    return value


def all_named(parts: list[Any]) -> bool:
    return all(isinstance(part, dict) and "name" in part for part in parts)


def test_what_is_rendered_comes_back_the_same() -> None:
    rendered = render_kubernetes(spec(app(), THERE), "4be1")
    into = imported(copy.deepcopy(rendered))
    assert into.left == []
    assert by_name(again(into)) == by_name(rendered)


def test_images_and_the_namespace_are_the_environments() -> None:
    into = imported(render_kubernetes(spec(app(), THERE), "4be1"))
    there = into.environment_file()
    assert there["namespace"] == "shop-space"
    assert there["components"]["rules"] == {"image": "registry/rules@sha256:3"}
    assert all("image" not in one for one in into.components.values())


VARIABLES = st.text("ABC", min_size=1, max_size=3)
TEXTS = st.text("a${}()resources. ", max_size=30)
NAMES = st.sampled_from(["web", "pay", "cart", "mail", "log"])


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(NAMES, min_size=1, unique=True))
    ports = iter(range(1000, 2000))
    components: dict[str, Any] = {}
    for index, name in enumerate(names):
        intimacy = "rpc" if index == 0 else draw(st.sampled_from(["rpc", "ipc", "in-process"]))
        part: dict[str, Any] = {"intimacy": intimacy, "image": f"registry/{name}"}
        if intimacy != "rpc":
            part["host"] = names[0]
        if intimacy == "in-process":
            part["mount"] = f"/opt/{name}"
        else:
            part["ports"] = {port: next(ports) for port in draw(st.lists(NAMES, max_size=2, unique=True))}
            part["env"] = draw(st.dictionaries(VARIABLES, TEXTS, max_size=3))
            part["memory"] = draw(st.sampled_from(["1Gi", "512Mi"]))
        components[name] = part
    return {"app": "shop", "components": components}


@given(specs())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_spec_comes_back_the_same(app: dict[str, Any]) -> None:
    for one in app["components"].values():
        for key, text in one.get("env", {}).items():
            one["env"][key] = text.replace("${resource", "$${resource")
    try:
        rendered = render_kubernetes(spec(app, {"namespace": "space"}), "4be1")
    except Exception:  # noqa: BLE001 - what is no valid spec is another test's business
        return
    into = imported(copy.deepcopy(rendered))
    assert into.left == []
    assert by_name(again(into)) == by_name(rendered)


FOREIGN = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  namespace: default
  labels: {app: shop, team: lost-label}
  annotations: {note: lost-note}
spec:
  revisionHistoryLimit: 3
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop, tier: lost-tier}}
    spec:
      hostNetwork: true
      nodeSelector: {disk: lost-disk}
      containers:
        - name: main
          image: registry/shop:1
          imagePullPolicy: Always
          ports:
            - {containerPort: 8080, name: http, hostPort: 80}
            - {containerPort: 53, protocol: UDP, name: dns}
          env:
            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.lost-field}}}
            - {name: KEPT, value: kept}
            - {name: MAYBE, valueFrom: {secretKeyRef: {name: s, key: lost-key, optional: true}}}
            - {name: bad-name, value: lost-value}
          envFrom: [{prefix: LOST_, configMapRef: {name: c}}]
          resources: {requests: {cpu: 100m, example.com/gpu: "1"}, limits: {cpu: 200m}}
          readinessProbe: {httpGet: {path: /, port: lost-port}, periodSeconds: 7}
          livenessProbe: {httpGet: {path: /, port: http, scheme: HTTPS}, periodSeconds: 8}
          startupProbe: {httpGet: {path: /s, port: 8080}, successThreshold: 1}
          lifecycle: {preStop: {exec: {command: [lost-hook]}}}
          volumeMounts:
            - {name: conf, mountPath: /etc/conf, subPath: lost-part}
            - {name: data, mountPath: /data}
            - {name: host, mountPath: /host}
      initContainers: [{name: prepare, image: registry/lost-init}]
      volumes:
        - {name: conf, configMap: {name: conf, items: [{key: lost-item, path: a}]}}
        - {name: data, persistentVolumeClaim: {claimName: shared}}
        - {name: host, hostPath: {path: /lost-host}}
        - {name: unused, emptyDir: {}}
---
apiVersion: v1
kind: Service
metadata: {name: shop-web}
spec: {type: LoadBalancer, selector: {app: shop}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {lost-data: x}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: lost-set}
spec: {replicas: 3, volumeClaimTemplates: [{metadata: {name: data}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec: {rules: [{host: lost.example.com}]}
"""


def walk(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [found for part in value.values() for found in walk(part)]
    return [found for part in value for found in walk(part)] if isinstance(value, list) else [str(value)]


def test_objects_of_others_are_carried_over_as_far_as_that_goes() -> None:
    into = imported(list(yaml.safe_load_all(FOREIGN)))
    assert into.app_file()["components"] == {
        "shop": {
            "intimacy": "rpc",
            "ports": {"http": 8080},
            "env": {"KEPT": "kept"},
            "cpu": "100m",
            "limits": {"cpu": "200m"},
            "startup": {"path": "/s"},
            "volumes": {"data": {"path": "/data", "claim": "shared"}},
        }
    }
    assert into.environment_file() == {
        "namespace": "default",
        "components": {"shop": {"image": "registry/shop:1"}},
    }


def test_everything_of_others_that_is_not_carried_over_is_named() -> None:
    objects = list(yaml.safe_load_all(FOREIGN))
    into = imported(objects)
    said = "\n".join(into.left)
    lost = [one for one in walk(objects) if one.startswith(("lost", "LOST", "/lost"))]
    assert len(lost) == 14
    whole = ["lost.example.com"]  # a value of an object that is named whole
    assert [one for one in lost if one not in said] == whole
    for line in (
        "all.yaml: Deployment shop: spec.template.spec.hostNetwork: True",
        "all.yaml: Deployment shop: spec.template.spec.containers[0].ports[0].hostPort: 80",
        "all.yaml: Deployment shop: spec.template.spec.containers[0].livenessProbe.httpGet.scheme: HTTPS",
        "all.yaml: Deployment shop: spec.template.spec.containers[0].livenessProbe.periodSeconds: 8",
        "all.yaml: Deployment shop: spec.template.spec.volumes[3].name: unused",
        "all.yaml: Deployment shop: spec.template.spec.volumes[3].emptyDir: {}",
        "all.yaml: StatefulSet lost-set: the whole object (spec.replicas: 3: an app spec has no storage for "
        "each replica alone: keep its manifest; `targets` of the environment in delivery.yaml write its "
        "images where it is)",
        "all.yaml: ConfigMap conf: the whole object",
        "all.yaml: Ingress shop: the whole object",
        "all.yaml: Service shop-web: the whole object",
        "all.yaml: Deployment shop: spec.template.spec.containers[0].volumeMounts[2].mountPath: /host",
    ):
        assert line in into.left


@pytest.mark.parametrize("name", DROPPED)
def test_objects_that_no_component_says_are_named_whole(name: str) -> None:
    into = imported(render_kubernetes(spec(APP, THERE), "4be1"))
    image = APP["components"][name]["image"]
    said = yaml.safe_dump([into.app_file(), into.environment_file()])
    assert image in said or f"all.yaml: SidecarSet shop-space.web.{name}: the whole object" in into.left


def test_every_value_we_render_is_carried_over_or_named() -> None:
    rendered = render_kubernetes(spec(APP, THERE), "4be1")
    into = imported(copy.deepcopy(rendered))
    restored = by_name(again(into))
    whole = {line.split(" ")[2].strip(":") for line in into.left if ": the whole object" in line}
    named = set(walk([one for key, one in by_name(rendered).items() if key[1] in whole]))
    for key, one in by_name(rendered).items():
        missing = set(walk(one)) - set(walk(restored.get(key, {}))) - named
        said = "\n".join(line for line in into.left if key[1] in line)
        unnamed = [value for value in missing if value not in said and not value.startswith("PIPEGRAFT_")]
        assert unnamed == [] or key[0] == "Job", key


def deployment(name: str = "web", **pod: Any) -> dict[str, Any]:
    labels = {"app": name}
    container = {
        "name": name,
        "image": f"registry/{name}:1",
        "ports": [{"containerPort": 8080, "name": "http"}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], **pod}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": template},
    }


RELABELLED = "all.yaml: Deployment web: the label app: web, by which its pods were selected; they get others"


def test_what_an_api_server_adds_is_told_in_one_line_and_its_defaults_not_at_all() -> None:
    exported = deployment(dnsPolicy="ClusterFirst", schedulerName="default-scheduler", hostNetwork=False)
    exported["metadata"] |= {
        "uid": "1-2",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    exported["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    exported["spec"] |= {"revisionHistoryLimit": 10, "progressDeadlineSeconds": 601}
    container = exported["spec"]["template"]["spec"]["containers"][0]
    container |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
    exported["status"] = {"replicas": 3, "conditions": [{"type": "Available"}]}
    assert imported([exported]).left == [
        "all.yaml: Deployment web: spec.progressDeadlineSeconds: 601",
        RELABELLED,
        "all.yaml: Deployment web: what the API server wrote: metadata.uid, metadata.resourceVersion, "
        "metadata.creationTimestamp, metadata.annotations, status",
    ]


def test_a_name_that_is_taken_loses_nothing() -> None:
    """Two workloads of one name, and a sidecar that has the name of a workload."""
    sidecar = {"name": "cache", "image": "registry/sidecar:1"}
    web, again_web, cache = deployment(), deployment(), deployment("cache")
    web["spec"]["template"]["spec"]["containers"].append(sidecar)
    into = imported([web, again_web, cache])
    assert into.images == {
        "web": "registry/web:1",
        "web-cache": "registry/sidecar:1",
        "cache": "registry/cache:1",
    }
    assert "all.yaml: Deployment web: the whole object (another one is 'web' already)" in into.left


def test_a_second_object_of_a_kind_for_one_workload_is_named() -> None:
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 70}}}
    target = {"kind": "Deployment", "name": "web"}
    scaler = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "one"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 4, "metrics": [metric]},
    }
    budget = {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "one"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    second = [copy.deepcopy(one) for one in (scaler, budget)]
    for one in second:
        one["metadata"]["name"] = "two"
    into = imported([deployment(), scaler, budget, *second])
    assert into.components["web"]["autoscaling"] == {"max": 4, "cpu": 70}
    assert sorted(into.left) == [
        "all.yaml: Deployment web: spec.replicas: 3 (the autoscaler says how many)",
        RELABELLED,
        "all.yaml: HorizontalPodAutoscaler two: the whole object",
        "all.yaml: PodDisruptionBudget two: the whole object",
    ]


def test_the_last_of_several_values_of_a_variable_counts() -> None:
    web = deployment()
    entries = [{"name": "A", "value": "first"}, {"name": "A", "value": "last"}]
    web["spec"]["template"]["spec"]["containers"][0]["env"] = entries
    into = imported([web])
    assert into.components["web"]["env"] == {"A": "last"}
    assert "all.yaml: Deployment web: spec.template.spec.containers[0].env[0].value: first" in into.left


def test_what_a_pod_says_of_security_holds_for_each_of_its_containers() -> None:
    pod = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "fsGroup": 2000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    web = deployment(securityContext=pod)
    containers = web["spec"]["template"]["spec"]["containers"]
    containers[0]["securityContext"] = {"runAsUser": 7}
    containers.append({"name": "agent", "image": "registry/agent:1"})
    into = imported([web])
    kept = {"non-root": True, "user": 1000, "seccomp": "runtime-default"}
    assert into.components["web"]["security"] == {**kept, "user": 7, "files-group": 2000}
    assert into.components["agent"]["security"] == kept
    assert into.left == [RELABELLED]


def test_an_ingress_of_ingress_nginx_is_an_entrance() -> None:
    service = {
        "kind": "Service",
        "metadata": {"name": "front"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "web", "port": 80, "targetPort": "http"}]},
    }
    backend = {"service": {"name": "front", "port": {"number": 80}}}
    paths = [{"path": "/shop", "pathType": "Prefix", "backend": backend}]
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "front", "annotations": {"nginx.ingress.kubernetes.io/rewrite-target": "/"}},
        "spec": {
            "ingressClassName": "nginx-public",
            "tls": [{"secretName": "tls"}],
            "rules": [
                {"host": host, "http": {"paths": paths}} for host in ("a.example.com", "b.example.com")
            ],
        },
    }
    into = imported([deployment(), service, copy.deepcopy(ingress)])
    assert into.components["web"]["entrance"] == {
        "router": "ingress-nginx",
        "ingress-class": "nginx-public",
        "hosts": ["a.example.com", "b.example.com"],
        "path": "/shop",
    }
    assert into.left == [
        RELABELLED,
        "all.yaml: Service front: the whole object",
        "all.yaml: Ingress front: metadata.annotations.nginx.ingress.kubernetes.io/rewrite-target: /",
        "all.yaml: Ingress front: spec.tls[0].secretName: tls",
    ]
    rendered = [one for one in again(into) if one["kind"] == "Ingress"]
    assert [rule["host"] for rule in rendered[0]["spec"]["rules"]] == ["a.example.com", "b.example.com"]
    for change in ({"ingressClassName": "traefik"}, {"rules": [{"http": {"paths": paths * 2}}]}):
        other = {**ingress, "spec": {**ingress["spec"], **change}}  # type: ignore[dict-item]
        assert "all.yaml: Ingress front: the whole object" in imported([deployment(), service, other]).left


SERVED = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers:
        - name: server
          image: registry/cart:1
          ports: [{containerPort: 7070, name: grpc}, {containerPort: 8080, name: web}]
          readinessProbe: {grpc: {port: 7070}}
          livenessProbe: {grpc: {port: 7070, service: cart.Health}, periodSeconds: 10}
          startupProbe: {exec: {command: [cart, --ready]}, failureThreshold: 30}
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec:
  selector: {app: cart}
  ports:
    - {name: grpc, port: 80, targetPort: 7070}
    - {name: web, port: 8080, targetPort: web}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart}
spec:
  parentRefs: [{kind: Gateway, name: public}]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
"""


def test_service_ports_and_probes_by_grpc_and_command_come_over() -> None:
    objects = list(yaml.safe_load_all(SERVED))
    into = imported(objects)
    assert into.app_file()["components"]["cart"] == {
        "intimacy": "rpc",
        "ports": {"grpc": 7070, "web": 8080},
        "service-ports": {"grpc": 80},
        "readiness": {"grpc": ""},
        "liveness": {"grpc": "cart.Health", "period": "10s"},
        "startup": {"exec": ["cart", "--ready"], "failures": 30},
        "entrance": {"gateway": "public"},
    }
    assert [line for line in into.left if "the label" not in line] == []
    rendered = by_name(again(into))
    container = rendered["Deployment", "cart"]["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"] == {"grpc": {"port": 7070}}
    assert container["livenessProbe"]["grpc"] == {"port": 7070, "service": "cart.Health"}
    assert rendered["Service", "cart"]["spec"]["ports"] == [{"name": "grpc", "port": 80, "targetPort": 7070}]
    backend = rendered["HTTPRoute", "cart"]["spec"]["rules"][0]["backendRefs"][0]
    assert backend == {"name": "cart", "port": 80, "weight": 100}


def test_a_second_number_for_a_port_is_named() -> None:
    service = SERVED.replace(
        "{name: web, port: 8080, targetPort: web}", "{name: more, port: 81, targetPort: 7070}"
    )
    into = imported(list(yaml.safe_load_all(service)))
    assert into.app_file()["components"]["cart"]["service-ports"] == {"grpc": 80}
    assert "all.yaml: Service cart: spec.ports[1].port: 81" in into.left


def charted(folder: Path) -> Path:
    chart = folder / "deploy" / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: cart\nversion: 1.0.0\n")
    (chart / "templates" / "cart.yaml").write_text("name: {{ .Values.name }}\n")
    return folder / "deploy"


def test_a_chart_is_rendered_where_helm_is_there(tmp_path: Path) -> None:
    asked: list[tuple[list[str], str, Sequence[str]]] = []

    def render(files: Mapping[str, bytes], folder: str, values: Sequence[str]) -> str:
        asked.append((sorted(files), folder, values))
        return SERVED

    (tmp_path / ".git").mkdir()
    source = charted(tmp_path)
    done = kubernetes_files(
        source, None, "live", tmp_path / "iac", renderers={"helm": render}, values=["live.yaml"]
    )
    assert done.components == ("cart",)
    chart = "deploy/chart"
    files = [f"{chart}/Chart.yaml", f"{chart}/templates/cart.yaml"]
    assert asked == [(files, chart, [f"{chart}/live.yaml"])]


def test_a_chart_without_helm_is_named_and_the_rest_comes_over(tmp_path: Path) -> None:
    source = charted(tmp_path)
    (source / "plain.yaml").write_text(SERVED)
    done = kubernetes_files(source, None, "live", tmp_path / "iac")
    assert done.components == ("cart",)
    assert f"{source / 'chart'}: the whole folder (helm renders it, and is not on PATH)" in done.left


def test_a_base_with_overlays_is_refused(tmp_path: Path) -> None:
    for name in ("base", "overlays/live"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "kustomization.yaml").write_text("resources: []\n")
    with pytest.raises(UsageError, match=r"expected one kustomization, found 2: .*base, .*overlays/live"):
        kubernetes_files(tmp_path, None, "live", tmp_path / "iac")


CLAIM = {
    "metadata": {"name": "data", "creationTimestamp": None},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": "10Gi"}},
    },
}


def stateful(mount: Mapping[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    found = {**deployment("db"), "kind": "StatefulSet"}
    found["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [
        {"name": "data", "mountPath": "/data", **(mount or {})}
    ]
    found["spec"] |= {
        "replicas": 1,
        "serviceName": "db",
        "volumeClaimTemplates": [copy.deepcopy(CLAIM)],
        **spec,
    }
    return found


def test_a_stateful_set_with_one_replica_keeps_its_storage() -> None:
    into = imported([stateful(podManagementPolicy="OrderedReady")])
    settle(into)
    assert into.components["db"] == {
        "intimacy": "rpc",
        "replicas": 1,
        "update": {"strategy": "recreate"},
        "ports": {"http": 8080},
        "volumes": {"data": {"path": "/data", "persistent": {"size": "10Gi", "class": "fast"}}},
    }
    assert [line.partition(": ")[2] for line in into.left] == [
        "StatefulSet db: spec.volumeClaimTemplates[0]: what is in the claim 'data-db-0' (a new one is "
        "'db-data'; `claim` in place of `persistent` keeps the old)",
        "StatefulSet db: spec.serviceName: db (no pod has a name of its own, as db-0.db)",
        "StatefulSet db: the label app: db, by which its pods were selected; they get others",
    ]
    rendered = by_name(again(into))
    assert rendered["Deployment", "db"]["spec"]["strategy"] == {"type": "Recreate"}
    assert rendered["PersistentVolumeClaim", "db-data"]["spec"]["storageClassName"] == "fast"


def test_replicas_of_a_stateful_set_without_storage_are_replaced_one_by_one() -> None:
    into = imported([stateful(replicas=3, volumeClaimTemplates=[])])
    assert into.components["db"]["update"] == {"strategy": "rolling", "surge": 0, "unavailable": 1}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (stateful(replicas=2), "spec.replicas: 2: an app spec has no storage for each replica alone"),
        (stateful({"subPath": "db"}), "spec.volumeClaimTemplates[0]: 'data' is mounted in part"),
        (
            stateful(volumeClaimTemplates=[{"metadata": {"name": "data"}}]),
            "spec.volumeClaimTemplates[0]: 'data' is no storage of one access mode and a size",
        ),
    ],
)
def test_storage_that_no_component_can_have_leaves_the_whole_object(
    changed: dict[str, Any], said: str
) -> None:
    into = imported([changed, deployment()])
    assert list(into.components) == ["web"]
    assert any(line.startswith(f"all.yaml: StatefulSet db: the whole object ({said}: ") for line in into.left)


def test_what_is_suspended_is_left_whole_and_never_runs() -> None:
    pod = {"spec": {"containers": [{"name": "tick", "image": "r/tick:1"}], "restartPolicy": "Never"}}
    job = {"schedule": "@daily", "jobTemplate": {"spec": {"template": pod}}}
    objects = [
        {"kind": "CronJob", "metadata": {"name": "on"}, "spec": {**job, "suspend": False}},
        {"kind": "CronJob", "metadata": {"name": "off"}, "spec": {**job, "suspend": True}},
        {"kind": "Job", "metadata": {"name": "once"}, "spec": {"template": pod, "suspend": True}},
    ]
    into = imported(objects)
    assert list(into.components) == ["on"]
    for name in ("CronJob off", "Job once"):
        said = f"all.yaml: {name}: the whole object (spec.suspend: true: "
        assert any(line.startswith(said) for line in into.left)


def test_an_autoscaler_of_a_stateful_set_with_storage_is_left_whole() -> None:
    scaler = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "db"},
        "spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "db"}, "maxReplicas": 3},
    }
    into = imported([stateful(), scaler])
    assert "autoscaling" not in into.components["db"]
    assert "all.yaml: HorizontalPodAutoscaler db: the whole object" in into.left


def test_an_ingress_of_several_hosts_before_a_service_that_comes_over_is_an_entrance() -> None:
    port = {"name": "public", "port": 80, "targetPort": 8080}
    service = {
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [port]},
    }
    backend = {"service": {"name": "web", "port": {"name": "public"}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    rules = [{"host": host, "http": {"paths": copy.deepcopy(paths)}} for host in ("a.example", "b.example")]
    ingress = {
        "kind": "Ingress",
        "metadata": {"name": "web"},
        "spec": {"ingressClassName": "nginx", "rules": rules},
    }
    into = imported([deployment(), service, ingress])
    assert into.components["web"]["entrance"] == {
        "router": "ingress-nginx",
        "hosts": ["a.example", "b.example"],
    }
