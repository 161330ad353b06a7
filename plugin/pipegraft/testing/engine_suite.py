"""What every `GitOpsEngine` does, whatever is behind it.

Subclass `EngineSuite` in a test module and give it the fixtures `engine` and `target`: a revision that
the engine has live and healthy, and `rule`, the verdict rule of that engine.
"""

from __future__ import annotations

import json
import time

from pipegraft.gate.ports import GitOpsEngine, State, VerdictRule

__all__ = ["EngineSuite"]


class EngineSuite:
    """The contract of `GitOpsEngine` and of the rule that reads it."""

    def test_a_status_is_plain_json(self, engine: GitOpsEngine) -> None:
        status = dict(engine.observe())
        assert json.loads(json.dumps(status)) == status

    def test_the_live_revision_succeeds(self, engine: GitOpsEngine, rule: VerdictRule, target: str) -> None:
        assert rule(engine.observe(), lambda revision: revision == target).state is State.SUCCEEDED

    def test_another_revision_does_not(self, engine: GitOpsEngine, rule: VerdictRule) -> None:
        found = rule(engine.observe(), lambda _revision: False)
        assert found.state is not State.SUCCEEDED
        assert found.reason

    def test_a_sync_may_be_requested_at_any_time(self, engine: GitOpsEngine) -> None:
        engine.request_sync()
        engine.request_sync()
        engine.observe()

    def test_waiting_ends_when_the_time_is_over(self, engine: GitOpsEngine) -> None:
        engine.observe()
        started = time.monotonic()
        engine.wait(0.05)
        assert time.monotonic() - started < 5.0

    def test_explaining_never_raises(self, engine: GitOpsEngine) -> None:
        assert all(isinstance(line, str) for line in engine.explain())
