"""Whether this machine's clock agrees with the servers' (the header ``Date``, RFC 9110, 6.6.1)."""

from __future__ import annotations

import email.utils
from collections.abc import Iterable, Iterator, Sequence

from pipegraft.core.adapters.attempts import Patience
from pipegraft.core.adapters.http import Http
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient, addresses_of
from pipegraft.core.errors import OutsideError
from pipegraft.core.plugins import hookimpl
from pipegraft.images.reference import is_layout

__all__ = ["pipegraft_examinations"]

_NOTED, _WRONG = 5.0, 60.0
"""Seconds of difference: tokens and signatures are refused for a minute, and often for less."""
_PATIENCE = 10.0


def _subjects(patient: Patient) -> Sequence[str]:
    found = list(addresses_of(patient.delivery))
    if not is_layout(patient.delivery.registry):
        host = patient.delivery.registry.partition("/")[0]
        local = host.partition(":")[0] in ("localhost", "127.0.0.1")
        found.append(f"{'http' if local else 'https'}://{host}")
    return tuple(dict.fromkeys(found))


def run(patient: Patient, address: str) -> Iterator[Diagnosis]:
    """Ask one server for the time; any answer tells it, a refusal too."""
    subject = f"clock against {address}"
    before = patient.clock.now()
    try:
        told = _date(address)
    except OutsideError as error:
        yield Diagnosis(subject, Health.UNREACHABLE, error.problem.message, error.problem.fix)
        return
    if told is None:
        yield Diagnosis(subject, Health.NOTE, "the server does not tell the time")
        return
    after = patient.clock.now()
    ahead = max(before - told - 1.0, 0.0) - max(told - after, 0.0)  # the header has whole seconds
    if abs(ahead) > _NOTED:
        health = Health.WRONG if abs(ahead) > _WRONG else Health.NOTE
        word = "ahead of" if ahead > 0 else "behind"
        yield Diagnosis(subject, health, f"{abs(ahead):.0f} s {word} it", "keep the machine's time by NTP")
    else:
        yield Diagnosis(subject, Health.GOOD, "the same time")


def _date(address: str) -> float | None:
    """What a server says the time is, seconds since the epoch."""
    with Http("clock", patience=Patience(attempts=1, silence=_PATIENCE)) as http:
        header = http.ask("HEAD", address, what=f"asking {address}", good=range(600)).headers.get("date")
    parsed = email.utils.parsedate_to_datetime(header) if header else None
    return parsed.timestamp() if parsed else None


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("clock", "The clock agrees with the servers'.", run, _subjects)
