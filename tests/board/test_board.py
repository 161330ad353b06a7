"""What the board says of repositories whose history is known."""

from __future__ import annotations

import pytest
from board_world import START, Nowhere, World, deliver, gray, image, message, text

from pipegraft.board.collecting import BoardWord, Remembered, applications_in, collect, links_of, tell
from pipegraft.board.model import Application, Board, in_order
from pipegraft.board.views import application_page, board_page, page_name, show_lead
from pipegraft.core.errors import UsageError


def board_of(*worlds: World, memory: Remembered | None = None) -> Board:
    opened = {f"https://git.example.com/iac/app{at}.git": world for at, world in enumerate(worlds)}
    moment = max(world.now() for world in worlds) + 7200
    return collect(
        {one: one for one in opened},
        lambda one, _seen: opened[one],
        title="Delivery",
        now=moment,
        remembered=memory,
    )


def only(world: World) -> Application:
    (application,) = board_of(world).applications
    return application


def test_each_environment_tells_what_it_runs_since_when_and_what_is_ahead() -> None:
    application = only(deliver(World()))
    assert application.name == "shop"
    staging, production = application.cells
    assert (staging.environment, staging.state, staging.release) == ("staging", "serves", 3)
    assert staging.images == {"web": image("c")}
    assert staging.since == START + 5 * 3600
    assert staging.happened[0].gate == "succeeded"
    assert (production.state, production.release, production.source) == ("serves", 2, "s2")
    (lead,) = application.leads
    assert show_lead(lead) == "staging is ahead of production by 1 release, 1 image"
    assert application.links.commit == "https://git.example.com/iac/app0/-/commit/{}"


def test_environments_that_run_the_same_are_not_ahead() -> None:
    world = deliver(World())
    world.write("production", text(3, "c"), message(3, "bump", "production"))
    (lead,) = only(world).leads
    assert show_lead(lead) == "production runs what staging runs"


@pytest.mark.parametrize(("phase", "state"), [("step", "gray"), ("paused", "paused"), ("held", "held")])
def test_a_gray_release_shows_weight_phase_and_what_was_said(phase: str, state: str) -> None:
    world = deliver(World())
    world.write("production", text(2, "b", gray(3, "c", 0)), message(3, "prepare", "production"))
    world.write(
        "production", text(2, "b", gray(3, "c", 25)), message(3, "1/2 weight=25", "production", "it is fine")
    )
    if phase != "step":
        world.write(
            "production",
            text(2, "b", gray(3, "c", 25, phase)),
            message(3, {"paused": "pause", "held": "hold"}[phase], "production", "wait for Ada"),
        )
    cell = only(world).cells[1]
    assert cell.state == state
    assert cell.release == 2
    assert cell.trial is not None
    assert (cell.trial.release, cell.trial.weight, cell.trial.phase) == (3, 25, phase)
    assert cell.trial.since == START + 7 * 3600
    assert cell.trial.said == ("it is fine" if phase == "step" else "wait for Ada")
    assert cell.trial.images == {"web": image("c")}


def test_a_release_that_was_taken_back_says_so_until_the_next_one() -> None:
    world = deliver(World())
    world.write("production", text(2, "b", gray(3, "c", 25)), message(3, "prepare", "production"))
    world.write("production", text(2, "b"), message(3, "rollback", "production", "errors rose"))
    cell = only(world).cells[1]
    assert (cell.state, cell.release, cell.happened[0].why) == ("taken back", 2, "errors rose")
    world.write("production", text(4, "d"), message(4, "bump", "production"))
    assert only(world).cells[1].state == "serves"


def test_an_environment_into_which_nothing_was_released_serves_nothing() -> None:
    world = World()
    for environment, letter in (("staging", "a"), ("production", "0")):
        world.write(environment, text(1, letter).replace("release:", "# release:"), "first\n")
    staging, production = only(world).cells
    assert (staging.state, staging.images) == ("serves", {"web": image("a")})
    assert (production.state, production.images, production.since) == ("empty", {}, None)
    assert only(world).leads == ()


def test_a_file_that_is_no_environment_and_one_that_is_gone() -> None:
    world = deliver(World())
    world.write("production", "components: [1, 2\n", "by hand\n")
    world.hours += 1
    world.branch.commit({"environments/staging.yaml": None}, "gone\n", world.tip())
    cells = {cell.environment: cell for cell in only(world).cells}
    assert cells["production"].state == "unreadable"
    assert "environments/production.yaml" in cells["production"].problem
    assert "staging" not in cells


def test_one_repository_that_does_not_answer_is_a_row_and_does_not_hide_the_others() -> None:
    good = deliver(World())
    opened = {"https://bot@git.example.com/a.git": good, "ssh://git@h/b.git": Nowhere()}
    board = collect({one: one for one in opened}, lambda one, _seen: opened[one], title="t", now=good.now())  # type: ignore[arg-type] # two doubles
    broken, shop = board.applications
    assert (broken.name, broken.problem) == ("b", "git.example.com does not answer")
    assert shop.name == "shop"
    assert "git.example.com does not answer" in board_page(board)


