from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipegraft.engine.ports import Container, Instance, Phase, Rollout, Workload
from pipegraft.engine.reconcile import DEADLINE, Health, History, Step, reconcile


def workload(version: str = "1", replicas: int = 1, name: str = "web") -> Workload:
    return Workload("shop", name, (Container(name, f"image-{version}"),), replicas=replicas)


def instance(of: Workload, phase: Phase = Phase.READY, number: int = 1, since: float = 0.0) -> Instance:
    return Instance(f"{of.name}-{number}", of.application, of.name, of.template, phase, since)


def decide(desired: list[Workload], seen: list[Instance], now: float = 0.0, **more: object) -> Step:
    history = History().observe(seen, now)
    return reconcile(desired, seen, history, now, **more)  # type: ignore[arg-type]


def test_replicas_are_started() -> None:
    web = workload(replicas=2)
    step = decide([web], [])
    assert (step.start, step.stop) == ((web, web), ())
    assert step.health[0].health is Health.PROGRESSING


def test_ready_replicas_are_healthy_and_serve() -> None:
    web = workload()
    step = decide([web], [instance(web)])
    assert step.healthy
    assert [one.id for one in step.serving["web"]] == ["web-1"]
    assert step.settled == {"web"}


def test_an_old_instance_serves_until_the_new_one_is_ready() -> None:
    old, new = workload("1"), workload("2")
    waiting = decide([new], [instance(old), instance(new, Phase.STARTING, 2)])
    assert (waiting.stop, [one.id for one in waiting.serving["web"]]) == ((), ["web-1"])
    assert not waiting.settled
    ready = decide([new], [instance(old), instance(new, Phase.READY, 2)])
    assert (ready.stop, [one.id for one in ready.serving["web"]]) == (("web-1",), ["web-2"])
    assert not ready.healthy  # the old one is still there


def test_recreating_ends_everything_old_before_anything_new_starts() -> None:
    old, new = workload("1", replicas=2), replace(workload("2", replicas=2), rollout=Rollout(recreate=True))
    step = decide([new], [instance(old), instance(old, number=2)])
    assert (step.start, step.stop) == ((), ("web-1", "web-2"))
    assert decide([new], [instance(old, Phase.STOPPING)]).start == ()
    assert decide([new], []).start == (new, new)


def test_a_surge_and_what_may_be_missing_bound_an_update() -> None:
    old = workload("1", replicas=3)
    new = replace(workload("2", replicas=3), rollout=Rollout(surge=1))
    ready = [instance(old, number=number) for number in range(3)]
    step = decide([new], ready)
    assert (step.start, step.stop) == ((new,), ())
    assert decide([new], [*ready, instance(new, Phase.STARTING, 9)]).start == ()
    step = decide([new], [*ready, instance(new, Phase.READY, 9)])
    assert (step.start, len(step.stop)) == ((), 1)
    missing = replace(new, rollout=Rollout(surge=0, unavailable=1))
    step = decide([missing], ready)
    assert (step.start, len(step.stop)) == ((), 1)
    step = decide([missing], ready[1:])
    assert (step.start, step.stop) == ((missing,), ())


def test_how_instances_are_replaced_is_no_reason_to_replace_them() -> None:
    assert workload().template == replace(workload(), rollout=Rollout(recreate=True)).template


def test_an_old_instance_that_never_got_ready_goes_at_once() -> None:
    old, new = workload("1"), workload("2")
    assert decide([new], [instance(old, Phase.STARTING)]).stop == ("web-1",)


def test_a_failed_instance_is_replaced_at_once_the_first_time() -> None:
    web = workload()
    step = decide([web], [instance(web, Phase.FAILED)], now=5.0)
    assert (step.start, step.stop) == ((web,), ("web-1",))


def test_starts_are_spaced_out_when_it_keeps_failing_and_it_is_degraded_after_three() -> None:
    web = workload()
    history, now = History(), 100.0
    waits = []
    for number in range(6):
        failed = replace(instance(web, Phase.FAILED, number), reason="exit 1", evidence=("Traceback",))
        history = history.observe([failed], now)
        step = reconcile([web], [], history, now)
        begun = now
        while not step.start:
            now += 0.25
            step = reconcile([web], [], history, now)
        waits.append(now - begun)
    assert waits == [0, 0.5, 1, 2, 4, 8]
    assert step.health[0].health is Health.DEGRADED
    assert step.health[0].evidence == ("Traceback",)
    assert "failed 6 times in a row: exit 1" in step.health[0].message


def test_a_crash_loop_is_not_healthy_in_the_moments_it_runs() -> None:
    web = workload()
    history = History()
    for number in range(3):
        history = history.observe([instance(web, Phase.FAILED, number)], 1.0)
    running = [instance(web, Phase.READY, 9, since=2.0)]
    assert not reconcile([web], running, history.observe(running, 3.0), 3.0).healthy
    later = history.observe(running, 12.5)
    assert reconcile([web], running, later, 12.5).healthy


