"""`pipegraft guard`: refuses what must not enter an IaC repository, on the server or before a commit."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipegraft.appspec.resource_binding import Platform
from pipegraft.core.errors import Place, Problem, Unreachable, UsageError
from pipegraft.core.signing import Requirements
from pipegraft.iac.adapters.git.pre_receive import Received, Update
from pipegraft.iac.guard import GUARD_FILE, GuardRules, ImagePolicy, matches, read_rules
from pipegraft.iac.guard.checks import check_files, holds_images
from pipegraft.iac.guard.contents import pinned_images
from pipegraft.iac.guard.documents import ChangedFile, Files
from pipegraft.iac.guard.secret_forms import BUILT_IN, SecretForm, searchable, secrets_in
from pipegraft.images.ports import ReferringRegistry, SignatureVerifier
from pipegraft.images.reference import ImageReference
from pipegraft.images.signatures import refuse, what_is_known

__all__ = ["ImageProof", "check_push", "check_staged", "check_work_tree", "parse_updates", "pusher_name"]

_PUSHERS = ("PIPEGRAFT_PUSHER", "GL_USERNAME", "GITEA_PUSHER_NAME", "REMOTE_USER", "GL_ID", "USER")


class ImageProof:
    """Looks whether images are proven as the server requires, once each, and within the time of a push.

    Arguments:
        policy: what is required.
        connect: address → its registry.
        verifier: opens what checks signatures.
        file: the policy's name, for messages.
    """

    def __init__(
        self,
        policy: ImagePolicy,
        connect: Callable[[str], ReferringRegistry],
        verifier: Callable[[], SignatureVerifier],
        file: str,
    ) -> None:
        self._policy, self._connect, self._verifier, self._file = policy, connect, verifier, file
        self._known: dict[str, str | None] = {}
        self._ends: float | None = None

    def refusal(self, image: str) -> str | None:
        """Why an image may not enter, as a clause; None if it may.

        Raises:
            OutsideError: its registry does not answer, or not in time.
        """
        if image not in self._known:
            self._ends = self._ends or time.monotonic() + self._policy.within
            self._known[image] = self._ask(image, self._ends - time.monotonic())
        return self._known[image]

    def _ask(self, image: str, seconds: float) -> str | None:
        required = self._policy.required(image)
        if required is None:
            return f"no pattern of {self._file} fits it"
        if not (required.signed_by or required.provenance):
            return None
        answer: queue.Queue[str | Exception | None] = queue.Queue()
        threading.Thread(target=self._look, args=(image, required, answer), daemon=True).start()
        try:
            found = answer.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            raise Unreachable(
                f"expected proof of {image} within {self._policy.within:g} s, its registry did not give it",
                fix="push again; 'within' of the server's policy says how long the guard waits",
            ) from None
        if isinstance(found, Exception):
            raise found
        return found

    def _look(self, image: str, required: Requirements, answer: queue.Queue[str | Exception | None]) -> None:
        try:
            pinned = ImageReference.parse(image)
            registry = self._connect(pinned.address)
            verifier = self._verifier() if required.signed_by else None
            known = what_is_known(registry, pinned.repository, pinned.digest, required.signed_by, verifier)
            answer.put(refuse(required, pinned.digest, known))
        except Exception as error:  # noqa: BLE001 - told in the thread that waits
            answer.put(error)


def pusher_name(environment: Mapping[str, str]) -> str:
    """Who pushes, as GitLab, Gitea, a web server or sshd tells the hook."""
    return next((environment[name] for name in _PUSHERS if environment.get(name)), "")


def parse_updates(lines: Iterable[str]) -> list[Update]:
    """Lines of a pre-receive hook's standard input.

    Raises:
        UsageError: a line is not ``old new reference``.
    """
    updates = []
    for line in lines:
        words = line.split()
        if len(words) != 3:
            raise UsageError(f"expected 'OLD NEW REFERENCE', found {line.strip()!r}")
        updates.append(Update(*words))
    return updates


def check_push(
    received: Received,
    updates: Sequence[Update],
    pusher: str,
    platform: Platform,
    *,
    forms: Sequence[SecretForm] = BUILT_IN,
    proof: ImageProof | None = None,
) -> list[Problem]:
    """Everything wrong with a push; nothing of it may be taken unless this is empty.

    Arguments:
        received: the repository of the hook.
        updates: what is to move.
        pusher: who pushes.
        platform: what resources are provided by.
        forms: of secrets that are looked for.
        proof: of images, where the server requires any.

    Raises:
        OutsideError: a registry that holds the proof does not answer.
    """
    if not received.checks_objects():
        told = "expected git to check what is pushed, it does not: receive.fsckObjects is not set"
        return [
            Problem(told, None, "run on the server, in the repository: git config receive.fsckObjects true")
        ]
    strange = [told for update in updates if not update.deletes for told in received.strange(update.new)]
    if strange:
        fix = "run 'git fsck' in your clone, and write it again with git itself"
        return [Problem(told, None, fix) for told in dict.fromkeys(strange)]
    push = _Push(received, pusher, platform, forms, proof)
    return list(dict.fromkeys(problem for update in updates for problem in _check_update(push, update)))


def check_staged(
    received: Received, platform: Platform, forms: Sequence[SecretForm] = BUILT_IN
) -> list[Problem]:
    """Everything wrong with what the next commit is to hold.

    Arguments:
        received: the repository.
        platform: what resources are provided by.
        forms: of secrets that are looked for.
    """
    after = _files(received, "")
    rules = read_rules(after.text(GUARD_FILE))
    before = _files(received, "HEAD")
    return check_files(_changed(received.staged()), before, after, rules, platform, forms=forms)


def check_work_tree(
    folder: Path, paths: Sequence[str], platform: Platform, forms: Sequence[SecretForm] = BUILT_IN
) -> list[Problem]:
    """Everything wrong with files on disk, before they are committed.

    Arguments:
        folder: root of the IaC repository.
        paths: the files, relative to it.
        platform: what resources are provided by.
        forms: of secrets that are looked for.

    Raises:
        UsageError: one of them is not there.
    """

    def read(path: str) -> bytes | None:
        file = folder / path
        try:  # a link leads to what git does not hold, or to a device that has no end
            return file.read_bytes() if file.is_file() and not file.is_symlink() else None
        except OSError:
            return None

    def names(below: str) -> Sequence[str]:
        there = folder / below
        found = there.iterdir() if there.is_dir() else ()
        return sorted(one.name + "/" * (one.is_dir() and not one.is_symlink()) for one in found)

    for path in paths:
        if not (folder / path).is_file() and not (folder / path).is_symlink():
            raise UsageError(f"expected a file, found none: {path}", fix="name files of the IaC repository")
    changed = [ChangedFile(path, "120000" if (folder / path).is_symlink() else "100644") for path in paths]
    files = Files(read, names)
    return check_files(changed, None, files, read_rules(files.text(GUARD_FILE)), platform, forms=forms)


@dataclass(frozen=True, slots=True)
class _Push:
    """What is the same for all of a push; arguments of `check_push`."""

    received: Received
    pusher: str
    platform: Platform
    forms: Sequence[SecretForm]
    proof: ImageProof | None


def _check_update(push: _Push, update: Update) -> Iterator[Problem]:
    kind, name = _kind(update.reference)
    rules = read_rules(_files(push.received, "HEAD").text(GUARD_FILE))
    moves = not update.creates and not update.deletes
    free = kind == "branch" and matches(name, rules.requests)
    if misplaced := _misplaced(push.received, update):
        yield misplaced
    elif update.deletes and free:
        return
    elif update.deletes:
        yield Problem(f"{kind} '{name}' would be deleted", None, "keep it: its commits are the audit")
    elif moves and kind == "tag":
        yield Problem(f"tag '{name}' would be moved", None, "make a new tag")
    elif moves and not free and push.received.is_rewrite(update):
        yield Problem(
            f"the history of branch '{name}' would be rewritten",
            None,
            "pull, put your commits on top, and push without --force",
        )
    else:
        held = update.old if moves and not free else None
        yield from _check_commits(push, update, held, name if free else None)


_NAMED_OTHERWISE = re.compile(r"HEAD|@|refs/.*|[0-9a-f]{40}(?:[0-9a-f]{24})?")
"""What git takes for another thing than a branch or a tag of this name (gitrevisions(7))."""


def _misplaced(received: Received, update: Update) -> Problem | None:
    """Why nothing may be kept by a reference's name."""
    kind, name = _kind(update.reference)
    place = Place(update.reference)
    if kind == "replacement":
        return Problem("objects would be replaced by others", place, "make new commits instead")
    if not kind:
        told = "expected a branch or a tag: what is kept elsewhere nobody looks at"
        return Problem(told, place, "push to refs/heads/ or refs/tags/")
    beside = {"branch": "tags", "tag": "heads"}[kind]
    if update.creates and (_NAMED_OTHERWISE.fullmatch(name) or received.commit_of(f"refs/{beside}/{name}")):
        told = f"{kind} '{name}' would be taken for something else of that name, or in its place"
        return Problem(told, place, "choose another name")
    return None


