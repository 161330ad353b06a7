"""Which backend a request goes to, and which of its instances."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipegraft.appspec.ports.traffic import Backend, Choice

__all__ = ["Balancer"]


class Balancer:
    """Smooth weighted round robin over backends, plain round robin over the instances of one.

    In every run of as many choices as the weights add up to, each backend is chosen exactly as often as
    its weight says, spread evenly. The algorithm is nginx's (commit 52327e0627f4, "Upstream: smooth
    weighted round-robin balancing"): each time every backend gains its weight, the one that has most is
    chosen and pays the sum.

    Arguments:
        backends: those with weight 0 get no request but by a choice.
        choices: what is looked at before the weights.
    """

    def __init__(self, backends: Sequence[Backend], choices: Sequence[Choice] = ()) -> None:
        self._backends = [backend for backend in backends if backend.weight > 0]
        self._sum = sum(backend.weight for backend in self._backends)
        self._gained = [0] * len(self._backends)
        self._turn = dict.fromkeys((backend.name for backend in backends), 0)
        known = {backend.name: backend for backend in backends}
        self._choices = [
            (
                choice.header.lower().encode("ascii"),
                re.compile((choice.value if choice.regex else re.escape(choice.value)).encode()),
                known[choice.backend],
            )
            for choice in choices
        ]

    def choose(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> Backend | None:
        """The backend of the next request; None if all weights are 0.

        Arguments:
            fields: the request's header fields, names in lower case. One that a choice decides takes no turn
                of those that the weights divide.
        """
        if self._choices:
            values: dict[bytes, bytes] = {}
            for name, value in fields:  # cookies may come in several fields: RFC 9113, 8.2.3
                joint = b"; " if name == b"cookie" else b", "
                values[name] = values[name] + joint + value if name in values else value
            for header, pattern, backend in self._choices:
                if header in values and pattern.fullmatch(values[header]):
                    return backend
        if not self._backends:
            return None
        gained = self._gained
        for index, backend in enumerate(self._backends):
            gained[index] += backend.weight
        chosen = max(range(len(gained)), key=gained.__getitem__)
        gained[chosen] -= self._sum
        return self._backends[chosen]

    def instances(self, backend: Backend) -> tuple[str, ...]:
        """Every address of a backend, the one whose turn it is first."""
        if not backend.addresses:
            return ()
        turn = self._turn[backend.name] % len(backend.addresses)
        self._turn[backend.name] = turn + 1
        return backend.addresses[turn:] + backend.addresses[:turn]
