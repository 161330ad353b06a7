"""A release in files as teams have them, rendered by the real Helm and Kustomize: exact or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from harness import missing, run
from target_files import CASES, Case
from written_files import Recorded, assert_refused, assert_written, images_in, written

from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.renderers import installed_renderers
from pipegraft.iac.ports.repository import Renderer

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


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
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