def _kind(reference: str) -> tuple[str, str]:
    """What a reference is, empty if it is none of those that matter, and its short name."""
    kinds = {"refs/heads/": "branch", "refs/tags/": "tag", "refs/replace/": "replacement"}
    for prefix, kind in kinds.items():
        if reference.startswith(prefix):
            return kind, reference.removeprefix(prefix)
    return "", reference


def _check_commits(push: _Push, update: Update, held: str | None, beside: str | None) -> Iterator[Problem]:
    """Check each commit by itself, and what the branch gets in all if merges could hide something of it.

    Arguments:
        held: where the branch is; None for a new one, and for one that may be rewritten.
        beside: the branch that may be rewritten.
    """
    received = push.received
    new = received.commit_of(update.new)
    if new is None:
        yield Problem(f"'{update.reference}' would lead to something that is no commit", None, "push commits")
        return
    rules = read_rules(_files(received, held or "HEAD").text(GUARD_FILE))
    if rules.secrets:
        for kind, content in received.written(update.new):
            if kind == "tag":
                yield from secrets_in(searchable(content), "", f"tag {update.new[:12]}", push.forms)
    for commit in received.new_commits(new, held, beside):
        parents = received.parents(commit)
        own = _own_changes(received, commit, parents)
        if rules.secrets:
            for _, content in received.written(commit):
                yield from secrets_in(searchable(content), "", f"commit {commit[:12]}", push.forms)
        if any(matches(path, rules.signed) for path in own):
            yield from _signed(received, commit)
        yield from _check_change(push, own, (parents[0] if parents else "", commit), rules)
    if held and received.has_merges(held, new):
        yield from _check_change(push, received.changed(held, new), (held, new), rules)


