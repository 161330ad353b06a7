from __future__ import annotations

from pipegraft.core.release import Source
from pipegraft.iac.commit_message import commit_message, release_trailers
from pipegraft.iac.ports.repository import Commit


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
