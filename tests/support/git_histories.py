"""Random histories of an IaC repository, and what may be pushed of them: the guard's verdict has an oracle.

The oracle knows which contents are bad since it made them, and reads the graph of commits by itself.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guarded import APP, PATH, STABLE, TOKEN, A, B

LIMITED = "pushers: {tester: ['environments/*', 'app.yaml', '.pipegraft/*'], '*': []}\n"
OPEN = "gray-steps: []\n"
CONTENTS: dict[str, tuple[list[str], list[str]]] = {
    PATH: ([STABLE, STABLE.replace(A, B).replace("12", "13")], [STABLE.replace(A, "r/web:latest")]),
    "environments/notes": (["a\n", "b\n"], [f"a\n{TOKEN}\n", "kind: Secret\ndata: {a: eA==}\n"]),
    "environments/deep/rendered/a.yaml": ([f"image: {A}\n", "a: 1\n"], ["image: r/web\n", "image_tag: v1\n"]),
    "other/file": (["1\n", "2\n"], []),
    ".pipegraft/guard.yaml": ([LIMITED, OPEN], []),
}
"""Path → good and bad contents."""
BAD = {text for _, bad in CONTENTS.values() for text in bad}
BRANCHES = ["main", "side", "pipegraft/shop/production", "pipegraft/x"]
ZERO = "0" * 40


@dataclass(frozen=True)
class Node:
    """A commit: numbers of its parents, what its tree holds, and its message."""

    parents: tuple[int, ...]
    files: Mapping[str, str]
    message: str


@dataclass
class World:
    """A client's repository with all commits, and what the server's references lead to.

    Arguments:
        nodes: the commits, parents first.
        names: their object names.
        client: the repository they are in.
        held: reference → number of the commit it leads to.
    """

    nodes: Sequence[Node]
    names: Sequence[str]
    client: Path
    held: dict[str, int] = field(default_factory=dict)

    def reach(self, *starts: int) -> set[int]:
        """Commits that can be reached."""
        found, waiting = set(starts), list(starts)
        while waiting:
            new = set(self.nodes[waiting.pop()].parents) - found
            found |= new
            waiting += new
        return found

    def refuses(self, reference: str, new: int | None) -> bool:
        """Whether the guard has to refuse that a reference moves; None if it goes."""
        old = self.held.get(reference)
        kind, name = reference.split("/", 2)[1:]
        free = kind == "heads" and name.startswith("pipegraft/")
        if new is None:
            return not free
        if kind not in ("heads", "tags") or (kind == "tags" and old is not None):
            return True
        if old is not None and not free and old not in self.reach(new):
            return True
        base = old if not free else None
        others = [one for ref, one in self.held.items() if ref.startswith("refs/heads/")]
        if free:
            others = [
                one for ref, one in self.held.items() if ref.startswith("refs/heads/") and ref != reference
            ]
        fresh = self.reach(new) - self.reach(*([base] if base is not None else others))
        rules = self.nodes[base if base is not None else self.held["refs/heads/main"]].files
        limited = rules.get(".pipegraft/guard.yaml") == LIMITED
        if any(self._is_bad(one, self.nodes[one].parents, limited=limited) for one in fresh):
            return True
        merged = any(len(self.nodes[one].parents) > 1 for one in fresh)
        return base is not None and merged and self._is_bad(new, (base,), limited=limited)

    def _is_bad(self, commit: int, parents: Sequence[int], *, limited: bool) -> bool:
        node = self.nodes[commit]
        before = [self.nodes[one].files for one in parents] or [{}]
        if TOKEN in node.message and len(parents) == len(node.parents):
            return True
        paths = {path for files in (node.files, *before) for path in files}
        for path in paths:
            if any(files.get(path) == node.files.get(path) for files in before):
                continue
            if node.files.get(path) in BAD or (limited and path.startswith("other/")):
                return True
        return False


def grow(chance: random.Random, client: Path, number: int) -> World:
    """Make commits: children, merges of two and of several, reverts, cherry-picks, new roots."""
    first = {"app.yaml": APP, PATH: STABLE, ".pipegraft/guard.yaml": chance.choice([LIMITED, OPEN])}
    nodes = [Node((), first, "first")]
    while len(nodes) < number:
        at = max(chance.randrange(len(nodes)), chance.randrange(len(nodes)))
        parents: tuple[int, ...] = (at,)
        files = dict(nodes[at].files)
        kind = chance.random()
        if kind < 0.3 and len(nodes) > 3:
            others = chance.sample(range(len(nodes)), chance.choice([1, 1, 1, 2, 3]))
            parents = tuple(dict.fromkeys([at, *others]))
            for one in parents[1:]:
                files |= {p: t for p, t in nodes[one].files.items() if chance.random() < 0.6}
        elif kind < 0.4 and nodes[at].parents:  # a revert
            files = dict(nodes[nodes[at].parents[0]].files)
        elif kind < 0.5:  # a cherry-pick
            files |= dict(chance.sample(sorted(chance.choice(nodes).files.items()), 1))
        elif kind < 0.55:
            parents = ()
        if chance.random() < 0.8:
            path = chance.choice(list(CONTENTS))
            good, bad = CONTENTS[path]
            files[path] = chance.choice(bad if bad and chance.random() < 0.15 else good)
        if chance.random() < 0.1:
            files.pop(chance.choice(["environments/notes", "other/file"]), None)
        nodes.append(
            Node(parents, files, f"use {TOKEN}" if chance.random() < 0.02 else f"change {len(nodes)}")
        )
    return World(nodes, _stored(nodes, client), client)


def _stored(nodes: Sequence[Node], client: Path) -> list[str]:
    """Object names of the commits, written by git-fast-import(1)."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(client)], check=True)
    lines = []
    for number, node in enumerate(nodes):
        message = node.message.encode()
        lines += [
            "commit refs/heads/all",
            f"mark :{number + 1}",
            f"committer t <t@x> {1700000000 + number} +0000",
        ]
        lines += [f"data {len(message)}", node.message]
        if not node.parents:
            lines[-5:-4] = ["reset refs/heads/all", "", lines[-5]]
        lines += [f"{'merge' if at else 'from'} :{one + 1}" for at, one in enumerate(node.parents)]
        lines.append("deleteall")
        for path, text in node.files.items():
            lines += [f"M 100644 inline {path}", f"data {len(text.encode())}", text]
        lines.append("")
    marks = client / ".git" / "marks"
    words = ["git", "fast-import", "--quiet", "--force", f"--export-marks={marks}"]
    subprocess.run(words, cwd=client, input="\n".join(lines).encode(), check=True)
    found = dict(line.split() for line in marks.read_text().splitlines())
    return [found[f":{number + 1}"] for number in range(len(nodes))]


