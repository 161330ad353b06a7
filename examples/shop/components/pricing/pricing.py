"""What things cost. Its own image, released on its own, mounted into whoever needs prices."""

from __future__ import annotations

VERSION = "v1"


def total(cents: int, quantity: int) -> int:
    """Price of several pieces, in cents; ten or more are five per cent cheaper, rounded down."""
    full = cents * quantity
    return full * 95 // 100 if quantity >= 10 else full
