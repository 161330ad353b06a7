"""Each signal tells what is there from what only looks like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import yaml

from pipegraft.app.plugins import shipped_plugins
from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.maturity.hooks import MATURITY_SIGNALS
from pipegraft.maturity.model import STAGES, Answer, DeliveryPace, Dimension, Finding, Iac, Signal
from pipegraft.maturity.usecases import FileTree
from pipegraft.testing.signal_suite import SignalSuite, iac_of, repository_of

SIGNALS = shipped_plugins().all(MATURITY_SIGNALS)
DIGEST = "sha256:" + "a" * 64


class TestEverySignal(SignalSuite):
    @pytest.fixture(params=SIGNALS.values(), ids=list(SIGNALS))
    def signal(self, request: pytest.FixtureRequest) -> Signal:
        found: Signal = request.param
        return found


def test_there_are_enough_of_them_and_each_dimension_reaches_the_last_stage() -> None:
    assert len(SIGNALS) >= 60
    for dimension in Dimension:
        stages = {one.stage for one in SIGNALS.values() if one.dimension == dimension}
        assert {2, 3, 5} <= stages <= set(STAGES)


def look(name: str, files: Mapping[str, str], iac: Iac | None = None) -> Finding:
    return SIGNALS[name].look(repository_of(files, iac))


def gitlab(text: str) -> Mapping[str, str]:
    return {".gitlab-ci.yml": text}


def jenkins(stages: str, head: str = "") -> Mapping[str, str]:
    return {"Jenkinsfile": f"pipeline {{\n agent any\n {head}\n stages {{\n {stages}\n }}\n}}\n"}


def delivery(more: str = "", environment: str = "", component: str = "path: web, intimacy: rpc") -> str:
    return (
        f"app: shop\nregistry: oci:r\ncomponents:\n  web: {{{component}}}\n"
        f"iac: {{repository: ../iac.git}}\nenvironments:\n{more}"
        f"  production:\n    gate: {{engine: argocd, timeout: 5m}}\n{environment}"
    )


YES, NO, ABSENT, UNSEEN = Answer.YES, Answer.NO, Answer.ABSENT, Answer.UNSEEN

FOR_REQUESTS = "workflow: {rules: [{if: $CI_MERGE_REQUEST_IID}]}\na: {script: x}\n"
INCLUDE = "include:\n  - {project: a/b, file: c.yml, ref: REF}\na: {script: x}\n"
BY_VARIABLE = "variables: {T: 'x:$CI_COMMIT_SHA'}\na: {script: ['docker build -t $T .']}\n"
CHECKED = f"FROM x\nADD --checksum={DIGEST} https://a.example/b /b\n"
CASES: list[tuple[str, Mapping[str, str], Answer]] = [
    ("ci-file", gitlab("a: {script: x}"), YES),
    ("ci-file", {"docs/.gitlab-ci.yml": "a: {script: x}"}, NO),
    ("ci-parses", gitlab("a: [\n"), NO),
    ("ci-parses", gitlab("variables: {A: b}\n"), NO),
    ("ci-parses", gitlab("include: {project: a/b, file: c.yml}\n"), UNSEEN),
    ("ci-parses", {"Jenkinsfile": "println 'hello'"}, NO),
    ("ci-on-push", gitlab("a: {script: x, rules: [{if: $CI_COMMIT_TAG}]}\n"), NO),
    ("ci-on-push", gitlab("a: {script: x, when: manual}\n"), NO),
    ("ci-on-push", gitlab("a: {script: x}\n"), YES),
    ("ci-on-merge-request", gitlab("a: {script: x}\n"), NO),
    ("ci-on-merge-request", gitlab("a: {script: x, only: [merge_requests]}\n"), YES),
    (
        "ci-on-merge-request",
        gitlab(FOR_REQUESTS),
        YES,
    ),
    ("ci-on-merge-request", gitlab("# merge_request_event\na: {script: x}\n"), NO),
    ("ci-on-merge-request", jenkins("stage('a') { steps { sh 'x' } }"), UNSEEN),
    ("ci-tests", gitlab("a: {script: [npm ci, npm test]}\n"), YES),
    ("ci-tests", gitlab("a: {script: ['echo running pytest soon']}\n"), NO),
    ("ci-tests", gitlab("a: {script: ['# pytest', 'true']}\n"), NO),
    ("ci-tests", gitlab(".a: {script: [pytest]}\n"), NO),
    ("ci-tests", gitlab(".a: {script: [pytest]}\nb: {extends: .a}\n"), YES),
    ("ci-tests", jenkins("stage('t') { steps { sh './gradlew test' } }"), YES),
    ("ci-tests", jenkins("stage('t') { steps { echo 'pytest' } }"), NO),
    ("ci-tests", jenkins("stage('t') { steps { // sh 'pytest'\n sh 'true' } }"), NO),
    ("test-files", {"src/contest.py": ""}, NO),
    ("test-files", {"tests/test_a.py": ""}, YES),
    ("ci-tests-count", gitlab("a: {script: [pytest], allow_failure: true}\n"), NO),
    ("ci-tests-count", gitlab("a: {script: ['pytest || true']}\n"), NO),
    ("ci-tests-count", gitlab("a: {script: [pytest]}\n"), YES),
    ("ci-tests-count", gitlab("a: {script: [make]}\n"), ABSENT),
    ("ci-lint", gitlab("a: {script: [ruff check .]}\n"), YES),
    ("ci-lint", gitlab("a: {script: [make build]}\n"), NO),
    ("ci-images-named", gitlab("a: {image: python, script: x}\n"), NO),
    ("ci-images-named", gitlab("a: {image: 'host:5000/python', script: x}\n"), NO),
    ("ci-images-named", gitlab("a: {image: 'python:latest', script: x}\n"), NO),
    ("ci-images-named", gitlab("a: {image: 'python:3.12', script: x}\n"), YES),
    ("ci-images-named", gitlab("a: {image: $IMAGE, script: x}\n"), ABSENT),
    ("ci-job-limits", gitlab("default: {timeout: 1h}\na: {script: x}\n"), YES),
    ("ci-job-limits", gitlab("a: {script: x, timeout: 1h}\nb: {script: y}\n"), NO),
    (
        "ci-job-limits",
        jenkins("stage('a') { steps { sh 'x' } }", "options { timeout(1) }"),
        YES,
    ),
    ("ci-job-limits", jenkins("stage('a') { steps { sh 'x' } }"), NO),
    ("ci-interruptible", gitlab("default: {interruptible: true}\na: {script: x}\n"), YES),
    ("ci-interruptible", gitlab("# interruptible: true\na: {script: x}\n"), NO),
    ("ci-test-reports", gitlab("a: {script: [pytest], artifacts: {reports: {junit: r.xml}}}\n"), YES),
    ("ci-test-reports", gitlab("a: {script: [pytest --junitxml=r.xml]}\n"), NO),
    ("ci-cache", gitlab("a: {script: [npm ci], cache: {paths: [x]}}\n"), YES),
    ("ci-cache", gitlab("a: {script: [npm ci]}\nb: {script: x, cache: {paths: [x]}}\n"), NO),
    ("ci-delivers", gitlab("a: {script: [pipegraft run image-build]}\n"), YES),
    ("ci-delivers", gitlab("a: {script: ['echo pipegraft run image-build']}\n"), NO),
    (
        "ci-templates-pinned",
        gitlab(INCLUDE.replace("REF", "main")),
        NO,
    ),
    (
        "ci-templates-pinned",
        gitlab(INCLUDE.replace("REF", "v1.2")),
        YES,
    ),
    ("ci-templates-pinned", gitlab("include: {local: c.yml}\na: {script: x}\n"), ABSENT),
    ("ci-no-hands", gitlab("deploy: {script: [kubectl apply -f x], when: manual}\n"), NO),
    ("ci-no-hands", gitlab("a: {script: x, environment: production}\nb: {script: y, when: manual}\n"), YES),
    ("ci-no-hands", jenkins("stage('deploy') { steps { input 'Sure?'\n sh 'helm upgrade x' } }"), NO),
    ("image-job", gitlab("a: {script: [docker build -t x .]}\n"), YES),
    ("image-job", gitlab("a: {script: [docker pull x]}\n"), NO),
    ("image-tag-commit", gitlab("a: {script: ['docker build -t x:$CI_COMMIT_SHA .']}\n"), YES),
    (
        "image-tag-commit",
        gitlab(BY_VARIABLE),
        YES,
    ),
    ("image-tag-commit", gitlab("a: {script: ['docker build -t x:v1 .']}\n"), NO),
    ("image-no-latest", gitlab("a: {script: ['docker push x/y:latest']}\n"), NO),
    ("image-no-latest", gitlab("a: {script: ['docker push x/latest:1']}\n"), YES),
    ("base-image-named", {"Dockerfile": "FROM python\n"}, NO),
    ("base-image-named", {"Dockerfile": "FROM python:3.12 AS a\nFROM a\n"}, YES),
    ("base-image-named", {"Dockerfile": "# FROM python\nFROM scratch\n"}, ABSENT),
    ("base-image-digest", {"Dockerfile": f"FROM python:3@{DIGEST}\n"}, YES),
    ("base-image-digest", {"Dockerfile": f"ARG BASE=python:3@{DIGEST}\nFROM $BASE\n"}, YES),
    ("base-image-digest", {"Dockerfile": f"# {DIGEST}\nFROM python:3\n"}, NO),
    ("dependencies-locked", {"package.json": "{}"}, NO),
    ("dependencies-locked", {"a/package.json": "{}", "package-lock.json": "{}"}, YES),
    ("dependencies-locked", {"go.mod": "module x", "go.sum": ""}, YES),
    ("dependencies-locked", {"node_modules/x/package.json": "{}"}, ABSENT),
    ("toolchain-pinned", {"go.mod": "module x\n\ngo 1.22\n"}, YES),
    ("toolchain-pinned", {"readme": "go 1.22"}, NO),
    ("dockerignore", {"a/Dockerfile": "FROM x"}, NO),
    ("dockerignore", {"a/Dockerfile": "FROM x", "a/.dockerignore": ""}, YES),
    ("image-downloads-checked", {"Dockerfile": "FROM x\nADD https://a.example/b /b\n"}, NO),
    (
        "image-downloads-checked",
        {"Dockerfile": CHECKED},
        YES,
    ),
    ("delivery-valid", {"delivery.yaml": delivery()}, YES),
    ("delivery-valid", {"delivery.yaml": "app: Shop\n"}, NO),
    ("intimacy", {"delivery.yaml": delivery(component="path: web")}, NO),
    ("intimacy", {"delivery.yaml": delivery()}, YES),
    ("code-owners", {"CODEOWNERS": "# nobody yet\n"}, NO),
    ("code-owners", {"CODEOWNERS": "* @team\n"}, YES),
    ("nothing-direct", gitlab("a: {script: ['kubectl -n x apply -f .']}\n"), NO),
    ("nothing-direct", gitlab("a: {script: ['kubectl apply --dry-run=server -f .']}\n"), YES),
    ("nothing-direct", gitlab("a: {script: ['kubectl get pods', 'helm template .']}\n"), YES),
    ("gate-limit", {"delivery.yaml": delivery()}, YES),
    ("gate-limit", {"delivery.yaml": delivery().replace(", timeout: 5m", "")}, NO),
    ("environments", {"delivery.yaml": delivery()}, NO),
    ("environments", {"delivery.yaml": delivery("  staging: {gate: {engine: argocd}}\n")}, YES),
    ("gray-steps", {"delivery.yaml": delivery()}, NO),
    (
        "gray-steps",
        {"delivery.yaml": delivery(environment="    gray: {steps: [5, 50], metrics: [{source: a}]}\n")},
        UNSEEN,
    ),
    (
        "gray-steps",
        {"delivery.yaml": delivery(environment="    gray: {steps: [5], metrics: [{source: a}]}\n")},
        NO,
    ),
    ("no-secrets", {"a.py": "key = 'AKIA" + "QWERTYUIOPASDFGH'"}, NO),
    ("no-secrets", {"a.py": "key = 'AKIAIOSFODNN7EXAMPLE'"}, YES),
    ("no-secrets", {"tests/a.py": "key = 'AKIA" + "QWERTYUIOPASDFGH'"}, YES),
    ("no-secrets", {"a.py": "password = ask()  # AKIA and glpat- are prefixes"}, YES),
    ("no-secrets", {}, ABSENT),
    ("no-secrets", {"README.md": "hello", "LICENSE": "x", ".gitignore": "x"}, ABSENT),
    ("no-secrets", {"README.md": "AKIA" + "QWERTYUIOPASDFGH"}, NO),
    ("no-secret-files", {"README.md": "hello"}, ABSENT),
    ("no-secret-files", {".env": "API_TOKEN=a8f3k2l9s0\n"}, NO),
    ("no-secret-files", {".env": "PORT=80\n"}, YES),
    ("no-secret-files", {".env.example": "API_TOKEN=a8f3k2l9s0\n"}, YES),
    ("no-ci-secrets", gitlab("variables: {DB_PASSWORD: hunter22}\na: {script: x}\n"), NO),
    ("no-ci-secrets", gitlab("variables: {DB_PASSWORD: $FROM_GITLAB}\na: {script: x}\n"), YES),
    ("non-root", {"Dockerfile": "FROM a AS b\nUSER 5\nFROM c\n"}, NO),
    ("non-root", {"Dockerfile": "FROM a\nUSER app\nUSER root\n"}, NO),
    ("non-root", {"Dockerfile": "FROM a\nUSER 10001:10001\n"}, YES),
    ("non-root", {"Dockerfile": "FROM gcr.io/distroless/static:nonroot\n"}, YES),
    ("no-image-secrets", {"Dockerfile": "FROM a\nENV DB_PASSWORD=x\n"}, NO),
    ("no-image-secrets", {"Dockerfile": "FROM a\nARG DB_PASSWORD\nENV TOKENIZER=x\n"}, YES),
    ("vulnerability-scan", gitlab("a: {script: [trivy image x]}\n"), YES),
    ("vulnerability-scan", gitlab("a: {script: ['echo trivy']}\n"), NO),
    ("drift-check", gitlab("a: {script: [pipegraft audit]}\n"), YES),
    ("settings-outside", {"a.py": "x = os.environ['X']"}, YES),
    ("settings-outside", {"a.py": "x = 1", "tests/a.py": "os.environ"}, NO),
]


@pytest.mark.parametrize(
    ("name", "files", "answer"), CASES, ids=[f"{one[0]}-{at}" for at, one in enumerate(CASES)]
)
def test_what_is_there_is_told_from_what_looks_like_it(
    name: str, files: Mapping[str, str], answer: Answer
) -> None:
    found = look(name, files)
    assert found.answer is answer, found


ARGO = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop}
spec:
  syncPolicy: {automated: {prune: true, selfHeal: HEAL}}
"""
DEPLOYMENT = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  template:
    spec:
      terminationGracePeriodSeconds: 30
      containers:
        - name: web
          image: r/web@{DIGEST}
          readinessProbe: {{httpGet: {{path: /}}}}
          livenessProbe: {{httpGet: {{path: /}}}}
          resources: {{limits: {{memory: 1Gi}}, requests: {{cpu: 1}}}}
