"""A release in files as teams have them, rendered by the real Helm and Kustomize: exact or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from harness import missing, run
from rare_target_files import RARE_CASES
from target_files import CASES, Case
from written_files import Recorded, assert_refused, assert_written, images_in, written

from pipegraft.cli.appspec import import_command
from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.renderers import installed_renderers
from pipegraft.iac.ports import Renderer

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
