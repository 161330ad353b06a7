"""Rendered manifests in the same commit: whoever writes an environment, they follow."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipegraft.appspec.rendering.yaml_output import dump_documents
from pipegraft.appspec.usecases.render import Rendering, render_files, render_texts
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import ConfigError, UsageError
from pipegraft.core.release import Source
from pipegraft.gray.branch import GrayBranch, GraySubject
from pipegraft.gray.machine import Do, Move
from pipegraft.iac.commits import RenderedApp, RenderedBranch
from pipegraft.iac.optimistic_commit import Change, Changes, rewrite_all
from pipegraft.iac.ports import FakeIacRepository
from pipegraft.iac.rollback import RollbackRequest, roll_back

APP = "app: shop\ncomponents:\n  web: {ports: {http: 8080}}\n"
PATH = "environments/production.yaml"
RENDERED = "rendered/production/manifests.yaml"


def environment(number: int, more: str = "") -> str:
    return f"release: {{number: {number}, source: abc}}\ncomponents:\n  web: {{image: v{number}}}\n{more}"


def rendered(app: str, text: str, name: str) -> str:
    return dump_documents(render_texts(app, {name: text}, Rendering("kubernetes"))[name])


def branch(files: dict[str, str], folder: str = "") -> RenderedBranch:
    return RenderedBranch(FakeIacRepository(files), {folder: RenderedApp(rendered, kept=True)})


def consistent(iac: RenderedBranch, prefix: str = "") -> int:
    """Every commit holds the manifests of the environment it holds; answers how many there are."""
    seen = 0
    for commit in iac.log():
        text = iac.read(prefix + PATH, commit.id) or ""
        found = iac.read(prefix + RENDERED, commit.id)
        if "release" in text and commit.parent:
            assert found == rendered(APP, text, "production"), commit.subject
            seen += 1
    return seen


def test_a_release_and_its_manifests_are_one_commit() -> None:
    iac = branch({"app.yaml": APP, PATH: environment(1)})
    first = iac.commit({PATH: environment(2), "notes.txt": "x"}, "bump", iac.tip())
    assert iac.read(RENDERED, first) == rendered(APP, environment(2), "production")
    assert "image: v2" in (iac.read(RENDERED, first) or "")
    assert [commit.id for commit in iac.log(RENDERED)] == [first]
    assert consistent(iac) == 1


def test_a_gray_release_from_its_preparation_to_its_end() -> None:
    iac = branch({"app.yaml": APP, PATH: environment(1)})
    first = iac.commit({PATH: environment(1, "# as it was\n")}, "touch", iac.tip())
    before = iac.read(RENDERED, first)
    source = Source(commit="d" * 40, number=2, pipeline="1")
    block = (
        f"gray:\n  release: {{number: 2, source: {'d' * 40}}}\n  weight: 0\n  phase: prepared\n"
        "  components:\n    web: {image: v2}\n"
    )
    trailers = "Pipegraft-App: shop\nPipegraft-Environment: production\nPipegraft-Release: 2"
    prepared = f"shop: prepare\n\n{trailers}\nPipegraft-Step: prepare\n"
    iac.commit({PATH: environment(1, f"# as it was\n{block}")}, prepared, iac.tip())
    assert "name: web-gray" in (iac.read(RENDERED, iac.tip()) or "")
    subject = GraySubject("shop", "production", None, source, (5, 50))
    gray = GrayBranch(iac, subject)
    for weight in (5, 50):
        gray.write(gray.look(), Move(Do.WEIGHT, weight, reason="good"))
        assert f"weight: {weight}" in (iac.read(RENDERED, iac.tip()) or "")
    gray.write(gray.look(), Move(Do.ROLL_BACK, reason="bad"))
    assert iac.read(RENDERED, iac.tip()) == before, "the manifests are as they were, to the byte"
    assert consistent(iac) == 5


def test_a_rollback_by_hand_restores_the_manifests_to_the_byte() -> None:
    iac = branch({"app.yaml": APP, PATH: environment(1)})
    trailers = "Pipegraft-App: shop\nPipegraft-Environment: production\nPipegraft-Step: bump"
    for number in (2, 3):
        message = f"shop: release\n\n{trailers}\nPipegraft-Release: {number}\n"
        iac.commit({PATH: environment(number)}, message, iac.tip())
    second = iac.read(RENDERED, iac.log()[1].id)
    delivery = parse_document(
        "app: shop\nregistry: oci:x\ncomponents: {web: {path: .}}\niac: {repository: x}\n"
        "environments: {production: {gate: {engine: embedded}}}\n",
        "delivery.yaml",
        Delivery,
    )
    roll_back(iac, RollbackRequest(delivery, "production"))
    assert iac.read(RENDERED, iac.tip()) == second
    assert consistent(iac) == 3


def test_nothing_released_is_nothing_to_run() -> None:
    iac = branch({"app.yaml": APP, PATH: "components: {}\n"})
    iac.commit({PATH: environment(1)}, "bump", iac.tip())
    iac.commit({PATH: "components: {}\n"}, "rollback", iac.tip())
    assert iac.read(RENDERED, iac.tip()) is None
    iac.commit({PATH: "components: {web: {}}\n"}, "touch", iac.tip())
    assert iac.read(RENDERED, iac.tip()) is None


def test_several_commits_of_one_push() -> None:
    other = "apps/pay/"
    files = {f"{other}app.yaml": APP, f"{other}{PATH}": environment(1), "app.yaml": APP}
    iac = branch(files, "apps/pay")
    commits = [({f"{other}{PATH}": environment(number)}, f"bump {number}") for number in (2, 3)]
    second, third = iac.commit_all([*commits], iac.tip())
    for commit, number in ((second, 2), (third, 3)):
        assert iac.read(f"{other}{RENDERED}", commit) == rendered(APP, environment(number), "production")
    assert consistent(iac, other) == 2
    iac.commit({PATH: environment(9)}, "another app, which wants none", iac.tip())
    assert iac.read(RENDERED, iac.tip()) is None


def test_what_cannot_be_rendered_is_not_written() -> None:
    iac = branch({"app.yaml": APP, PATH: environment(1)})
    tip = iac.tip()
    with pytest.raises(ConfigError, match=r"environments/production\.yaml:3:3: component 'wbe'"):
        iac.commit({PATH: environment(2).replace("web:", "wbe:")}, "bump", tip)
    assert iac.tip() == tip


def test_an_app_spec_that_is_missing_is_named() -> None:
    iac = branch({PATH: environment(1)})
    with pytest.raises(UsageError, match=r"expected app\.yaml in the IaC repository"):
        iac.commit({PATH: environment(2)}, "bump", iac.tip())


def test_manifests_can_be_written_and_checked_by_hand(tmp_path: Path) -> None:
    how = Rendering("kubernetes")
    (tmp_path / "environments").mkdir()
    (tmp_path / "app.yaml").write_text(APP)
    (tmp_path / PATH).write_text(environment(1))
    assert render_files(tmp_path, [], how, write=False) == [tmp_path / RENDERED]
    assert render_files(tmp_path, [], how) == [tmp_path / RENDERED]
    assert (tmp_path / RENDERED).read_text() == rendered(APP, environment(1), "production")
    assert render_files(tmp_path, [], how, write=False) == []


def test_of_several_edits_only_the_one_that_cannot_be_rendered_is_refused() -> None:
    iac = branch({"app.yaml": APP, PATH: environment(1)})

    def edit(text: str) -> Change:
        return lambda _read: Changes({PATH: text}, "bump")

    edits = [edit(environment(2).replace("web:", "wbe:")), edit(environment(3))]
    done = rewrite_all(iac, [iac.complete(one) for one in edits])
    assert list(done.refused) == [0]
    assert isinstance(done.refused[0], ConfigError)
    assert iac.read(RENDERED, done.commits[1]) == rendered(APP, environment(3), "production")
    assert consistent(iac) == 1


VELA = """\
# ours
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: shop
  annotations: {app.oam.dev/publishVersion: "v1"} # by CI
spec: {components: [{name: web, type: webservice, properties: {image: IMAGE}}]}
---
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: other, annotations: {app.oam.dev/publishVersion: v9}}
spec: {components: []}
"""


def test_applications_of_others_have_a_version_of_their_own_with_each_change() -> None:
    first = VELA.replace("IMAGE", "a")
    iac = RenderedBranch(FakeIacRepository({"vela.yaml": first, "notes.yaml": "a: 1\n"}), {})
    seen = ["v1"]
    for image in ("b", "a", "b", "a"):  # a release, its rollback, both again
        text = VELA.replace("IMAGE", image)
        made = (
            iac.read("vela.yaml", iac.commit({"vela.yaml": text, "notes.yaml": image}, "x", iac.tip())) or ""
        )
        one, other = yaml.safe_load_all(made)
        seen.append(one["metadata"]["annotations"]["app.oam.dev/publishVersion"])
        assert made == text.replace('"v1"', f'"{seen[-1]}"')
        assert other["metadata"]["annotations"]["app.oam.dev/publishVersion"] == "v9"
    assert len(set(seen)) == len(seen)