"""


def test_an_argo_cd_application_must_heal_and_prune() -> None:
    files = {"delivery.yaml": delivery()}
    for heals, answer in (("true", YES), ("false", NO)):
        assert (
            look("gitops-automated", files, iac_of({"argo.yaml": ARGO.replace("HEAL", heals)})).answer
            is answer
        )
    assert look("gitops-automated", files, iac_of({})).answer is UNSEEN
    flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {prune: true}\n"
    assert look("gitops-automated", files, iac_of({"flux.yaml": flux})).answer is YES


@pytest.mark.parametrize(
    "name", ["readiness", "liveness", "resource-limits", "two-instances", "graceful-end"]
)
def test_plain_manifests_are_read_where_there_is_no_app_spec(name: str) -> None:
    files = {"delivery.yaml": delivery()}
    assert look(name, files, iac_of({"web.yaml": DEPLOYMENT})).answer is YES
    bare = "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: web}]}}}\n"
    found = look(name, files, iac_of({"web.yaml": bare}))
    assert found.answer is NO
    assert str(found.evidence[0].place) == "web.yaml:1"
    assert look(name, files, iac_of({"tests/web.yaml": bare})).answer is UNSEEN


def spec(web: str) -> Iac:
    text = f"app: shop\ncomponents:\n  web: {{{web}}}\n  lib: {{intimacy: in-process, mount: /lib}}\n"
    app = App.model_validate({"app": "shop", "components": yaml.safe_load(text)["components"]})
    tree = FileTree(["app.yaml"], {"app.yaml": text}.get)
    return Iac(tree, "", app, {"production": AppEnvironment()}, (), None)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("readiness", "ports: {http: 80}"),
        ("liveness", "liveness: {path: /}, ports: {http: 80}"),
        ("resource-limits", "cpu: 500m, memory: 1Gi"),
        ("two-instances", "replicas: 2"),
        ("graceful-end", "grace: 30s"),
    ],
)
def test_the_app_spec_is_read_where_there_is_one(name: str, good: str) -> None:
    files = {"delivery.yaml": delivery()}
    assert look(name, files, spec(good)).answer is YES
    found = look(name, files, spec("replicas: 1"))
    assert found.answer is NO
    assert str(found.evidence[0].place) == "app.yaml:3"


def test_images_in_the_iac_repository_must_be_pinned() -> None:
    files = {"delivery.yaml": delivery()}
    assert look("iac-digests", files, iac_of({"web.yaml": DEPLOYMENT})).answer is YES
    assert (
        look("iac-digests", files, iac_of({"web.yaml": DEPLOYMENT.replace(f"@{DIGEST}", ":v1")})).answer is NO
    )


def test_the_pace_of_delivery_decides_the_last_stage() -> None:
    files = {"delivery.yaml": delivery()}
    good = DeliveryPace(20, 12, 3600, 0.05, 1, by_pipeline=True)
    bad = DeliveryPace(5, 12, 90_000, 0.2, 0, by_pipeline=False)
    for name in ("lead-time", "deploys-weekly", "change-failures", "rollback-seen"):
        assert look(name, files, iac_of({}, good)).answer is YES
        assert look(name, files, iac_of({}, bad)).answer is NO
        assert look(name, files, iac_of({})).answer is UNSEEN


DELIVERED = DeliveryPace(3, 2, 3600, 0.0, 0, by_pipeline=True)
GRAY = "    gray: {steps: [5, 50], bake: 10m, metrics: [{source: a}, {source: a, name: l, kind: latency}]}\n"
STAGES_OF_CI = "".join(
    f"{name}: {{script: pipegraft run {name}}}\n" for name in ("iac-bump", "sync-gate", "gray-release")
)
PROMISED = (
    *("iac-declared", "iac-bump", "sync-gate", "release-told-apart", "release-undoable", "gray-steps"),
    *("gray-metrics", "gray-in-pipeline", "gray-goes-back", "gray-errors-and-latency", "gray-bake"),
)


@pytest.mark.parametrize("name", PROMISED)
def test_a_promise_counts_once_it_was_seen_to_be_kept(name: str) -> None:
    files = {"delivery.yaml": delivery(environment=GRAY), ".gitlab-ci.yml": STAGES_OF_CI}
    assert look(name, files).answer is UNSEEN
    by_hand = replace(DELIVERED, by_pipeline=False)
    for never in (iac_of({}), iac_of({}, by_hand)):
        assert look(name, files, never).answer is NO
    at_once = look(name, files, iac_of({}, DELIVERED)).answer
    assert at_once is (NO if name.startswith("gray-") else YES)
    assert look(name, files, iac_of({}, replace(DELIVERED, weights=2))).answer is YES


def test_an_image_before_the_first_release_pins_nothing() -> None:
    text = DEPLOYMENT.replace(DIGEST, "sha256:" + "0" * 64)
    assert look("iac-digests", {"delivery.yaml": delivery()}, iac_of({"web.yaml": text})).answer is ABSENT


POM = "<project>\n<version>1-SNAPSHOT</version>\n<dependencies><dependency>\n<version>VERSION</version>\n"


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        (
            "requirements.txt",
            "# all\n-r more.txt\nflask==3.0.1 ; python_version > '3'\nattrs==23.1 \\\n --hash=sha256:a\n",
            0,
        ),
        ("requirements.txt", "flask==3.0.1\nattrs>=23\n", 2),
        ("api/requirements-prod.txt", "flask\n", 1),
        ("requirements.txt", "flask==3.*\n", 1),
        ("pom.xml", POM.replace("VERSION", "5.3.1"), 0),
        ("pom.xml", POM.replace("VERSION", "[1.0,2.0)"), 4),
        ("pom.xml", POM.replace("VERSION", "2-SNAPSHOT"), 4),
    ],
)
def test_versions_that_are_pinned_one_by_one_are_locked(file: str, text: str, line: int) -> None:
    found = look("dependencies-locked", {file: text})
    assert found.answer is (NO if line else YES)
    assert found.evidence[0].place.line == (line or 1)