Verdict = Callable[[Sequence[tuple[str, str, str]]], bool]
"""Old, new and name of references that are to move → whether they are refused."""


def play(world: World, chance: random.Random, pushes: int, verdict: Verdict) -> tuple[int, int]:
    """Push at random, and compare; answers how many pushes were taken and refused."""
    taken = 0
    for _ in range(pushes):
        moves: dict[str, int | None] = {}
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            kind = chance.choice(["heads"] * 8 + ["tags", "tags", "notes"])
            name = chance.choice(BRANCHES) if kind == "heads" else chance.choice(["v1", "v2"])
            old = world.held.get(f"refs/{kind}/{name}")
            below = sorted(world.reach(old)) if old is not None else []
            above = [n for n in range(len(world.nodes)) if old is not None and old in world.reach(n)]
            new = chance.choice(
                (above or below) if chance.random() < 0.6 and above else range(len(world.nodes))
            )
            moves[f"refs/{kind}/{name}"] = None if old is not None and chance.random() < 0.1 else new
        moves = {ref: new for ref, new in moves.items() if world.held.get(ref) != new}
        if not moves:
            continue
        updates = [(_name(world, world.held.get(ref)), _name(world, new), ref) for ref, new in moves.items()]
        expected = any(world.refuses(ref, new) for ref, new in moves.items())
        assert verdict(updates) == expected, (updates, expected)
        if not expected:
            taken += 1
            for ref, new in moves.items():
                world.held.pop(ref, None)
                world.held |= {} if new is None else {ref: new}
    return taken, pushes - taken


def _name(world: World, node: int | None) -> str:
    return ZERO if node is None else world.names[node]
