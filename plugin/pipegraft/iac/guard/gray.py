"""Whether a gray release goes its steps in order, with the version it began with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from pipegraft.appspec.environment_file import images_of, read_environment
from pipegraft.appspec.model.spec import AppEnvironment, GrayBlock
from pipegraft.core.errors import ConfigError, Problem
from pipegraft.core.yaml_positions import load_marked

__all__ = ["gray_in_order"]


def gray_in_order(
    path: str, before: str | None, after: str, steps: Sequence[int], earlier: Iterable[str] = ()
) -> Iterator[Problem]:
    """What is wrong with the change of an environment's gray release.

    Arguments:
        path: the environment's file.
        before: its text before, None if there was none.
        after: its text now.
        steps: the weights a gray release may take, any rising ones if empty.
        earlier: its texts at the commits before, newest first.
    """
    try:
        now = read_environment(after, path)
    except ConfigError:
        return  # told by the check of the spec
    held = (one for text in chain([before or ""], earlier) if (one := _released(text, path)))
    was = next(held, AppEnvironment())
    marked = load_marked(after, path)
    if now.gray is not None:
        message, fix = _wrong(was.gray, now.gray, steps)
        if message:
            yield Problem(message, marked.place(("gray", "weight")), fix)
    elif was.gray and steps and was.gray.weight != steps[-1] and _promotes(was, was.gray, now):
        yield Problem(
            f"expected the weight {steps[-1]} before the promotion, it was {was.gray.weight}",
            marked.place(("release",)),
            f"follow the steps {', '.join(map(str, steps))}, or take it back",
        )
        return
    if steps and (around := _around(was, held, now, steps[-1])):
        yield Problem(
            f"expected the image of '{around}' to change by a gray release, it is replaced at once",
            marked.place(("components", around)),
            f"begin with a gray block of weight 0 and follow the steps {', '.join(map(str, steps))}",
        )


def _released(text: str, path: str) -> AppEnvironment | None:
    """An environment in which something was released; None for other files that had its name."""
    try:
        found = read_environment(text, path)
    except ConfigError:
        return None
    return found if found.release else None


def _digests(environment: AppEnvironment, *, gray: bool = False) -> dict[str, str]:
    """Component → digest of its image, however the image is spelled."""
    return {name: image.rpartition("@")[2] for name, image in images_of(environment, gray=gray).items()}


def _around(was: AppEnvironment, before: Iterable[AppEnvironment], now: AppEnvironment, last: int) -> str:
    """A component whose image did not come by a gray release, where releases do; empty if there is none.

    An image that served before may come back: so a release is taken back.

    Arguments:
        before: what was there before `was`, newest first.
        last: the weight from which a gray release may be promoted.
    """
    served = _digests(was)
    promoted = _digests(was, gray=True) if was.gray and was.gray.weight == last else {}
    known = served.items() | promoted.items()
    new = {name: digest for name, digest in _digests(now).items() if (name, digest) not in known}
    gray = was.gray is not None
    for one in before if new else ():
        gray = gray or one.gray is not None
        served = _digests(one)
        new = {name: digest for name, digest in new.items() if digest != served.get(name)}
    return next(iter(new), "") if gray else ""


def _promotes(was: AppEnvironment, gray: GrayBlock, now: AppEnvironment) -> bool:
    """Whether what was gray serves all requests now."""
    stable, new, held = _digests(was), _digests(was, gray=True), _digests(now)
    taken = any(held.get(name) == image != stable.get(name) for name, image in new.items())
    return taken or (now.release is not None and now.release == gray.release)


def _wrong(was: GrayBlock | None, now: GrayBlock, steps: Sequence[int]) -> tuple[str, str]:
    """What is wrong with a gray block and what to do; nothing if both are empty."""
    if was is None or now.release.number > was.release.number:
        if now.weight:
            return f"a gray release starts at weight 0, found {now.weight}", "let iac-bump prepare it"
    elif now.release.number < was.release.number:
        stands = f"a gray release of {was.release.number} stands there, {now.release.number} is older"
        return stands, "run the newest pipeline"
    elif (now.release, now.components) != (was.release, was.components):
        if now.weight:
            return (
                f"the new version of gray release {was.release.number} was changed in its midst",
                "begin again at weight 0: what was judged was another version",
            )
    elif now.weight < was.weight:
        return (
            f"the weight of a gray release rises, found {now.weight} after {was.weight}",
            "roll it back instead",
        )
    elif now.weight != was.weight and steps:
        allowed = next((step for step in steps if step > was.weight), None)
        if now.weight != allowed:
            return (
                f"expected the weight {allowed} after {was.weight}, found {now.weight}",
                f"follow the steps {', '.join(map(str, steps))}",
            )
    return "", ""
