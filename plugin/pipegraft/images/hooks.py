"""The hooks that image builders and signers come by."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipegraft.core.plugins import Kind, hookspec
from pipegraft.images.ports.builders import ImageBuilder
from pipegraft.images.ports.signing import ImageToSign

__all__ = ["IMAGE_BUILDERS", "ImageBuilderPlugin"]


@dataclass(frozen=True, slots=True)
class ImageBuilderPlugin:
    """An image builder.

    Arguments:
        name: ``layer``, ``docker``, …
        connect: opens it; imports its SDK only then.
        priority: builders that accept a folder are tried from the highest down.
        supports: which of `BuildExtras` it can use: ``secrets``, ``cache``.
    """

    name: str
    connect: Callable[[], ImageBuilder]
    priority: int = 0
    supports: frozenset[str] = frozenset()


IMAGE_BUILDERS = Kind("pipegraft_image_builders", ImageBuilderPlugin, "image builder")


@hookspec
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    """Image builders. Called once, when image-build starts.

    Example::

        @hookimpl
        def pipegraft_image_builders():
            yield ImageBuilderPlugin(name="layer", connect=LayerBuilder)

    Returns:
        Builders, each with a name no other plugin uses.
    """


@hookspec
def pipegraft_sign_image(image: ImageToSign) -> None:
    """Signs an image. Called for each image that was built, in the thread that built it, before its tag
    ``ih-…`` is set: an image whose signing failed is not found, so the next run builds and signs it again.

    Example::

        @hookimpl
        def pipegraft_sign_image(image):
            done = subprocess.run(["cosign", "sign", "--yes", image.reference], capture_output=True)
            if done.returncode:
                raise OutsideError(f"cosign could not sign {image.component}: {done.stderr.decode()}")

    Arguments:
        image: what to sign.

    Raises:
        PipegraftError: it is not signed; its exit code becomes the run's.
    """
