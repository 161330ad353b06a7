"""What every `GitOpsEngine` and `WorkloadRuntime` does, whatever is behind it.

Subclass `EngineSuite` in a test module and give it the fixtures `engine` and `target`: a revision that the
engine has live and healthy, and `rule`, the verdict rule of that engine. Subclass `RuntimeSuite` and give
it the fixtures `runtime`, `workload` (one that gets ready, with a declared port 8080) and `crashing` (one
whose process ends by itself).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from pipegraft.engine.ports import Instance, Phase, Workload, WorkloadRuntime
from pipegraft.gate.ports import GitOpsEngine, State, VerdictRule

__all__ = ["EngineSuite", "RuntimeSuite", "observe_until"]


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


_DEADLINE = 20.0


def observe_until(
    runtime: WorkloadRuntime, reached: Callable[[Sequence[Instance]], bool]
) -> Sequence[Instance]:
    """Observe again and again until a condition holds, and answer what was seen then."""
    end = time.monotonic() + _DEADLINE
    while True:
        seen = runtime.observe()
        if reached(seen):
            return seen
        assert time.monotonic() < end, f"not reached within {_DEADLINE:g} s; last seen: {seen}"
        time.sleep(0.01)


class RuntimeSuite:
    """The contract of `WorkloadRuntime`."""

    def test_an_instance_starts_and_gets_ready(self, runtime: WorkloadRuntime, workload: Workload) -> None:
        name = runtime.start(workload)
        first = runtime.observe()
        assert [(one.id, one.workload, one.application) for one in first] == [
            (name, workload.name, workload.application)
        ]
        seen = observe_until(runtime, lambda seen: seen[0].phase is Phase.READY)
        assert seen[0].template == workload.template
        assert set(seen[0].addresses) == {8080}

    def test_instances_are_told_apart_and_seen_in_order(
        self, runtime: WorkloadRuntime, workload: Workload
    ) -> None:
        names = [runtime.start(workload) for _ in range(2)]
        seen = runtime.observe()
        assert [one.id for one in seen] == names
        assert seen[0].addresses[8080] != seen[1].addresses[8080]

    def test_a_stopped_instance_is_gone_in_the_end(
        self, runtime: WorkloadRuntime, workload: Workload
    ) -> None:
        name = runtime.start(workload)
        other = runtime.start(workload)
        observe_until(runtime, lambda seen: all(one.phase is Phase.READY for one in seen))
        runtime.stop(name)
        assert {one.id: one.phase for one in runtime.observe()}.get(name) in (Phase.STOPPING, None)
        seen = observe_until(runtime, lambda seen: len(seen) == 1)
        assert seen[0].id == other

    def test_stopping_twice_is_stopping(self, runtime: WorkloadRuntime, workload: Workload) -> None:
        name = runtime.start(workload)
        runtime.stop(name)
        if any(one.id == name for one in runtime.observe()):
            runtime.stop(name)
        observe_until(runtime, lambda seen: not seen)

    def test_what_ends_by_itself_has_failed_until_it_is_cleared_away(
        self, runtime: WorkloadRuntime, crashing: Workload
    ) -> None:
        name = runtime.start(crashing)
        observe_until(runtime, lambda seen: seen[0].phase is Phase.FAILED)
        assert runtime.observe()[0].phase is Phase.FAILED
        runtime.stop(name)
        observe_until(runtime, lambda seen: not seen)

    def test_collecting_leaves_running_instances_alone(
        self, runtime: WorkloadRuntime, workload: Workload
    ) -> None:
        runtime.start(workload)
        runtime.collect(())
        observe_until(runtime, lambda seen: seen[0].phase is Phase.READY)
