"""Random histories against an oracle; by real pushes in tests/e2e."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from git_histories import ZERO, grow, play

from pipegraft.appspec.resource_binding import Platform
from pipegraft.iac.adapters.git.pre_receive import Update, open_received
from pipegraft.iac.guard.usecases import check_push


@pytest.mark.parametrize("seed", range(3))
def test_the_verdict_on_any_history_is_the_oracles(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    world = grow(chance, tmp_path / "client", 14)
    bare = tmp_path / "iac.git"

    def git(*words: str, given: str = "") -> None:
        subprocess.run(["git", "-C", str(bare), *words], input=given, text=True, check=True)

    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True)
    git("config", "receive.fsckObjects", "true")
    (bare / "objects/info/alternates").write_text(f"{tmp_path / 'client/.git/objects'}\n")
    git("update-ref", "refs/heads/main", world.names[0])
    world.held = {"refs/heads/main": 0}

    def verdict(updates: Sequence[tuple[str, str, str]]) -> bool:
        found = check_push(open_received(bare), [Update(*one) for one in updates], "tester", Platform(dict))
        if not found:
            lines = [f"delete {ref}" if new == ZERO else f"update {ref} {new}" for _, new, ref in updates]
            git("update-ref", "--stdin", given="".join(f"{line}\n" for line in lines))
        return bool(found)

    taken, refused = play(world, chance, 10, verdict)
    assert taken
    assert refused
