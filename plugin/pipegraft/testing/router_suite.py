"""What every `TrafficRouter` does.

Subclass `RouterSuite` in a test module and give it the fixtures `router`, `addresses` (``host:port`` of an
instance that answers) and `ask`: a function that sends one request through the route named.
"""

from __future__ import annotations

from collections.abc import Callable

from pipegraft.appspec.ports.traffic import Backend, Route, TrafficRouter

__all__ = ["RouterSuite"]


def _route(addresses: tuple[str, ...], stable: int, gray: int, name: str = "shop/web") -> Route:
    backends = (Backend("web", addresses, stable), Backend("web-gray", addresses, gray))
    return Route(name, "127.0.0.1:0", backends)


class RouterSuite:
    """The contract of `TrafficRouter`."""

    def test_without_routes_nothing_is_served(self, router: TrafficRouter) -> None:
        router.apply([])
        assert router.observe() == {}

    def test_requests_are_split_by_weight_and_counted(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 75, 25)])
        for _ in range(100):
            ask("shop/web")
        served = router.observe()["shop/web"]
        assert sum(served.values()) == 100
        assert 10 <= served["web-gray"] <= 40

    def test_a_weight_of_nothing_gets_nothing(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 100, 0)])
        for _ in range(20):
            ask("shop/web")
        assert router.observe()["shop/web"].get("web-gray", 0) == 0

    def test_new_weights_hold_at_once_and_counts_go_on(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 100, 0)])
        for _ in range(10):
            ask("shop/web")
        router.apply([_route(addresses, 0, 100)])
        for _ in range(5):
            ask("shop/web")
        assert router.observe() == {"shop/web": {"web": 10, "web-gray": 5}}

    def test_what_was_observed_stays_as_it_was(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 100, 0)])
        ask("shop/web")
        before = router.observe()
        ask("shop/web")
        assert (before["shop/web"]["web"], router.observe()["shop/web"]["web"]) == (1, 2)

    def test_routes_are_apart(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 100, 0), _route(addresses, 0, 100, "cart/web")])
        for name in ("shop/web", "cart/web", "cart/web"):
            ask(name)
        found = router.observe()
        assert (found["shop/web"]["web"], found["cart/web"]["web-gray"]) == (1, 2)
