"""How layers of the app spec merge: by name and key, never by position.

What lies above wins: mappings by name (``ports``, ``env``, ``volumes``, …) and blocks (``readiness``,
``entrance``, …) merge key by key, lists, references and scalars are replaced whole, ``null`` takes away what
lies below. Policies lie below everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pipegraft.appspec.model.spec import AppComponent, Policies, Reference
from pipegraft.appspec.pods import Member
from pipegraft.core.model import Model

__all__ = ["member_of", "merge"]

D = TypeVar("D", bound=Model)

_WORKLOAD_POLICIES = ("security", "spread", "update", "disruption", "service_account", "pull_secrets")
_JOB_POLICIES = ("security", "service_account", "pull_secrets")
_SIDECAR_POLICIES = ("security", "sidecar")


def merge(below: D, above: D) -> D:
    """Put one declaration over another of the same kind; see the module for the rules."""
    if not below.model_fields_set and _is_settled(above):
        return above
    values: dict[str, Any] = {name: getattr(below, name) for name in below.model_fields_set}
    for name in above.model_fields_set:
        value, old = getattr(above, name), values.get(name)
        if isinstance(value, Mapping):
            value = _merged_by_name(old or {}, value)
        elif isinstance(value, Model):
            value = _over(old, value)
        values[name] = value
    left = {name: value for name, value in values.items() if value is not None}
    return type(above).model_construct(**left)


def _merged_by_name(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, entry in above.items():
        whole = not isinstance(entry, Model) or isinstance(entry, Reference)
        merged[key] = entry if whole else _over(merged.get(key), entry)
    return {key: entry for key, entry in merged.items() if entry is not None}


def _over(below: object, above: Model) -> Model:
    """A block over what lies below it, if that is a block too."""
    if isinstance(below, type(above)):
        return merge(below, above)
    return above if _is_settled(above) else merge(type(above).model_construct(), above)


def _is_settled(value: Any) -> bool:
    """Whether nothing in it takes away what lies below."""
    if isinstance(value, Model):
        return all(_is_settled(getattr(value, name)) for name in value.model_fields_set)
    if isinstance(value, Mapping):
        return all(map(_is_settled, value.values()))
    return value is not None


_NOTHING = AppComponent.model_construct()


def member_of(name: str, policies: Policies, layers: Sequence[Mapping[str, AppComponent]]) -> Member:
    """One component, its layers merged, over what the policies say for its kind.

    Arguments:
        layers: components by name, from the bottom.
    """
    member = Member(name, _merged(name, _NOTHING, layers))
    if not policies.model_fields_set:
        return member
    below = _policy_for(member, policies)
    return Member(name, _merged(name, below, layers)) if below.model_fields_set else member


def _merged(name: str, below: AppComponent, layers: Iterable[Mapping[str, AppComponent]]) -> AppComponent:
    for layer in layers:
        if name in layer:
            below = merge(below, layer[name])
    return below


def _policy_for(member: Member, policies: Policies) -> AppComponent:
    """The policies that are for a component, as a layer of it."""
    names: tuple[str, ...] = ()
    if member.intimacy == "rpc":
        names = _JOB_POLICIES if member.spec.job else _WORKLOAD_POLICIES
    elif member.intimacy == "ipc":
        names = _SIDECAR_POLICIES
    found = {name: getattr(policies, name) for name in names if name in policies.model_fields_set}
    if member.intimacy == "ipc" and found.get("security"):
        found["security"] = found["security"].model_copy(update={"files_group": None})
    return AppComponent.model_construct(**found)
