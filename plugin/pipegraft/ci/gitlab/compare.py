"""The proof that a graft left the team's jobs alone: what is in force before and after is equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipegraft.ci.gitlab.layers import Layer
from pipegraft.ci.gitlab.pipeline import Pipeline, resolve
from pipegraft.ci.gitlab.stage_graft import is_ours
from pipegraft.core.errors import EditRefused, Place

__all__ = ["differences", "prove_unchanged"]


def prove_unchanged(file: str, before: Sequence[Layer], after: Sequence[Layer]) -> tuple[str, ...]:
    """Names of the team's jobs, each proven to be the same before and after.

    Arguments:
        file: the root configuration, for messages.
        before: the team's layers.
        after: all layers, delivery's among them.

    Raises:
        EditRefused: something of the team's would change.
    """
    was, becomes = resolve(before), resolve(after)
    found = differences(was, becomes)
    if found:
        raise EditRefused(
            f"the graft would change what the team wrote: {'; '.join(found[:3])}",
            place=Place(file),
            fix="use --mode child, or report this file",
        )
    return tuple(name for name in was.jobs if not name.startswith("."))


def differences(before: Pipeline, after: Pipeline) -> list[str]:
    """What differs in the jobs, global keywords and order of stages that `before` has; one clause each."""
    found = _changed("job", before.jobs, after.jobs) + _changed("keyword", before.settings, after.settings)
    team = [stage for stage in before.stages.stages if not is_ours(stage)]
    order = [stage for stage in after.stages.stages if stage in team]
    if before.stages.uncertain == "" and order != team:
        found.append(f"the order of stages, from {', '.join(team)} to {', '.join(order)}")
    return found


def _changed(word: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [f"{word} '{name}'" for name, value in before.items() if name not in after or after[name] != value]