def _own_changes(received: Received, commit: str, parents: Sequence[str]) -> Mapping[str, str]:
    """What a commit changes; what is as in one of the parents of a merge was checked there."""
    own = dict(received.changed(parents[0] if parents else None, commit))
    for other in parents[1:]:
        theirs = received.changed(other, commit)
        own = {path: mode for path, mode in own.items() if path in theirs}
    return own


def _signed(received: Received, commit: str) -> Iterator[Problem]:
    if not received.is_signed(commit):
        yield Problem(
            f"commit {commit[:12]} is not signed by anybody whom this server trusts",
            None,
            "sign it with a key that is among the server's allowed signers",
        )


def _check_change(
    push: _Push, changed: Mapping[str, str], between: tuple[str, str], rules: GuardRules
) -> Iterator[Problem]:
    before, after = between
    for path in changed:
        if rules.secrets:
            yield from secrets_in(path, "", path, push.forms)
        if not rules.allows(push.pusher, path):
            yield Problem(
                f"'{push.pusher or 'nobody'}' may not change this file",
                Place(path),
                f"ask an owner of {GUARD_FILE}, or leave it out of the push",
            )
    was = _files(push.received, before) if before else Files(lambda _path: None, lambda _folder: ())
    now = _files(push.received, after)
    yield from check_files(_changed(changed), was, now, rules, push.platform, forms=push.forms)
    if push.proof:
        for path in changed:
            if holds_images(path, rules):
                yield from _unproven(push.proof, path, was.text(path), now.text(path))


def _unproven(proof: ImageProof, path: str, before: str | None, after: str | None) -> Iterator[Problem]:
    """Images that come anew, and are not proven as the server requires."""
    known = set(pinned_images(path, before or ""))
    for image in dict.fromkeys(pinned_images(path, after or "")):
        if image not in known and (refusal := proof.refusal(image)):
            told = f"the image {image} may not enter: {refusal}"
            yield Problem(told, Place(path), "build it where it is attested and signed")


def _changed(modes: Mapping[str, str]) -> list[ChangedFile]:
    return [ChangedFile(path, mode) for path, mode in modes.items()]


def _files(received: Received, commit: str) -> Files:
    """All files at a commit; those of the index if it is empty."""
    return Files(
        lru_cache(maxsize=8)(lambda path: received.read(commit, path)),
        lambda folder: received.names(commit, folder),
        lambda path: received.earlier(commit or "HEAD", path),
    )
