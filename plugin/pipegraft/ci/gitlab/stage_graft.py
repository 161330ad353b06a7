"""Delivery's stages in the team's list of stages: put in, found again by their names, taken out.

The order of stages is merged by the algorithm that GitLab's pipeline execution policies use for
`inject_policy` (https://docs.gitlab.com/user/application_security/policies/pipeline_execution_policies/):
every list says "comes before"; the lists together form a graph; a cycle has no order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from yaml.events import ScalarEvent, SequenceStartEvent

from pipegraft.ci.gitlab.splicing import Splice, insert_items, remove_items
from pipegraft.core.errors import UsageError
from pipegraft.text.yaml.locate import entry_of
from pipegraft.text.yaml.source import Node, Source

__all__ = [
    "add_stages",
    "is_ours",
    "merge_orders",
    "order_stages",
    "remove_stages",
    "stage_name",
    "written_stages",
]


def merge_orders(*orders: Sequence[str], fix: str = "") -> list[str]:
    """One order that respects all; where they leave a choice, what was named first stays first.

    Arguments:
        orders: lists of stage names, the one to stay closest to first; a name counts where it first stands.
        fix: what to do about a cycle.

    Raises:
        UsageError: they contradict each other; the cycle is named.
    """
    names = list(dict.fromkeys(name for order in orders for name in order))
    before: dict[str, set[str]] = {name: set() for name in names}
    for order in orders:
        for earlier, later in pairwise(dict.fromkeys(order)):
            before[later].add(earlier)
    done: dict[str, None] = {}
    while len(done) < len(names):
        ready = next((name for name in names if name not in done and before[name] <= done.keys()), None)
        if ready is None:
            left = {name: needs - done.keys() for name, needs in before.items() if name not in done}
            path = " → ".join(_cycle(left))
            raise UsageError(
                f"the stages cannot be put in order, each must precede the next: {path}", fix=fix
            )
        done[ready] = None
    return list(done)


def _cycle(before: Mapping[str, set[str]]) -> list[str]:
    """A cycle in a graph in which every node has a predecessor, from earlier to later."""
    path = [next(iter(before))]
    while True:
        earlier = min(before[path[-1]])
        if earlier in path:
            return [earlier, *reversed(path[path.index(earlier) :])]
        path.append(earlier)


_OURS = "pipegraft"


def stage_name(environment: str | None) -> str:
    """The pipeline stage for the application as a whole, or for one of its environments."""
    return f"{_OURS}:{environment}" if environment else _OURS


def is_ours(stage: str) -> bool:
    """Whether a pipeline stage is one of delivery's."""
    return stage == _OURS or stage.startswith(f"{_OURS}:")


def order_stages(present: Sequence[str], wanted: Sequence[str], after: str | None) -> list[str]:
    """The list of stages with delivery's among them.

    Arguments:
        present: the list in force, perhaps with some of delivery's stages already.
        wanted: delivery's stages in their order.
        after: the team's stage to follow; where delivery already stands, else the last one, if None.

    Raises:
        UsageError: `after` is unknown, or the order contradicts itself.
    """
    team = [stage for stage in present if not is_ours(stage)]
    if after is not None and after not in (*team, ".pre"):
        raise UsageError(
            f"there is no stage '{after}'; there are: {', '.join(team) or 'none'}",
            fix="name one of them with --after",
        )
    kept = (
        team if after is not None else [stage for stage in present if stage in wanted or not is_ours(stage)]
    )
    standing = [stage for stage in wanted if stage in kept]
    at = kept.index(".post") if ".post" in kept else len(kept)
    if standing:
        at = kept.index(standing[0])
    elif after is not None:
        at = team.index(after) + 1 if after in team else 0
    placed = list(kept)
    for stage in wanted:
        if stage not in placed:
            placed.insert(at, stage)
        at = placed.index(stage) + 1
    return merge_orders(
        placed,
        wanted,
        fix="let the list in the file follow the order of the environments in delivery.yaml, or take "
        "delivery's stages out of it and run inject again",
    )


def add_stages(source: Source, root: Node, ordered: Sequence[str]) -> list[Splice]:
    """The edits that bring the list in a file to an order.

    Arguments:
        source: the text.
        root: the mapping that has `stages`.
        ordered: all stages, the team's in the order they have in the file.

    Raises:
        EditRefused: the list is an alias or holds something else than names.
    """
    sequence = _sequence(source, root)
    present = written_stages(source, root)
    removed = [index for index, stage in enumerate(present) if is_ours(stage) and stage not in ordered]
    edits = remove_items(source, sequence, removed)
    new: list[str] = []
    behind = 0
    for stage in ordered:
        if stage not in present:
            new.append(stage)
            continue
        edits += _insert(source, sequence, behind, new)
        new, behind = [], present.index(stage) + 1
    return edits + _insert(source, sequence, behind, new)


def written_stages(source: Source, root: Node) -> list[str]:
    """The list of stages as the file writes it, inputs not filled in.

    Raises:
        EditRefused: the list is an alias or holds something else than names.
    """
    return [str(source.events[item].value) for item in source.children(_sequence(source, root))]


def _insert(source: Source, sequence: Node, behind: int, stages: list[str]) -> list[Splice]:
    if not stages:
        return []
    items = source.children(sequence)
    quote = source.events[items[max(behind - 1, 0)]].style if items else None
    mark = quote if quote in ("'", '"') else ""
    return [insert_items(source, sequence, behind, [f"{mark}{stage}{mark}" for stage in stages])]


def remove_stages(source: Source, root: Node) -> tuple[list[Splice], tuple[str, ...]]:
    """The edits that take delivery's stages out of a file's list, and which they are."""
    entry = entry_of(source, root, "stages")
    if entry is None or not isinstance(source.events[entry[1]], SequenceStartEvent):
        return [], ()
    found = [
        (index, str(event.value))
        for index, item in enumerate(source.children(entry[1]))
        if isinstance(event := source.events[item], ScalarEvent) and is_ours(event.value)
    ]
    edits = remove_items(source, entry[1], [index for index, _ in found])
    return edits, tuple(stage for _, stage in found)


def _sequence(source: Source, root: Node) -> Node:
    entry = entry_of(source, root, "stages")
    node = entry[1] if entry else root
    event = source.events[node]
    plain = isinstance(event, SequenceStartEvent) and all(
        isinstance(source.events[item], ScalarEvent) for item in source.children(node)
    )
    if not plain or event.anchor:  # an anchored list is used elsewhere too
        raise source.refusal(
            node, "'stages' is not written as a plain list of names", "write the list out in full"
        )
    return node
