"""`pipegraft guard`: what `hooks/` calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from pipegraft.appspec.hooks import load_providers
from pipegraft.appspec.resource_binding import Platform
from pipegraft.cli.common import json_option, load_plugins, print_json
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import parse_document, read_text
from pipegraft.core.foreign_text import echo
from pipegraft.core.hooks import LiveConnections
from pipegraft.core.stage import Project
from pipegraft.iac.adapters.git.pre_receive import open_received, open_staged
from pipegraft.iac.guard import ImagePolicy
from pipegraft.iac.guard.secret_forms import BUILT_IN, read_gitleaks
from pipegraft.iac.guard.usecases import (
    ImageProof,
    check_push,
    check_staged,
    check_work_tree,
    parse_updates,
    pusher_name,
)
from pipegraft.images.ports import REGISTRY_AT, VERIFIER

__all__ = ["guard_command"]


@click.command("guard")
@click.argument("files", nargs=-1)
@click.option(
    "--pre-receive", is_flag=True, help="Check a push: 'OLD NEW REFERENCE' lines on standard input."
)
@click.option("--staged", is_flag=True, help="Check what the next commit is to hold, against HEAD.")
@click.option("--pusher", help="Who pushes; told by the server's variables if absent.")
@click.option(
    "--secret-rules",
    envvar="PIPEGRAFT_SECRET_RULES",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A gitleaks configuration whose rules are looked for as well.",
)
@click.option(
    "--allowed-signers",
    envvar="PIPEGRAFT_ALLOWED_SIGNERS",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="SSH or OpenPGP keys that may sign what the rule 'signed' names; git's own settings if absent.",
)
@click.option(
    "--image-policy",
    envvar="PIPEGRAFT_IMAGE_POLICY",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What must be proven of images: patterns of names with 'signed-by' and 'provenance'.",
)
@json_option
def guard_command(
    *,
    files: tuple[str, ...],
    pre_receive: bool,
    staged: bool,
    pusher: str | None,
    secret_rules: Path | None,
    allowed_signers: Path | None,
    image_policy: Path | None,
    as_json: bool,
) -> int:
    """Refuse what must not enter an IaC repository: on the server, or FILES before a commit.

    App specs and environments must be valid and pinned by digest, nothing may look like a secret, gray
    releases go step by step, history is not rewritten, and pushers change only the paths that
    .pipegraft/guard.yaml gives them.
    """
    if pre_receive + staged + bool(files) != 1:
        raise click.UsageError("expected FILES, --staged or --pre-receive")
    forms = BUILT_IN + (read_gitleaks(read_text(secret_rules), str(secret_rules)) if secret_rules else ())
    platform = Platform(lambda: load_providers(load_plugins()))
    if pre_receive:
        who = pusher_name(os.environ) if pusher is None else pusher
        received = open_received(signers=allowed_signers)
        proof = _proof(image_policy) if image_policy else None
        problems = check_push(received, parse_updates(sys.stdin), who, platform, forms=forms, proof=proof)
    elif staged:
        problems = check_staged(open_staged(), platform, forms)
    else:
        problems = check_work_tree(Path(), files, platform, forms)
    if as_json:
        print_json(
            [{"message": one.message, "place": str(one.place or ""), "fix": one.fix} for one in problems]
        )
    else:
        for problem in problems:
            echo(f"refused: {problem}", err=True)
    return 1 if problems else 0


def _proof(file: Path) -> ImageProof:
    """What proves images as a file says; a server has no delivery.yaml, so the file's folder counts."""
    policy = parse_document(read_text(file), str(file), ImagePolicy)
    connections = LiveConnections(Project(file.absolute().parent, Delivery.model_construct(), load_plugins()))
    return ImageProof(
        policy,
        lambda address: connections.open(REGISTRY_AT, address),
        lambda: connections.open(VERIFIER),
        str(file),
    )
