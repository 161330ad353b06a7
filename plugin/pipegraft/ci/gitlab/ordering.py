"""The order of stages, from several lists that each say part of it.

The same algorithm as GitLab's pipeline execution policies use for `inject_policy`
(https://docs.gitlab.com/user/application_security/policies/pipeline_execution_policies/): every list says
"comes before"; the lists together form a graph; a cycle has no order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from pipegraft.core.errors import UsageError

__all__ = ["merge_orders"]


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