def test_one_failure_is_counted_once() -> None:
    web = workload()
    failed = [instance(web, Phase.FAILED)]
    history = History().observe(failed, 1.0).observe(failed, 2.0)
    found = history.of(web)
    assert found is not None
    assert (found.count, found.last) == (1, 1.0)


def test_what_does_not_get_ready_is_degraded_after_the_deadline() -> None:
    web = workload()
    seen = [replace(instance(web, Phase.STARTING), reason="connecting to port 8080: refused")]
    assert decide([web], seen, now=DEADLINE).health[0].health is Health.PROGRESSING
    late = decide([web], seen, now=DEADLINE + 1).health[0]
    assert late.health is Health.DEGRADED
    assert "connecting to port 8080: refused" in late.message


def test_what_is_not_declared_goes_unless_requests_are_routed_to_it() -> None:
    gray = workload(name="web-gray")
    assert decide([], [instance(gray)]).stop == ("web-gray-1",)
    kept = decide([], [instance(gray)], retained=["web-gray"])
    assert kept.stop == ()
    assert [one.id for one in kept.serving["web-gray"]] == ["web-gray-1"]


def test_no_replicas_are_healthy_when_none_runs() -> None:
    web = workload(replicas=0)
    assert decide([web], [instance(web)]).stop == ("web-1",)
    assert decide([web], []).healthy


class Rollouts(RuleBasedStateMachine):
    """A world in which processes start, crash and end as they like while the declaration changes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.count = 0
        self.desired = workload("1", 2)
        self.instances: dict[str, Instance] = {}
        self.history = History()
        self.step = reconcile([self.desired], [], self.history, self.now)

    def enter(self, name: str, phase: Phase) -> None:
        self.instances[name] = replace(self.instances[name], phase=phase, since=self.now)

    def turn(self) -> None:
        seen = list(self.instances.values())
        self.history = self.history.observe(seen, self.now)
        self.step = reconcile([self.desired], seen, self.history, self.now)
        for of in self.step.start:
            self.count += 1
            new = instance(of, Phase.STARTING, self.count, self.now)
            self.instances[new.id] = new
        ready_before = [one for one in seen if one.phase is Phase.READY]
        for name in self.step.stop:
            if self.instances[name].phase is Phase.FAILED:
                del self.instances[name]
            else:
                self.enter(name, Phase.STOPPING)
        kept = [one for one in ready_before if one.id not in self.step.stop]
        assert len(kept) >= min(len(ready_before), self.desired.replicas)
        assert {one.id for one in self.step.serving["web"]} == {one.id for one in kept}

    @rule(version=st.sampled_from("123"), replicas=st.integers(0, 3))
    def declare(self, version: str, replicas: int) -> None:
        self.desired = workload(version, replicas)

    @rule(seconds=st.sampled_from([0.1, 1.0, 40.0]))
    def engine_turns(self, seconds: float) -> None:
        self.now += seconds
        self.turn()

    def of(self, *phases: Phase) -> list[str]:
        return [name for name, one in self.instances.items() if one.phase in phases]

    @precondition(lambda self: self.of(Phase.STARTING, Phase.UNREADY))
    @rule(data=st.data())
    def becomes_ready(self, data: st.DataObject) -> None:
        self.enter(data.draw(st.sampled_from(self.of(Phase.STARTING, Phase.UNREADY))), Phase.READY)

    @precondition(lambda self: self.of(Phase.STARTING, Phase.READY, Phase.UNREADY))
    @rule(data=st.data(), phase=st.sampled_from([Phase.FAILED, Phase.UNREADY]))
    def breaks(self, data: st.DataObject, phase: Phase) -> None:
        self.enter(data.draw(st.sampled_from(self.of(Phase.STARTING, Phase.READY, Phase.UNREADY))), phase)

    @precondition(lambda self: self.of(Phase.STOPPING))
    @rule()
    def ends(self) -> None:
        for name in self.of(Phase.STOPPING):
            del self.instances[name]

    @invariant()
    def never_more_than_declared_of_one_template(self) -> None:
        alive = [
            one
            for one in self.instances.values()
            if one.template == self.desired.template and one.phase in (Phase.STARTING, Phase.READY)
        ]
        assert len(alive) <= 3 + self.desired.replicas

    def teardown(self) -> None:
        """When nothing breaks any more the declared state is reached, and stays."""
        for _ in range(40):
            self.now += 31.0
            self.turn()
            for name in self.of(Phase.STARTING, Phase.UNREADY):
                self.enter(name, Phase.READY)
            self.ends()
        self.turn()
        assert self.step.healthy
        assert [one.template for one in self.instances.values()] == [
            self.desired.template
        ] * self.desired.replicas


Rollouts.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_rollouts = Rollouts.TestCase


@given(st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=25, deadline=None)
def test_scaling_keeps_ready_instances(before: int, after: int) -> None:
    seen = [instance(workload(), Phase.READY, number) for number in range(before)]
    step = decide([workload(replicas=after)], seen)
    assert len(step.stop) == max(0, before - after)
    assert len(step.start) == max(0, after - before)
