"""``$(VARIABLE)`` in a container's variables, command and arguments, as Kubernetes expands it.

A text may name the variables before it, ``$$`` stands for a plain ``$``, and what names no variable stays
as it is. Source: Kubernetes core/v1, Container: `env`, `command`, `args`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

__all__ = ["expand", "named_in"]

_NAMED = re.compile(r"\$\$|\$\((?P<name>[^()]+)\)")


def named_in(text: str) -> list[str]:
    """Names of the variables that a text asks for."""
    return [found["name"] for found in _NAMED.finditer(text) if found["name"]] if "$" in text else []


def expand(text: str, variables: Mapping[str, str], quote: Callable[[str], str] = str) -> str:
    """Put variables into a text.

    Arguments:
        quote: makes text safe where it is going; the values of variables are safe already.
    """
    if "$" not in text:
        return quote(text)
    parts: list[str] = []
    end = 0
    for found in _NAMED.finditer(text):
        name = found["name"]
        parts.append(quote(text[end : found.start()]))
        parts.append(
            quote("$") if name is None else variables[name] if name in variables else quote(found[0])
        )
        end = found.end()
    return "".join((*parts, quote(text[end:])))
