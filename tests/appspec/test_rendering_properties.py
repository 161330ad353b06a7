"""Any valid spec renders, to the same bytes on each run; an overlay with nothing in it changes nothing."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import vela
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from spec_fields import APP, ENVIRONMENT, POLICIES, Data, spec
from test_rendering_oam import plain

from pipegraft.appspec.rendering.yaml_output import dump_documents
from pipegraft.appspec.routers import CLUSTER_ROUTERS
from pipegraft.appspec.usecases.render import TARGETS
from pipegraft.core.errors import UsageError

KEPT = {"intimacy", "host", "image", "mount", "job"}
"""Keys whose absence would only make another spec invalid."""


@st.composite
def specs(draw: st.DrawFn) -> Data:
    """The spec with every field, some of its keys and components taken away, and some policies."""
    found = copy.deepcopy(APP)
    optional = [name for name in APP["components"] if name != "web"]
    for name in draw(st.lists(st.sampled_from(optional), unique=True)):
        del found["components"][name]
    for part in found["components"].values():
        droppable = sorted(part.keys() - KEPT)
        for key in draw(st.lists(st.sampled_from(droppable), unique=True)) if droppable else ():
            del part[key]
    for guest in ("governance", "logs", "metrics"):
        if guest in found["components"]:
            found["components"][guest]["sidecar"] = draw(
                st.sampled_from(["container", "native", "sidecar-set"])
            )
    chosen = draw(st.lists(st.sampled_from(sorted(POLICIES)), unique=True))
    return {**found, "policies": {key: POLICIES[key] for key in chosen}}


@given(specs())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_any_valid_spec_renders_and_both_ways_to_kubernetes_are_the_same(app: Data) -> None:
    nothing: Data = {"components": {name: {} for name in app["components"]}}
    try:
        resolved = spec(app, nothing)
    except UsageError:
        assume(False)
    assert resolved == spec(app, {"components": {}})  # an overlay with nothing in it
    rendered = {}
    for target, render in TARGETS.items():
        rendered[target] = render(resolved, None, CLUSTER_ROUTERS)
        text = dump_documents(rendered[target])
        assert list(yaml.safe_load_all(text)) == rendered[target]
        assert dump_documents(render(spec(app, nothing), None, CLUSTER_ROUTERS)) == text
    (application,) = rendered["oam"]
    made = [item for item in rendered["kubernetes"] if item["kind"] == "Deployment"]
    components = [one for one in application["spec"]["components"] if one["type"] == "webservice"]
    for component, deployment in zip(components, made, strict=True):
        vela.check_properties("webservice", component["properties"])
        assert plain(vela.deployment(application, component)) == plain(deployment)


@pytest.mark.parametrize("target", TARGETS)
def test_the_bytes_do_not_depend_on_the_process(target: str, tmp_path: Path) -> None:
    (tmp_path / "environments").mkdir()
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(APP, sort_keys=False))
    (tmp_path / "environments" / "production.yaml").write_text(yaml.safe_dump(ENVIRONMENT, sort_keys=False))
    command = [sys.executable, "-m", "pipegraft", "render", str(tmp_path), "--target", target]
    runs = {
        subprocess.run(
            command, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(runs) == 1
