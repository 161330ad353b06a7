"""What a user set for a run, from the command line and from variables, as each stage's typed inputs."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.faults import Fault, read
from pipegraft.core.model import keys_of
from pipegraft.core.stage import Stage, StageInputs

__all__ = ["read_inputs", "variable_name"]


def variable_name(stage: str, key: str) -> str:
    """The environment variable that sets an input: ``PIPEGRAFT_INPUT_IMAGE_BUILD_JOBS``."""
    return f"PIPEGRAFT_INPUT_{stage}_{key}".replace("-", "_").upper()


def read_inputs(
    stages: Iterable[Stage], settings: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, StageInputs]:
    """Typed inputs of each stage; a setting wins over a variable, an empty variable is none.

    Arguments:
        stages: the stages of this run.
        settings: ``input`` (for every stage that has it) or ``stage.input`` → value as written; items
            of a list with commas between them.
        variables: environment variables.

    Raises:
        ConfigError: unknown inputs and wrong values, all of them.
    """
    chosen = {stage.name: stage for stage in stages}
    known = {f"{stage.name}.{key}" for stage in chosen.values() for key in _keys(stage)}
    short = {key.partition(".")[2] for key in known}
    problems = [_unknown(key, known) for key in settings if key not in known | short]
    parsed: dict[str, StageInputs] = {}
    for stage in chosen.values():
        found = read(stage.inputs, _values(stage, settings, variables))
        problems += [_wrong(stage, fault) for fault in found.faults]
        if found.known is not None:
            parsed[stage.name] = found.known
    if problems:
        raise ConfigError(problems)
    return parsed


def _keys(stage: Stage) -> dict[str, bool]:
    """Input → whether it is a list."""
    return {
        key: typing.get_origin(stage.inputs.model_fields[name].annotation) in (tuple, list)
        for name, key in keys_of(stage.inputs).items()
    }


def _values(stage: Stage, settings: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, is_list in _keys(stage).items():
        from_variable = variables.get(variable_name(stage.name, key)) or None
        value = settings.get(f"{stage.name}.{key}", settings.get(key, from_variable))
        if value is not None:
            found[key] = [item.strip() for item in value.split(",") if item.strip()] if is_list else value
    return found


def _unknown(key: str, known: Iterable[str]) -> Problem:
    return Problem(
        f"no stage of this run has the input '{key}'",
        Place("--set"),
        f"use one of: {', '.join(sorted(known))}",
    )


def _wrong(stage: Stage, fault: Fault) -> Problem:
    name = str(fault.route[0])
    message = f"input '{name}' of stage '{stage.name}': {fault.message}, found {fault.found!r}"
    return Problem(message, Place("--set"), f"set {stage.name}.{name}, or {variable_name(stage.name, name)}")
