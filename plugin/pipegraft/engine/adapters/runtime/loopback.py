"""Free ports of this machine, for processes that are told where to listen."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from pipegraft.core.errors import OutsideError

__all__ = ["free_port"]

_RANGE = range(20_000, 32_000)
"""Below what systems take for outgoing connections, so that none of those takes a port meanwhile."""


def free_port(taken: Collection[int]) -> int:
    """A port nobody listens on, chosen at random so that several engines seldom meet.

    Arguments:
        taken: ports given away that may not be listened on yet.

    Raises:
        OutsideError: there is none.
    """
    for port in random.sample(_RANGE, len(_RANGE)):
        if port in taken:
            continue
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OutsideError(f"no port between {_RANGE.start} and {_RANGE.stop} is free on this machine")
