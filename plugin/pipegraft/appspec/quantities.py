"""Amounts as Kubernetes writes them, as numbers."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["amount_of"]

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
