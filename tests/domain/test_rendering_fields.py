"""Nothing that is declared is lost: the schema walked, each field changed, for every target."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from spec_fields import Data, changed, leaves, matches, others, placements, schema_routes, spec

from pipegraft.domain.rendering.routers.registered import CLUSTER_ROUTERS
from pipegraft.errors import UsageError
from pipegraft.model.appspec import App, AppEnvironment
from pipegraft.usecases.render import TARGETS

PLACEMENTS = placements()


@pytest.mark.parametrize(("model", "index"), [(App, 0), (AppEnvironment, 1)])
def test_the_examples_set_every_field_of_the_schema(model: type[App | AppEnvironment], index: int) -> None:
    routes = [route for documents in PLACEMENTS.values() for route, _ in leaves(documents[index])]
    missing = [
        pattern for pattern in schema_routes(model) if not any(matches(route, pattern) for route in routes)
    ]
    assert sorted(missing) == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_field_changes_the_output_or_an_error_names_it(placement: str, target: str) -> None:
    documents = PLACEMENTS[placement]

    def render(both: Sequence[Data]) -> list[Data]:
        return TARGETS[target](spec(*both), "revision", CLUSTER_ROUTERS)

    before = render(documents)
    lost = []
    for index in range(2):
        for route, value in leaves(documents[index]):
            for other in others(value):
                both = list(documents)
                both[index] = changed(documents[index], route, other)
                if not _told(lambda both=both: render(both) != before, route, other):
                    lost.append((route, other))
    assert lost == []


def _told(is_changed: Callable[[], bool], route: tuple[object, ...], value: object) -> bool:
    """Whether a change of one field is seen in the output, or in an error that names it."""
    try:
        return is_changed()
    except UsageError as error:
        names = [str(step) for step in (*route[2:], value)]
        return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", str(error)) for name in names)
