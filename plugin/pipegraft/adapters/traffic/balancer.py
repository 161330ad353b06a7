"""Which backend the next request goes to, and which of its instances."""

from __future__ import annotations

from collections.abc import Sequence

from pipegraft.ports.traffic import Backend

__all__ = ["Balancer"]


class Balancer:
    """Smooth weighted round robin over backends, plain round robin over the instances of one.

    In every run of as many choices as the weights add up to, each backend is chosen exactly as often as
    its weight says, spread evenly. The algorithm is nginx's (commit 52327e0627f4, "Upstream: smooth
    weighted round-robin balancing"): each time every backend gains its weight, the one that has most is
    chosen and pays the sum.

    Arguments:
        backends: those with weight 0 are never chosen.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = [backend for backend in backends if backend.weight > 0]
        self._sum = sum(backend.weight for backend in self._backends)
        self._gained = [0] * len(self._backends)
        self._turn = dict.fromkeys((backend.name for backend in self._backends), 0)

    def choose(self) -> Backend | None:
        """The backend of the next request; None if all weights are 0."""
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
