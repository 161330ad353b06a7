"""What a commit of the IaC repository says: a subject, lines for people, trailers for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipegraft.core.foreign_text import redacted
from pipegraft.core.release import GateResult, Source

__all__ = ["EFFECT", "GATE", "commit_message", "gate_trailer", "release_trailers"]

GATE = "Pipegraft-Gate"
"""Trailer of the first commit after the gate, so that git alone tells what the gate said."""


EFFECT = "Pipegraft-Effect"
"""Trailer of a commit that writes images: what is known of what its files render to, and by what."""


def commit_message(subject: str, lines: Iterable[str], trailers: Mapping[str, str]) -> str:
    """Put a message together (git-interpret-trailers(1) on the last paragraph).

    Arguments:
        subject: one line.
        lines: the body; none leaves it out.
        trailers: key → value; empty values are left out.
    """
    body = "\n".join(_one_line(line) for line in lines)
    ending = "\n".join(f"{key}: {_one_line(value)}" for key, value in trailers.items() if value)
    return "\n\n".join(part for part in (_one_line(subject), body, ending) if part) + "\n"


def release_trailers(app: str, environment: str, source: Source, step: str) -> dict[str, str]:
    """The trailers of every commit Pipegraft makes for a release.

    Arguments:
        app: name of the application.
        environment: name of the environment.
        source: where the release comes from.
        step: what this commit does in the release: ``bump``, ``prepare``, ``weight 25``, ``promote``,
            ``rollback``.
    """
    return {
        "Pipegraft-App": app,
        "Pipegraft-Environment": environment,
        "Pipegraft-Release": str(source.number),
        "Pipegraft-Source-Commit": source.commit,
        "Pipegraft-Pipeline": source.pipeline,
        "Pipegraft-Step": step,
    }


def gate_trailer(gate: GateResult | None) -> str:
    """Verdict, revision it is about, and seconds it took: ``succeeded 4f0c… 12s``; empty without a gate."""
    return f"{gate.verdict} {gate.revision} {gate.seconds:g}s" if gate else ""


def _one_line(text: str) -> str:
    return " ".join(redacted(text).split())
