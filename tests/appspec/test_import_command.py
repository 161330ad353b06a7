"""`pipegraft import`: files of other tools in, an app spec out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from program import pipegraft

SCORE = """\
apiVersion: score.dev/v1b1
metadata: {name: shop}
service: {ports: {www: {port: 8080}}}
containers: {main: {image: "registry/shop:1", before: {x: {ready: started}}}}
"""
OBJECTS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true
      containers: [{name: web, image: "registry/web:1", ports: [{name: http, containerPort: 8080}]}]
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {password: hunter2}
"""
APP = "app: shop\ncomponents: {web: {image: a, ports: {http: 80}, memory: 1Gi}}\n"


def run(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = pipegraft(*words, folder=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_score(tmp_path: Path) -> None:
    (tmp_path / "score.yaml").write_text(SCORE)
    done = run(tmp_path, "import", "score", "score.yaml", "--env", "home", "--output", "iac")
    assert done.stderr == "not carried over: score.yaml: containers.main.before.x.ready: started\n"
    assert done.stdout == (
        "wrote iac/app.yaml\nwrote iac/environments/home.yaml\n"
        "Read them, then:\n  pipegraft render iac --env home --target kubernetes\n"
    )
    rendered = run(tmp_path, "render", "iac", "--target", "kubernetes").stdout
    assert "containerPort: 8080" in rendered
    assert "image: registry/shop:1" in rendered


def test_resources_that_nobody_provides_are_kept_and_named(tmp_path: Path) -> None:
    (tmp_path / "score.yaml").write_text(SCORE + "resources: {db: {type: postgres}, zone: {type: dns}}\n")
    done = run(tmp_path, "import", "score", "score.yaml", "--output", "iac")
    line = "score.yaml: resources.zone.type: dns"
    assert done.stderr.endswith(f"\nkept, but `pipegraft resources` lists no provider: {line}\n")
    assert "zone:\n    type: dns\n" in (tmp_path / "iac" / "app.yaml").read_text()
    listed = run(tmp_path, "import", "score", "score.yaml", "--output", "again", "--json").stdout
    assert json.loads(listed)["without-provider"] == [line]


def test_values_that_an_app_spec_refuses_are_named_by_their_source(tmp_path: Path) -> None:
    probe = "livenessProbe: {httpGet: {path: healthz, port: 8080}}"
    (tmp_path / "all.yaml").write_text(OBJECTS.replace("ports: [{name", f"{probe}, ports: [{{name"))
    done = run(tmp_path, "import", "kubernetes", "all.yaml", "--output", "iac")
    route = "spec.template.spec.containers[0].livenessProbe.httpGet.path"
    assert f"not carried over: all.yaml: Deployment web: {route}: healthz (" in done.stderr
    assert "livenessProbe" not in run(tmp_path, "render", "iac", "--target", "kubernetes").stdout


def test_what_a_component_cannot_be_without_is_an_error_at_its_source(tmp_path: Path) -> None:
    template = "{spec: {template: {spec: {containers: [{name: tick, image: a}]}}}}"
    spec = f"{{schedule: never, jobTemplate: {template}}}"
    (tmp_path / "all.yaml").write_text(f"kind: CronJob\nmetadata: {{name: tick}}\nspec: {spec}\n")
    done = run(tmp_path, "import", "kubernetes", "all.yaml", code=2)
    assert done.stderr.startswith("error: all.yaml: CronJob tick: an app spec cannot have this: ")
    assert [path.name for path in tmp_path.iterdir()] == ["all.yaml"]


def test_refused_values_of_score_are_named_by_their_source(tmp_path: Path) -> None:
    probe = "livenessProbe: {httpGet: {path: healthz, port: 8080}}"
    (tmp_path / "score.yaml").write_text(SCORE.replace("main: {", f"main: {{{probe}, "))
    said = run(tmp_path, "import", "score", "score.yaml", "--output", "iac").stderr
    assert "not carried over: score.yaml: containers.main.livenessProbe.httpGet.path: healthz (" in said


def test_several_workloads_are_one_application(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SCORE)
    (tmp_path / "b.yaml").write_text(SCORE.replace("name: shop", "name: pay"))
    done = run(tmp_path, "import", "score", "a.yaml", "b.yaml", "--app", "store", "--json")
    data = json.loads(done.stdout)
    assert data["components"] == ["shop", "pay"]
    assert len(data["not-carried"]) == 2
    assert (tmp_path / "app.yaml").read_text().startswith("app: store\n")


def test_kubernetes_and_no_secret_is_shown(tmp_path: Path) -> None:
    (tmp_path / "k8s" / "deep").mkdir(parents=True)
    (tmp_path / "k8s" / "deep" / "all.yml").write_text(OBJECTS)
    done = run(tmp_path, "import", "kubernetes", "k8s", "--output", "iac")
    assert "hunter2" not in done.stdout + done.stderr
    left = [line.removeprefix("not carried over: k8s/deep/all.yml: ") for line in done.stderr.splitlines()]
    assert "Secret web: the whole object" in left
    assert "Deployment web: spec.template.spec.hostNetwork: True" in left
    assert "replicas: 3" in run(tmp_path, "render", "iac", "--target", "kubernetes").stdout


def test_documents_that_are_no_objects_are_named_without_their_text(tmp_path: Path) -> None:
    others = "---\nhunter2\n---\n- hunter2\n---\n---\n{}\n---\nkind: List\nitems:\n  - hunter2\n"
    (tmp_path / "all.yaml").write_text(OBJECTS + others)
    done = run(tmp_path, "import", "kubernetes", "all.yaml", "--output", "iac")
    assert "hunter2" not in done.stdout + done.stderr
    said = [line for line in done.stderr.splitlines() if "expected" in line]
    what = {"18:1": "a plain value", "20:1": "a list", "23:1": "an empty mapping", "27:5": "a plain value"}
    assert said == [
        f"not carried over: all.yaml:{place}: expected a Kubernetes object, found {kind}"
        for place, kind in what.items()
    ]


def test_what_render_printed_comes_back(tmp_path: Path) -> None:
    (tmp_path / "environments").mkdir()
    (tmp_path / "app.yaml").write_text(APP)
    (tmp_path / "environments" / "production.yaml").write_text("namespace: space\n")
    words = ["--target", "kubernetes", "--revision", "r1"]
    rendered = run(tmp_path, "render", *words).stdout
    (tmp_path / "rendered.yaml").write_text(rendered)
    done = run(tmp_path, "import", "kubernetes", "rendered.yaml", "--output", "again")
    assert done.stderr == ""
    assert run(tmp_path, "render", "again", *words).stdout == rendered


@pytest.mark.parametrize("name", ["app.yaml", "environments/production.yaml"])
def test_nothing_is_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "score.yaml").write_text(SCORE)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    said = run(tmp_path, "import", "score", "score.yaml", code=2).stderr
    assert f"error: {name}: it exists, and nothing is written over" in said
    assert (tmp_path / name).read_text() == "mine"
    assert sorted(path.name for path in tmp_path.rglob("*.yaml")) == sorted(["score.yaml", Path(name).name])


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        ("score", "kind: Deployment\n", "x.yaml: expected a Score workload"),
        ("score", "a: [\n", "expected YAML"),
        ("score", "metadata: text\n", "x.yaml: expected a Score workload"),
        ("kubernetes", "metadata: text\n", "x.yaml: expected a Deployment, Job or CronJob, found none"),
        ("kubernetes", "metadata: {labels: text}\n", "expected a Deployment, Job or CronJob, found none"),
        ("kubernetes", "kind: ConfigMap\n", "x.yaml: expected a Deployment, Job or CronJob, found none"),
        ("kubernetes", "kind: List\na: [\n", "x.yaml:3:1: expected YAML"),
        ("kubernetes", "a: {{ .Values.a }}\n", "x.yaml:1:5: expected a plain key"),
        ("kubernetes", OBJECTS + "kind: Pod\n", "x.yaml:17:1: 'kind' stands twice, first in line 14"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, command: str, text: str, message: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert message in run(tmp_path, "import", command, "x.yaml", code=2).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]


def test_typed_lists_are_unpacked(tmp_path: Path) -> None:
    """As an API answers them: the items do not say their kind."""
    pod = {"containers": [{"name": "web", "image": "registry/web:1"}]}
    item = {"metadata": {"name": "web"}, "spec": {"template": {"spec": pod}}}
    typed = {"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [item]}
    (tmp_path / "all.json").write_text(json.dumps({"kind": "List", "items": [typed]}))
    done = run(tmp_path, "import", "kubernetes", "all.json", "--app", "shop")
    assert (done.returncode, done.stderr) == (0, "")
    assert "web:" in (tmp_path / "app.yaml").read_text()


def test_what_is_built_has_no_image_yet_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  web: {build: .}\n  mail: {image: 'mail:1'}\n")
    done = run(tmp_path, "import", "compose", "compose.yaml", "--output", "iac")
    assert "No image yet of web: name each in delivery.yaml, a release writes it;\n" in done.stdout
    assert "or write `image` for it into iac/environments/production.yaml. Then:\n" in done.stdout
