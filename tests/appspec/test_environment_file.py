from __future__ import annotations

import pytest

from pipegraft.appspec.environment_file import Bump, bump, environment_path, images_of, read_environment
from pipegraft.core.errors import ConfigError
from pipegraft.core.release import ReleaseMark

FILE = "environments/production.yaml"
OLD = {"web": f"r/web@sha256:{'a' * 64}", "pricing": f"r/pricing@sha256:{'b' * 64}"}
NEW = OLD | {"web": f"r/web@sha256:{'c' * 64}"}
NEWER = OLD | {"web": f"r/web@sha256:{'d' * 64}"}

STABLE = f"""\
# kept by people
release: {{number: 12, source: "4be1"}}
components:
  web:
    image: {OLD["web"]}   # pinned
    replicas: 2
  pricing: {{image: '{OLD["pricing"]}'}}
# the end, without a line end"""


def mark(number: int) -> ReleaseMark:
    return ReleaseMark(number=number, source=f"{number:040x}")


def run(text: str | None, images: dict[str, str], number: int, *, gray: bool = False) -> Bump:
    return bump(text, images, mark(number), gray=gray, file=FILE)


def test_the_first_release_makes_the_file() -> None:
    made = run(None, OLD, 1, gray=True)
    assert (made.outcome, made.step) == ("written", "bump")
    held = read_environment(made.text, FILE)
    assert held.release == mark(1)
    assert images_of(held) == OLD
    assert held.gray is None
    assert run(made.text, OLD, 1, gray=True).outcome == "unchanged"


@pytest.mark.parametrize(
    "text", ["", "# nothing yet", "---\n# nothing yet\n", "components:\n  web: {replicas: 2}\n"]
)
def test_the_first_release_keeps_what_people_wrote(text: str) -> None:
    made = run(text, OLD, 1, gray=True)
    assert (made.outcome, made.step) == ("written", "bump")
    assert made.text.startswith(text.removesuffix("{replicas: 2}\n"))
    assert images_of(read_environment(made.text, FILE)) == OLD


@pytest.mark.parametrize("text", ["{}\n", "# kept\n{}\n", "# kept\n{ }"])
def test_a_file_that_says_nothing_yet_is_not_written_on_one_line(text: str) -> None:
    made = run(text, OLD, 1)
    head = "# kept\n" if "kept" in text else ""
    assert made.text.startswith(f"{head}release:\n  number: 1\n")
    assert images_of(read_environment(made.text, FILE)) == OLD


def test_a_bump_changes_the_image_and_the_release_alone() -> None:
    made = run(STABLE, NEW, 13)
    assert made.outcome == "written"
    assert made.images == {"web": OLD["web"]}
    expected = STABLE.replace(OLD["web"], NEW["web"]).replace(
        'number: 12, source: "4be1"', f'number: 13, source: "{mark(13).source}"'
    )
    assert made.text == expected


def test_the_same_images_are_unchanged() -> None:
    assert run(STABLE, OLD, 13).outcome == "unchanged"
    assert run(STABLE, OLD, 12, gray=True).outcome == "unchanged"


def test_an_older_release_is_superseded() -> None:
    made = run(STABLE, NEW, 11)
    assert (made.outcome, made.text, made.held) == (
        "superseded",
        STABLE,
        ReleaseMark(number=12, source="4be1"),
    )


def test_gray_prepares_an_overlay_of_what_changes() -> None:
    made = run(STABLE, NEW, 13, gray=True)
    assert (made.outcome, made.step) == ("written", "prepare")
    assert made.text.startswith(STABLE.rsplit("#", 1)[0])
    held = read_environment(made.text, FILE)
    assert held.release == ReleaseMark(number=12, source="4be1")
    assert held.gray is not None
    assert (held.gray.release, held.gray.weight) == (mark(13), 0)
    assert {name: one.image for name, one in held.gray.components.items()} == {"web": NEW["web"]}
    assert images_of(held) == OLD
    assert images_of(held, gray=True) == NEW


def test_a_prepared_release_stays_as_it_is_at_any_weight() -> None:
    prepared = run(STABLE, NEW, 13, gray=True).text
    for text in (prepared, prepared.replace("weight: 0", "weight: 25")):
        assert run(text, NEW, 13, gray=True).outcome == "unchanged"


def test_a_newer_release_replaces_the_gray_block_and_starts_at_zero() -> None:
    running = run(STABLE, NEW, 13, gray=True).text.replace("weight: 0", "weight: 25")
    made = run(running, NEWER, 14, gray=True)
    assert (made.outcome, made.step) == ("written", "prepare")
    assert made.text == run(STABLE, NEWER, 14, gray=True).text


def test_an_older_release_leaves_the_gray_block_alone() -> None:
    running = run(STABLE, NEWER, 14, gray=True).text
    made = run(running, NEW, 13, gray=True)
    assert (made.outcome, made.text, made.held) == ("superseded", running, mark(14))


def test_going_back_to_what_runs_takes_the_gray_block_away() -> None:
    running = run(STABLE, NEW, 13, gray=True).text
    made = run(running, OLD, 14, gray=True)
    assert (made.outcome, made.step) == ("written", "bump")
    held = read_environment(made.text, FILE)
    assert (held.gray, held.release, images_of(held)) == (None, mark(14), OLD)


def test_without_gray_a_block_that_stands_there_goes() -> None:
    running = run(STABLE, NEW, 13, gray=True).text
    held = read_environment(run(running, NEWER, 14).text, FILE)
    assert (held.gray, held.release, images_of(held)) == (None, mark(14), NEWER)


def test_a_file_that_is_no_environment_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        run("components:\n  web: {imaeg: x}\n", NEW, 13)
    assert str(caught.value.problems[0].place) == f"{FILE}:2:9"


def test_paths() -> None:
    assert environment_path(None, "staging") == "environments/staging.yaml"
    assert environment_path("apps/shop/", "staging") == "apps/shop/environments/staging.yaml"
