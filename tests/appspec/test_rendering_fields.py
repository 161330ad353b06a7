"""Nothing that is declared is lost: the schema walked, each field changed, for every target."""

from __future__ import annotations

import re

import pytest
from spec_fields import Data, changed, leaves, matches, others, placements, schema_routes, spec

from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.appspec.routers import CLUSTER_ROUTERS
from pipegraft.appspec.spec import Resolved
from pipegraft.appspec.usecases.render import TARGETS
from pipegraft.core.errors import UsageError

PLACEMENTS = placements()


@pytest.mark.parametrize(("model", "index"), [(App, 0), (AppEnvironment, 1)])
def test_the_examples_set_every_field_of_the_schema(model: type[App | AppEnvironment], index: int) -> None:
    routes = [route for documents in PLACEMENTS.values() for route, _ in leaves(documents[index])]
    missing = [
        pattern for pattern in schema_routes(model) if not any(matches(route, pattern) for route in routes)
    ]
    assert sorted(missing) == []


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_field_changes_the_output_or_an_error_names_it(placement: str) -> None:
    documents = PLACEMENTS[placement]
    before = rendered(spec(*documents))
    assert all(isinstance(output, list) for output in before.values())
    lost = []
    for index in range(2):
        for route, value in leaves(documents[index]):
            for other in others(value):
                both = [
                    changed(document, route, other) if number == index else document
                    for number, document in enumerate(documents)
                ]
                try:
                    resolved = spec(*both)
                except UsageError as error:
                    if not names(error, route, other):
                        lost.append((route, other, str(error)))
                    continue
                for target, output in rendered(resolved).items():
                    told = (
                        names(output, route, other)
                        if isinstance(output, UsageError)
                        else output != before[target]
                    )
                    if not told:
                        lost.append((route, other, target))
    assert lost == []


def rendered(resolved: Resolved) -> dict[str, list[Data] | UsageError]:
    """What each target makes of a spec, or why it does not."""
    found: dict[str, list[Data] | UsageError] = {}
    for target, render in TARGETS.items():
        try:
            found[target] = render(resolved, "revision", CLUSTER_ROUTERS)
        except UsageError as error:
            found[target] = error
    return found


def names(error: UsageError, route: tuple[object, ...], value: object) -> bool:
    """Whether an error names the field: its key, one above it, or the value."""
    words = [str(step) for step in (*route[2:], value)]
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", str(error)) for word in words)
