"""delivery.yaml is checked against the plugins it names, everything at once and each thing at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipegraft.app.plugins import shipped_plugins
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import open_project, parse_document
from pipegraft.core.errors import ConfigError
from pipegraft.gray.hooks import METRIC_SOURCES
from pipegraft.gray.judgement import judge_policy
from pipegraft.gray.ports import MetricRequest

DELIVERY = """\
app: shop
registry: "oci:registry"
components: {web: {path: .}}
iac: {repository: ../iac.git}
environments:
  production:
    gate: {engine: embeded, url: "http://127.0.0.1:1", application: shop-production}
    gray:
      judge: sequentiel
      router: istoi
      metrics:
        - {source: embedded, stat: ../engine}
        - {source: promtheus, name: latency}
"""


def test_unknown_plugins_and_their_unknown_keys_are_named_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "delivery.yaml").write_text(DELIVERY.replace("{path: .}", "{path: ., builder: kanico}"))
    with pytest.raises(ConfigError) as caught:
        open_project(tmp_path, shipped_plugins())
    found = [(one.place.line, one.message) for one in caught.value.problems if one.place]
    assert (3, "there is no image builder called 'kanico'") in [
        (at, said.partition(";")[0]) for at, said in found
    ]
    assert (7, "there is no GitOps engine called 'embeded'") in [
        (at, said.partition(";")[0]) for at, said in found
    ]
    assert (9, "there is no judge called 'sequentiel'") in [
        (at, said.partition(";")[0]) for at, said in found
    ]
    assert any(line == 10 and "no traffic router called 'istoi'" in message for line, message in found)
    assert (12, "unknown key 'environments.production.gray.metrics[0].stat'") in found
    assert any(line == 13 and "no metric source called 'promtheus'" in message for line, message in found)


def test_the_page_on_gray_releases_declares_one_that_can_be_used() -> None:
    page = Path(__file__).parents[2] / "docs" / "gray-release.md"
    block = page.read_text().split("```yaml\n")[1].partition("```")[0]
    head = DELIVERY.partition("environments:")[0]
    delivery = parse_document(head + block, page.name, Delivery)
    gray = delivery.environments["production"].gray
    assert gray
    for metric in gray.metrics:
        plugin = shipped_plugins().get(METRIC_SOURCES, metric.source)
        options = plugin.options.model_validate(dict(metric.options))
        plugin.connect(options, MetricRequest("shop", "production", metric, Path()))
    assert "deadline: 2h30m " in block
    assert judge_policy(gray).deadline == 9000


@pytest.mark.parametrize("gate", ["kubevela, application: shop", "workloads, objects: [Deployment/web]"])
@pytest.mark.parametrize("rendered", ["oam", "kubernetes"])
def test_a_gate_that_could_never_succeed_is_refused(gate: str, rendered: str, tmp_path: Path) -> None:
    head = DELIVERY.partition("environments:")[0]
    text = f"{head}environments:\n  production:\n    gate: {{engine: {gate}}}\n"
    file = tmp_path / "delivery.yaml"
    file.write_text(text)
    open_project(tmp_path, shipped_plugins())
    file.write_text(text.replace("../iac.git}", f"../iac.git, rendered: {rendered}}}"))
    with pytest.raises(ConfigError, match="cannot name its commit") as caught:
        open_project(tmp_path, shipped_plugins())
    assert [(one.place.line, one.place.column) for one in caught.value.problems if one.place] == [(7, 20)]
    assert f"render --target {rendered} --revision COMMIT" in str(caught.value)
