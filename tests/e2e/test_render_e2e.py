"""Everything that is rendered is taken by what will read it: a Kubernetes API server, and Compose."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import vela
import yaml
from compose_files import NESTED
from harness import missing, run
from kubernetes_api import KubernetesApi
from spec_fields import APP, ENVIRONMENT, PLAIN, POLICIES, spec

from pipegraft.appspec.importing.compose import read_compose
from pipegraft.appspec.rendering.compose import render_compose
from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.rendering.oam import render_application
from pipegraft.appspec.rendering.yaml_output import dump_documents
from pipegraft.appspec.spec import Resolved
from pipegraft.core.reading import load_marked

pytestmark = pytest.mark.e2e

Data = dict[str, Any]


def everything(namespace: str) -> Resolved:
    """Every key of the app spec, in a namespace that exists."""
    app, environment = copy.deepcopy(APP), copy.deepcopy(ENVIRONMENT)
    environment["namespace"] = namespace
    # The definition of HTTPRoutes at hand is older than mirrors of a part.
    app["components"]["web"]["entrance"]["mirror"] = 100
    return spec(app, environment)


def policies(namespace: str) -> Resolved:
    """Every policy, and components that leave all to them."""
    return spec({**PLAIN, "policies": POLICIES}, {"namespace": namespace, "components": {}})


def accepted(kubernetes: KubernetesApi, objects: list[Data]) -> list[str]:
    """Kinds of the objects, after the server took them all as they are."""
    known = [adapted(item) for item in objects]
    words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-"]
    answered = kubernetes.kubectl(*words, given=known).split()
    assert len(answered) == len(objects)
    return sorted({item["kind"] for item in objects})


def adapted(item: Data) -> Data:
    """HTTPRoutes in the newest version that the definition at hand serves; its parents have no port yet."""
    if item["kind"] != "HTTPRoute":
        return item
    route = copy.deepcopy({**item, "apiVersion": "gateway.networking.k8s.io/v1beta1"})
    for parent in route["spec"]["parentRefs"]:
        parent.pop("port", None)
    return route


@pytest.fixture
def namespace(kubernetes: KubernetesApi) -> str:
    if not kubernetes.crds:
        pytest.skip("no schemas here (PIPEGRAFT_SCHEMAS)")
    return kubernetes.namespace("render")


def test_plain_objects_are_taken(kubernetes: KubernetesApi, namespace: str) -> None:
    kinds = accepted(kubernetes, render_kubernetes(everything(namespace), "4be1"))
    assert kinds == [
        "CronJob",
        "Deployment",
        "HTTPRoute",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Service",
        "SidecarSet",
    ]
    accepted(kubernetes, render_kubernetes(policies(namespace), "4be1"))


def test_applications_are_taken_and_so_is_what_kubevela_makes_of_them(
    kubernetes: KubernetesApi, namespace: str
) -> None:
    for resolved in (everything(namespace), policies(namespace)):
        application = render_application(resolved, "4be1")
        assert accepted(kubernetes, [application]) == ["Application"]
        components = application["spec"]["components"]
        made = [vela.deployment(application, one) for one in components if one["type"] == "webservice"]
        beside = [
            item
            for one in components
            if one["type"] == "k8s-objects"
            for item in one["properties"]["objects"]
        ]
        assert "Deployment" in accepted(kubernetes, [*made, *beside])


def test_an_unknown_field_would_be_seen(kubernetes: KubernetesApi, namespace: str) -> None:
    service = next(
        item for item in render_kubernetes(everything(namespace), "4be1") if item["kind"] == "Service"
    )
    service["spec"]["prots"] = []
    words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"]
    assert "prots" in kubernetes.kubectl_process(*words, given=[service]).stderr


def compose_check() -> Path:
    """A program around the library of Docker Compose."""
    program = Path(run(Path(__file__).parent / "compose-check" / "folder").strip()) / "compose-check"
    if not program.exists():
        missing("compose-check")
    return program


ENV_FILE = r"""
# a comment
PLAIN=one two   # and a comment
export EXPORTED = padded
HASH=a#b
COLON: of-yaml
SINGLE='$PLAIN and \n # as it is'
DOUBLE="first\nsecond \$PLAIN ${PLAIN}" # comment
QUOTE="said \"so\""
LINES="one
two"
EMPTY=
AFTER=${EMPTY:-nothing}-${ABSENT-none}-${PLAIN:+there}
TRAILING=x y\t
URL=http://host:80/?a=b&c=d
"""
COMPOSE_FILE = """
services:
  web:
    image: web
    env_file: [shared.env, {path: absent.env, required: false}, {path: raw.env, format: raw}]
    environment:
      ALL: $PLAIN|${EXPORTED}|${HASH}|${COLON}|${SINGLE}|${DOUBLE}
      REST: ${QUOTE}|${LINES}|${EMPTY}|${TRAILING}|${URL}
      ELSE: ${ABSENT:-${PLAIN}}/${EMPTY:-${ABSENT-x}}/${EMPTY-y}/${PLAIN:+z}/${PLAIN+}/$$PLAIN/$$$HASH
      OVER: here
      COLON:
      NUMBER: 0x10
      BOOL: true
