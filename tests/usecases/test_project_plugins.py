"""delivery.yaml is checked against the plugins it names, everything at once and each thing at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipegraft.builtins import PLUGINS
from pipegraft.errors import ConfigError
from pipegraft.manager import Plugins
from pipegraft.usecases.project import open_project

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
      metrics:
        - {source: embedded, stat: ../engine}
        - {source: promtheus, name: latency}
"""


def test_unknown_plugins_and_their_unknown_keys_are_named_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "delivery.yaml").write_text(DELIVERY)
    with pytest.raises(ConfigError) as caught:
        open_project(tmp_path, Plugins(PLUGINS, ()))
    found = [(one.place.line, one.message) for one in caught.value.problems if one.place]
    assert (7, "there is no GitOps engine called 'embeded'") in [
        (at, said.partition(";")[0]) for at, said in found
    ]
    assert (9, "there is no judge called 'sequentiel'") in [
        (at, said.partition(";")[0]) for at, said in found
    ]
    assert (11, "unknown key 'environments.production.gray.metrics[0].stat'") in found
    assert any(line == 12 and "no metric source called 'promtheus'" in message for line, message in found)
