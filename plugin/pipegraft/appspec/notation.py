"""What Kubernetes writes inside texts: variables that it expands, and amounts.

A variable, command or argument may name the variables before it as ``$(VARIABLE)``, ``$$`` stands for a plain
``$``, and what names no variable stays as it is. Sources: Kubernetes core/v1, Container: `env`, `command`,
`args`; ``resource.Quantity``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction

__all__ = ["amount_of", "expand", "named_in"]

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


_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z]*)")
_DECIMAL = "kMGTP"


def amount_of(quantity: str) -> Fraction:
    """Cores or bytes.

    Arguments:
        quantity: such as ``500m``, ``2`` or ``256Mi`` (Kubernetes API, ``resource.Quantity``).

    Raises:
        ValueError: it is no quantity.
    """
    found = _QUANTITY.fullmatch(quantity)
    if not found:
        raise ValueError(f"expected a quantity such as 500m or 256Mi, found {quantity!r}")
    number, unit = Fraction(found[1]), found[2]
    if unit in ("", "m"):
        return number / 1000 if unit else number
    base = 1024 if unit.endswith("i") else 1000
    return number * Fraction(base) ** (_DECIMAL.index(unit[0]) + 1)
