"""Has images at hand before they are needed, beside the loop, which a slow registry must not hold up."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future

from pipegraft.engine.ports import Workload

__all__ = ["Fetcher"]

_Images = tuple[str, ...]


class Fetcher:
    """Fetches the images of workloads.

    Arguments:
        prepare: fetches the images of one.
        submit: has that done by somebody else.
    """

    def __init__(
        self,
        prepare: Callable[[Workload], None],
        submit: Callable[[Callable[[Workload], None], Workload], Future[None]],
    ) -> None:
        self._prepare = prepare
        self._submit = submit
        self._under_way: dict[_Images, Future[None]] = {}
        self._there: set[_Images] = set()

    def has(self, workload: Workload) -> bool:
        """Whether everything of a workload is there; if not it is fetched, once at a time.

        Raises:
            PipegraftError: fetching failed; asking again tries again.
        """
        images = workload.images
        if images in self._there:
            return True
        future = self._under_way.get(images) or self._submit(self._prepare, workload)
        self._under_way[images] = future
        if not future.done():
            return False
        del self._under_way[images]
        future.result()
        self._there.add(images)
        return True

    def forget(self, kept: Collection[str]) -> None:
        """Every other image has been removed."""
        self._there = {images for images in self._there if set(images) <= set(kept)}
