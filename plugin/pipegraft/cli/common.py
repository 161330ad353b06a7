"""What several commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from pipegraft.app.plugins import installed_plugins
from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import echo, json_of, printable, write_data
from pipegraft.core.plugins import Plugins

__all__ = [
    "directory_option",
    "json_option",
    "load_plugins",
    "print_json",
    "said_together",
    "working_plugins",
    "write_page",
]

F = TypeVar("F", bound=Callable[..., Any])

directory_option = click.option(
    "-C",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The source repository's folder; this folder if absent.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@functools.cache
def load_plugins() -> Plugins:
    """Everything that ships with the package and everything installed beside it."""
    return installed_plugins()


@contextmanager
def working_plugins() -> Iterator[Plugins]:
    """The plugins, for what is different without one of them: each that does not work is a warning."""
    plugins = load_plugins()
    told: set[str] = set()

    def warn() -> None:
        for key, one in plugins.loaded.items():
            if one.error and key not in told:
                told.add(key)
                said = f"plugin {one.name} ({one.origin}) does not work and is left out: {one.error}"
                echo(f"warning: {said}\n    fix: {one.fix}", err=True)

    warn()
    try:
        yield plugins
    finally:
        warn()  # some fail only when they are asked


def print_json(data: Any) -> None:
    """Data for machines, on standard output."""
    write_data(printable(json_of(data)))


def write_page(file: Path, text: str) -> None:
    """A report's file, whole or not at all.

    Raises:
        UsageError: there is no folder for it.
    """
    if not file.absolute().parent.is_dir():
        raise UsageError(f"expected a folder for {file}, found none", fix="make the folder first")
    write_atomically(file, text.encode())


_OF_OBJECT = re.compile(
    r"(?P<file>[^:]+): (?P<name>[A-Z][A-Za-z]+ [a-z0-9.-]+|service [\w.-]+): (?P<what>.+)"
    r"|variable '(?P<variable>[^']+)'(?P<of>.*)"
)


def said_together(lines: Sequence[str]) -> Iterator[str]:
    """Lines that say the same of several objects or variables as one, at the place of the first."""
    said: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        found = _OF_OBJECT.fullmatch(line)
        if found and found["variable"]:
            said.setdefault(("variable", found["of"]), []).append(f"'{found['variable']}'")
        else:
            names = said.setdefault((found["file"], found["what"]) if found else ("", line), [])
            names += [found["name"]] if found else []
    for (file, what), names in said.items():
        if file == "variable":
            yield f"variable{'s' if len(names) > 1 else ''} {', '.join(names)}{what}"
        else:
            yield f"{file}: {', '.join(names)}: {what}" if names else what