"""
SHARED = "OVER=shared\nFROM=${PLAIN}/${OVER}\nONLY='a $b'\n"


def test_variables_of_a_compose_file_are_what_docker_compose_reads(tmp_path: Path) -> None:
    """By the library of Docker Compose: `.env`, `env_file`, defaults, quotes, dollars."""
    texts = {
        ".env": ENV_FILE,
        "compose.yaml": COMPOSE_FILE,
        "shared.env": SHARED,
        "raw.env": "RAW='$PLAIN' # x\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [compose_check(), tmp_path / "compose.yaml"], capture_output=True, text=True, check=True, env={}
    )
    data = load_marked(COMPOSE_FILE, "compose.yaml").data
    (service,), _ = read_compose(data, "compose.yaml", texts.get)
    ours = {name: value and value.replace("$$", "$") for name, value in service.env.items()}
    assert ours == json.loads(done.stdout)["web"]["environment"]


def test_included_and_extended_files_say_what_docker_compose_reads(tmp_path: Path) -> None:
    for name, text in NESTED.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    theirs = json.loads(run(compose_check(), tmp_path / "compose.yaml"))
    services, _ = read_compose(yaml.safe_load(NESTED["compose.yaml"]), "compose.yaml", NESTED.get)
    assert {one.name: one.env for one in services} == {
        name: one["environment"] or {} for name, one in theirs.items()
    }
    for one in services:
        built = theirs[one.name]["build"] or {}
        assert built.get("context") == (one.build and str((tmp_path / one.build).resolve()))
        assert built.get("target") == one.build_keys.get("target")
        assert built.get("additional_contexts", {}) == {
            name: str((tmp_path / place).resolve())
            for name, place in one.build_keys.get("additional-contexts", {}).items()
        }


def test_docker_compose_reads_the_compose_file(tmp_path: Path) -> None:
    """By the library of Docker Compose: its schema, its variables, its files of variables."""
    program = compose_check()
    for name in ("config/more-config", "secrets/more-secrets", "config/governance-config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.env").write_text("A=1\n")
    file = tmp_path / "compose.yaml"
    file.write_text(dump_documents([render_compose(spec(), "4be1")]))
    variables = {"SECRET_NAME_SECRET_KEY": "s", "CONFIG_NAME_CONFIG_KEY": "c"}
    done = subprocess.run([program, file], capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    names = {"web", "web-gray", "web-governance", "web-logs", "web-metrics", "web-rules", "nightly"}
    assert names <= set(json.loads(done.stdout))
    del variables["SECRET_NAME_SECRET_KEY"]
    unset = subprocess.run([program, file], capture_output=True, text=True, check=False, env=variables)
    assert "set it to the key secret-key of secret-name" in unset.stderr


BUILD = """\
services:
  web:
    build:
      context: web
      dockerfile: prod.Dockerfile
      target: runtime
      args: [LEVEL=info, FROM_SHELL]
      platforms: [linux/amd64, linux/arm64]
      additional_contexts: [shared=./shared, tools=docker-image://node:22, far=https://git.example.com/far.git]
      secrets: [npm, {source: pip, target: pip.conf}, {source: vault}]
      cache_from: ["registry.example.com/shop/web:cache", "type=local,src=.cache"]
      cache_to: ["type=local,dest=.cache", "type=s3,bucket=b,secret_access_key=hidden"]
      ssh: [default]
      network: host
      shm_size: 64m
      labels: {team: shop}
      tags: ["registry.example.com/shop/web:1"]
      no_cache: true
      pull: true
      extra_hosts: ["registry.example.com:10.0.0.1"]
      ulimits: {nofile: 1024}
      isolation: default
      privileged: true
      entitlements: [network.host]
      provenance: mode=max
      sbom: true
  inline:
    build: {dockerfile_inline: FROM scratch}
  far:
    build: https://user:hidden@git.example.com/far.git#main:web
secrets:
  npm: {environment: NPM_TOKEN}
  pip: {file: ./pip.conf}
  vault: {external: true}
"""


def test_each_key_of_a_build_is_carried_or_named_as_docker_compose_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(BUILD)
    theirs = json.loads(run(compose_check(), file))["web"]["build"]
    services, _ = read_compose(yaml.safe_load(BUILD), "compose.yaml", {}.get)
    web, inline, far = services
    ours = {key.replace("-", "_"): value for key, value in web.build_keys.items()}
    said = "\n".join(web.left)
    assert (web.build, ours["dockerfile"], ours["target"]) == ("web", "prod.Dockerfile", "runtime")
    assert (theirs["context"], theirs["dockerfile"]) == (str(tmp_path / "web"), "prod.Dockerfile")
    assert (theirs["target"], theirs["platforms"]) == (ours["target"], ours["platforms"])
    assert {name: value for name, value in theirs["args"].items() if value} == ours["build_args"]
    folder = {
        name: place.replace(f"{tmp_path}/", "./") for name, place in theirs["additional_contexts"].items()
    }
    assert {name: place for name, place in folder.items() if name != "far"} == ours["additional_contexts"]
    ids = {one.get("target") or one["source"] for one in theirs["secrets"]}
    assert set(ours["secrets"]) == {Path(one).name for one in ids} - {"vault"}
    assert ours["secrets"] == {"npm": {"env": "NPM_TOKEN"}, "pip.conf": {"file": "./pip.conf"}}
    assert ours["cache"] == {
        "from": ["type=registry,ref=registry.example.com/shop/web:cache", "type=local,src=.cache"],
        "to": ["type=local,dest=.cache"],
    }
    assert theirs["cache_to"][0] == "type=local,dest=.cache"
    for entry in ("args: FROM_SHELL", "additional_contexts: far", "secrets[2]: vault", "cache_to[1]"):
        assert f"service web: build.{entry} (" in said
    carried = {"context", "dockerfile", "target", "args", "platforms", "additional_contexts", "secrets"}
    for key in theirs.keys() - carried - {"cache_from", "cache_to"}:
        assert f"service web: build.{key}" in said
    assert inline.build_keys == {"dockerfile": "inline.Dockerfile"}
    assert any("build.dockerfile_inline (write it into" in line for line in inline.left)
    assert "outside of the repository" in far.built_outside()
    assert "hidden" not in f"{said}{ours}{far.built_outside()}"
