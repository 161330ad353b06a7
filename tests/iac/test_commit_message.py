from __future__ import annotations

from pathlib import Path

import pytest

from pipegraft.app.plugins import installed_plugins
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import ConfigError, Place, UsageError
from pipegraft.core.foreign_text import keep_secret
from pipegraft.core.release import Source
from pipegraft.iac.commits import commit_message, in_words_of, release_trailers
from pipegraft.iac.ports import Commit


def test_what_is_written_is_read_again() -> None:
    source = Source(commit="a" * 40, number=13, pipeline="https://ci.example.com/13")
    trailers = release_trailers("shop", "production", source, "weight 25")
    message = commit_message("shop: gray 25%", ["web: a → b"], trailers)
    commit = Commit("0" * 40, None, message)
    assert commit.subject == "shop: gray 25%"
    assert commit.trailers == trailers
    assert message.splitlines()[1:4] == ["", "web: a → b", ""]


def test_nothing_a_value_holds_can_forge_a_trailer() -> None:
    source = Source(commit="a" * 40, number=13, pipeline="x\n\nPipegraft-App: other")
    message = commit_message("subject\nmore", [], release_trailers("shop", "production", source, "bump"))
    commit = Commit("0" * 40, None, message)
    assert commit.subject == "subject more"
    assert commit.trailers["Pipegraft-App"] == "shop"


def test_empty_trailers_are_left_out() -> None:
    trailers = release_trailers("shop", "production", Source(commit="a" * 40, number=1), "bump")
    assert "Pipegraft-Pipeline" not in commit_message("subject", [], trailers)


RELEASE = release_trailers(
    "shop", "production", Source(commit="a" * 40, number=13, pipeline="https://ci.example.com/13"), "bump"
)
OURS = commit_message("shop: release 13 in production", ["web: a → b", "api: c → d"], RELEASE)


def test_a_template_words_the_subject_and_what_machines_read_stays() -> None:
    template = """\
chore({{ app }}): {{ subject | replace("shop: ", "") }} [{{ variables.TICKET }}]
{% if release == "13" %}

Released to {{ environment }} from {{ source_commit[:7] }}, by {{ step }}, {{ pipeline }}.
{% endif %}

Signed-off-by: Bot <bot@example.com>
"""
    said = in_words_of(template, {"TICKET": "OPS-7"})(OURS)
    assert said == (
        "chore(shop): release 13 in production [OPS-7]\n\nweb: a → b\napi: c → d\n\n"
        "Released to production from aaaaaaa, by bump, https://ci.example.com/13.\n\n"
        "Signed-off-by: Bot <bot@example.com>\n" + OURS.rpartition("\n\n")[2]
    )
    commit = Commit("0" * 40, None, said)
    assert commit.trailers == {"Signed-off-by": "Bot <bot@example.com>", **RELEASE}


def test_without_a_template_nothing_changes_and_the_variable_gives_one() -> None:
    assert in_words_of(None, {})(OURS) == OURS
    variables = {"PIPEGRAFT_COMMIT_MESSAGE": "feat: {{ subject }}"}
    assert in_words_of(None, variables)(OURS) == f"feat: {OURS}"
    assert in_words_of("fix: {{ subject }}", variables)(OURS) == f"fix: {OURS}"
    with pytest.raises(UsageError, match="line 1 of the template") as caught:
        in_words_of(None, {"PIPEGRAFT_COMMIT_MESSAGE": "{{ subject"})
    assert str(caught.value.problem.place) == "PIPEGRAFT_COMMIT_MESSAGE"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ variables.TICKET }}: {{ subject }}", "cannot be filled in: .*TICKET"),
        ("{{ subject }}\n\nPipegraft-App: other", "a trailer that is Pipegraft's own"),
        ("{{ subject }}\n\n pipegraft-app : x", None),
        ("{% if step == 'promote' %}x{% endif %}", "no subject"),
        ("{{ (1).__class__.__mro__ }}", "cannot be filled in: .*unsafe"),
        ("{{ variables.update({'A': 'b'}) }}", "cannot be filled in"),
        ("{{ 1 / 0 }}", "cannot be filled in: division by zero"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "cannot be filled in: maximum recursion"),
        ("{% include 'x' %}", "cannot be filled in: no loader"),
        ("{{ subject.encode('x') }}", "cannot be filled in: unknown encoding"),
        ("{{ '(' * 5000 }}{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deeply"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_place(template: str, said: str | None) -> None:
    place, variables = Place("delivery.yaml", 7, 14), {"A": "b"}
    if said is None:
        assert Commit("0" * 40, None, in_words_of(template, variables, place)(OURS)).trailers == RELEASE
        return
    with pytest.raises(UsageError, match=said) as caught:
        in_words_of(template, variables, place)(OURS)
    assert str(caught.value.problem.place) == "delivery.yaml:7:14"
    assert "nothing was written" in caught.value.problem.fix


def test_a_secret_of_the_process_does_not_get_into_a_commit() -> None:
    keep_secret("glpat-0123456789abcdef")
    said = in_words_of("x {{ variables.T }}\0\x1b[31m", {"T": "glpat-0123456789abcdef"})(OURS)
    assert said.startswith("x [secret][31m\n\n")


@pytest.mark.parametrize(
    ("commit", "found"),
    [
        ("{message: 'feat: {{ subject'}", ["2:46: 'iac.commit.message': line 1 of the template: unexpected"]),
        ("{message: '{{ ticket }} {{ subjekt }}'}", ["2:46: 'iac.commit.message'", "'subjekt'", "'ticket'"]),
        ("{message: '{{ app | nofilter }}'}", ["No filter named 'nofilter'"]),
        ("{author: 'Ada'}", ["2:45: 'iac.commit.author': expected 'Name <mail>'"]),
        ('{committer: "A\\nB <a@b.c>"}', ["2:48: 'iac.commit.committer': expected 'Name <mail>'"]),
        ("{committer: 'Bot <bot@example.com>'}, write: api", ["2:48: GitLab's API commits as the user"]),
        ("{message: 'feat: {{ subject }}', author: 'Ada Lovelace <a@b.c>', committer: 'Bot <bot@b.c>'}", []),
    ],
)
def test_what_is_declared_wrongly_is_told_at_its_place(commit: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "delivery.yaml").write_text(
        "{app: shop, registry: r.example.com/shop, components: {web: {path: web}},\n"
        f"iac: {{repository: iac.git, commit: {commit}}},\n"
        "environments: {p: {gate: {engine: embedded, application: a, state: .e}}}}\n"
    )
    if not found:
        assert (
            open_project(tmp_path, installed_plugins()).delivery.iac.commit.author == "Ada Lovelace <a@b.c>"
        )
        return
    with pytest.raises(ConfigError) as caught:
        open_project(tmp_path, installed_plugins())
    told = "\n".join(map(str, caught.value.problems))
    for part in found:
        assert part in told
