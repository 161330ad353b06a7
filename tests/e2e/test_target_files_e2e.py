"""A release in files as teams have them, rendered by the real Helm and Kustomize: exact or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from git_http import serve
from git_repositories import git, serve_repository
from harness import missing, run
from rare_target_files import RARE_CASES
from target_files import (
    APPLICATION,
    BY_DIGEST,
    CASES,
    FORMS,
    HEAD,
    HELM_RELEASE,
    IMAGES,
    REPOSITORY,
    Case,
    chart,
    helm,
    kustomize,
    overlay,
)
from written_files import Recorded, assert_refused, assert_written, images_in, written

from pipegraft.app.bump import BumpOrder, bump_all
from pipegraft.app.plugins import installed_plugins
from pipegraft.cli.appspec import import_command
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import UsageError
from pipegraft.core.hooks import connected
from pipegraft.core.ports import RecordingProgress
from pipegraft.core.release import BuiltImage, Release, Source
from pipegraft.core.stage import Project
from pipegraft.iac.adapters.renderers import installed_renderers
from pipegraft.iac.ports import IAC, Renderer
from pipegraft.iac.rollback import RollbackRequest, roll_back

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def renderers() -> Mapping[str, Renderer]:
    """The programs that tests/e2e/manifests pins."""
    folder = Path(run(Path(__file__).parent / "manifests" / "folder").strip())
    if not (folder / "helm").exists():
        missing("helm", "kustomize")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(folder), prepend=":")
        yield installed_renderers()


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in (*CASES, *RARE_CASES)])
def test_each_file_ends_exact_or_refused(case: Case, renderers: Mapping[str, Renderer]) -> None:
    recorded = {name: Recorded(renderer) for name, renderer in renderers.items()}
    if case.refused:
        with pytest.raises(UsageError) as refusal:
            written(case, recorded)
        assert_refused(case, refusal.value)
        return
    planned = written(case, recorded)
    assert_written(case, planned)
    if case.rendered and not any(image.startswith("(") for image in case.runs):
        assert all(one.proven for one in planned.effects)
        after = [one.outputs[0] for one in recorded.values() if one.outputs]
        documents = [one for text in after for one in yaml.safe_load_all(text)]
        assert set(images_in(documents)) == case.runs


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "r.example.com/web:1", ports: [{name: http, containerPort: 8080}]}
"""
FOLDERS = {
    "chart": {
        "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
        "chart/values.yaml": "replicas: 1\n",
        "chart/live.yaml": "replicas: 3\n",
        "chart/templates/web.yaml": DEPLOYMENT.replace("REPLICAS", "{{ .Values.replicas }}"),
    },
    "overlays/live": {
        "base/kustomization.yaml": "resources: [web.yaml]\n",
        "base/web.yaml": DEPLOYMENT.replace("REPLICAS", "1"),
        "overlays/live/kustomization.yaml": "resources: [../../base]\nreplicas: [{name: web, count: 3}]\n",
    },
}


@pytest.mark.usefixtures("renderers")
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_chart_and_an_overlay_are_imported_as_they_are_rendered(tmp_path: Path, folder: str) -> None:
    (tmp_path / ".git").mkdir()
    for name, text in FOLDERS[folder].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    words = ["kubernetes", str(tmp_path / folder), "--output", str(tmp_path / "iac"), "--app", "shop"]
    words += ["--values", "live.yaml"] if folder == "chart" else []
    done = CliRunner().invoke(import_command, words)
    assert done.exit_code == 0, done.output
    web = yaml.safe_load((tmp_path / "iac" / "app.yaml").read_text())["components"]["web"]
    assert (web["replicas"], web["ports"]) == (3, {"http": 8080})