def test_several_applications_in_folders_of_one_repository() -> None:
    world = deliver(World("apps/cart", "cart"))
    (application,) = board_of(world).applications
    assert (application.name, application.folder) == ("cart", "apps/cart")
    files = ["apps/a/environments/p.yaml", "apps/a/.pipegraft/p.yaml", "b/.pipegraft/q.yaml", "x/y.yaml"]
    assert applications_in([*files, ".pipegraft/guard.yaml"]) == {
        "apps/a": {"p": "apps/a/environments/p.yaml"},
        "b": {"q": "b/.pipegraft/q.yaml"},
    }


def test_what_did_not_change_is_not_read_again() -> None:
    world, memory = deliver(World()), Remembered({})
    first = board_of(world, memory=memory)
    assert world.reads == 1
    kept = Remembered.parse(memory.dump())
    assert board_of(world, memory=kept).applications == first.applications
    assert world.reads == 1
    world.write("production", text(3, "c"), message(3, "bump", "production"))
    assert board_of(world, memory=kept).applications != first.applications
    assert world.reads == 2


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": "0"}'])
def test_a_memory_that_is_not_ours_is_empty(text: str) -> None:
    assert Remembered.parse(text).entries == {}


def test_environments_stand_in_the_order_of_delivery() -> None:
    names = ["production", "eu", "staging", "dev", "prod-us", "test"]
    assert in_order(names) == ["dev", "test", "staging", "eu", "prod-us", "production"]


@pytest.mark.parametrize(
    ("repository", "page"),
    [
        ("https://bot:secret@gitlab.example.com/iac/shop.git", "https://gitlab.example.com/iac/shop"),
        ("git@gitlab.example.com:iac/shop.git", "https://gitlab.example.com/iac/shop"),
        ("ssh://git@gitlab.example.com:2222/iac/shop.git", "https://gitlab.example.com/iac/shop"),
        ("/srv/iac/shop.git", ""),
    ],
)
def test_the_forge_is_known_by_the_address(repository: str, page: str) -> None:
    assert links_of(repository).repository == page


def test_pages_escape_what_commits_say_and_link_to_the_forge() -> None:
    world = deliver(World())
    said = message(4, "bump", "production", "<script>alert(1)</script>", Pipeline="javascript:alert(1)")
    commit = world.write("production", text(4, "d"), said)
    board = board_of(world)
    page = application_page(board.applications[0], board.made)
    assert "<script>alert" not in page
    assert "javascript:" not in page
    assert f'href="https://git.example.com/iac/app0/-/commit/{commit}"' in page
    assert f'shop/web<wbr><span class="digest">@sha256:{"d" * 12}…</span>' in page
    assert page_name(board.applications[0]) in board_page(board)


def test_a_word_from_the_board_is_the_commit_that_the_command_makes() -> None:
    world = deliver(World())
    world.write("production", text(2, "b", gray(3, "c", 25)), message(3, "prepare", "production"))

    def say(word: str, release: int = 3) -> str:
        said = BoardWord("shop", "", "production", release, word, "Ada")  # type: ignore[arg-type]
        return tell(world.branch, said)

    with pytest.raises(UsageError, match="expected the gray release 2 in production, found release 3"):
        say("abort", 2)
    assert say("pause") == "release 3 in production is paused, by Ada"
    assert only(world).cells[1].state == "paused"
    assert say("approve") == "release 3 in production goes on, by Ada"
    assert only(world).cells[1].state == "gray"
    assert say("abort") == "release 3 in production is taken back, by Ada"
    assert only(world).cells[1].state == "taken back"
    newest = world.branch.log()[0]
    assert newest.trailers["Pipegraft-Step"] == "rollback"
    assert "aborted by Ada" in newest.message
    with pytest.raises(UsageError, match="found none"):
        say("pause")


def test_where_manifests_are_committed_the_source_repository_says_it() -> None:
    world = deliver(World())
    world.write("production", text(2, "b", gray(3, "c", 25)), message(3, "prepare", "production"))
    tip = world.branch.commit({"rendered/production/manifests.yaml": "a: 1\n"}, "x", world.branch.tip())
    with pytest.raises(UsageError, match="says how they are rendered") as caught:
        tell(world.branch, BoardWord("shop", "", "production", 3, "abort", "Ada"))
    assert caught.value.problem.fix.endswith("pipegraft gray abort --env production")
    assert world.branch.tip() == tip


def held(**trailers: str) -> World:
    world = deliver(World())
    world.write("production", text(2, "b", gray(3, "c", 25)), message(3, "2/3 weight=25", "production"))
    world.write(
        "production", text(2, "b", gray(3, "c", 25, "held")), message(3, "hold", "production", **trailers)
    )
    return world


def test_a_release_that_is_held_goes_on_to_its_next_weight() -> None:
    world = held(Steps="5 25 50")
    said = tell(world.branch, BoardWord("shop", "", "production", 3, "approve", "Ada"))
    assert said == "release 3 in production goes on, by Ada"
    newest = world.branch.log()[0]
    assert newest.trailers["Pipegraft-Step"] == "3/3 weight=50"
    assert "approved by Ada" in newest.message
    (cell,) = (one for one in only(world).cells if one.environment == "production")
    assert (cell.state, cell.trial and cell.trial.weight) == ("gray", 50)


def test_a_held_release_whose_weights_nobody_told_is_left_to_the_source_repository() -> None:
    world = held()
    before = world.branch.tip()
    with pytest.raises(UsageError, match="which no commit here names"):
        tell(world.branch, BoardWord("shop", "", "production", 3, "approve", "Ada"))
    assert world.branch.tip() == before
