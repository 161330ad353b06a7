"""A pointer to the release record for GitLab's dotenv reports.

A dotenv file may have 5 KiB and 20 variables (GitLab, "artifacts:reports:dotenv"), less than the images
of a large application take: so it says where the record is and what it is, and later jobs read that.
"""

from __future__ import annotations

import hashlib

from pipegraft.core.release import Release

__all__ = ["release_dotenv"]


def release_dotenv(release: Release, path: str, content: bytes) -> str:
    """Text of the file.

    Arguments:
        path: of the record, relative to the repository.
        content: bytes of the record.
    """
    values = {
        "PIPEGRAFT_RELEASE_FILE": path,
        "PIPEGRAFT_RELEASE_SHA256": hashlib.sha256(content).hexdigest(),
        "PIPEGRAFT_RELEASE_NUMBER": str(release.source.number),
        "PIPEGRAFT_RELEASE_COMMIT": release.source.commit,
        "PIPEGRAFT_RELEASE_IMAGES": str(len(release.images)),
        "PIPEGRAFT_RELEASE_BUILT": str(sum(image.built for image in release.images.values())),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