@pytest.mark.usefixtures("renderers")
def test_a_chart_that_does_not_render_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "chart" / "templates").mkdir(parents=True)
    (tmp_path / "chart" / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\n")
    (tmp_path / "chart" / "templates" / "web.yaml").write_text('{{ required "no host" .Values.host }}\n')
    done = CliRunner().invoke(import_command, ["kubernetes", str(tmp_path / "chart")])
    assert isinstance(done.exception, UsageError)
    assert "no host" in str(done.exception)
    assert not list(tmp_path.glob("**/app.yaml"))


_CHART = chart(FORMS["helm-create"].image, "image: {repository: nginx, tag: v0}\n")
MANY = {
    **{f"apps/cart/{path}": text for path, text in _CHART.items()},
    "apps/cart/argo.yaml": APPLICATION.replace("charts/web", "apps/cart/charts/web")
    + f"      valuesObject: {{image: {{repository: {REPOSITORY}, tag: v1}}}}\n",
    **{f"apps/shop/{path}": text for path, text in _CHART.items()},
    "apps/shop/release.yaml": HELM_RELEASE.replace("CHART", "./apps/shop/charts/web").replace(
        "SOURCE", "GitRepository"
    ),
    **{f"apps/till/{path}": text for path, text in _CHART.items()},
    "apps/till/env/kustomization.yaml": "helmGlobals: {chartHome: ../charts}\nhelmCharts:\n"
    f"- {{name: web, releaseName: web, valuesInline: {{image: {{repository: {REPOSITORY}, tag: v1}}}}}}\n",
    **{f"apps/desk/{path}": text for path, text in overlay(HEAD, f"{REPOSITORY}:v1").items()},
    "apps/oci/release.yaml": HELM_RELEASE.partition("  chart:")[0]
    + "  chartRef: {kind: OCIRepository, name: web}\n"
    + f"  values: {{image: {{repository: {REPOSITORY}, tag: v1}}}}\n",
    **{f"apps/bad/{path}": text for path, text in overlay(HEAD, f"{REPOSITORY}:v1").items()},
    "argo/bad.yaml": APPLICATION.replace("charts/web", "apps/bad/overlays/production").replace(
        "    helm:\n", f"    kustomize: {{images: ['{REPOSITORY}:v9']}}\n"
    ),
}
PATHS: Mapping[str, Mapping[str, Any]] = {
    "cart": helm("argo.yaml", path="spec.source.helm.valuesObject.image", source="argo.yaml"),
    "shop": helm("release.yaml", path="spec.values.image", source="release.yaml"),
    "till": helm("env/kustomization.yaml", path="helmCharts[0].valuesInline.image"),
    "desk": kustomize(),
    "oci": helm("release.yaml", path="spec.values.image"),
    "bad": kustomize(),
}


def _released(folder: Path, url: str, app: str) -> Project:
    """The source repository of an application that has built the release."""
    environment = {
        "gate": {"engine": "argocd", "application": app},
        "targets": [PATHS[app]],
        **({} if app == "oci" else {"effect": "require"}),
    }
    delivery = {
        "app": app,
        "registry": "registry.example.com/shop",
        "components": {"web": {"path": "web", "command": ["cat"]}},
        "iac": {"repository": url, "path": f"apps/{app}"},
        "environments": {"production": environment},
    }
    (folder / "web").mkdir(parents=True)
    (folder / ".pipegraft").mkdir()
    (folder / "delivery.yaml").write_text(yaml.safe_dump(delivery))
    git(folder, "init", "--quiet")
    git(folder, "add", "delivery.yaml")
    git(folder, "commit", "--quiet", "--message=v1")
    image = IMAGES["web"]
    built = BuiltImage(
        reference=f"{image.repository}@{image.digest}",
        digest=image.digest,
        input_hash=f"ih-{2:064x}",
        builder="fake",
        built=True,
    )
    record = Release(
        app=app, source=Source(commit=git(folder, "rev-parse", "HEAD"), number=2), images={"web": built}
    )
    (folder / ".pipegraft" / "release.json").write_text(record.model_dump_json())
    return open_project(folder, installed_plugins())


def test_many_releases_go_into_the_charts_and_overlays_of_one_repository(
    tmp_path: Path, renderers: Mapping[str, Renderer]
) -> None:
    bare = serve_repository(tmp_path, MANY)
    first = git(bare, "rev-parse", "main")
    with serve(tmp_path) as server:
        projects = [_released(tmp_path / "apps" / app, f"{server.url}/iac.git", app) for app in PATHS]
        results = {
            one.app: one
            for one in bump_all(BumpOrder(projects, ("production",), verify=False), RecordingProgress())
        }
        errors = {app: str(one.error) for app, one in results.items() if one.error}
        assert list(errors) == ["bad"], errors
        assert "argo/bad.yaml has apps/bad/overlays/production rendered too" in errors["bad"]
        message = git(bare, "log", "-1", "--format=%B", results["oci"].commit.commit)
        assert "not proven: the chart 'web' of OCIRepository web" in message
        tree = {
            path: git(bare, "show", f"main:{path}").encode()
            for path in git(bare, "ls-tree", "-r", "--name-only", "main").split()
        }
        for app, folder in (("till", "env"), ("desk", "overlays/production")):
            made = renderers["kustomize"].render(tree, f"apps/{app}/{folder}")
            assert set(images_in(list(yaml.safe_load_all(made)))) & {f"{REPOSITORY}:ih-{2:064x}", BY_DIGEST}
        for project in projects[:-1]:
            with connected(project) as opened:
                request = RollbackRequest(project.delivery, "production", renderers=renderers)
                assert roll_back(opened.open(IAC), request).written
        restored = git(bare, "diff", "--name-only", first, "main").split()
        assert restored == sorted(f"apps/{app}/.pipegraft/production.yaml" for app in PATHS if app != "bad")
