"""All files that visitors brought and handlers made, together within a bound: the oldest are deleted first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

log = logging.getLogger(__name__)


class Uploads:
    """The temporary files of a page. `limit` bytes in all: those on the disk and those that are arriving.

    Args:
        limit: bytes.
        files: lists the files that may be deleted. A training keeps files of its own, and does not lose them.
        forget: is told which of them were deleted; called in the event loop.
    """

    def __init__(
        self, limit: int, files: Callable[[], Iterable[Path]], forget: Callable[[Iterable[Path]], None]
    ) -> None:
        self.limit = limit
        self.files = files
        self.forget = forget
        self.arriving = 0  # bytes of uploads that are under way
        self._deleting = asyncio.Lock()

    def have_room(self, more: int) -> bool:
        """Whether uploads of that many bytes may begin, beside those that are under way."""
        return self.arriving + more <= self.limit

    def arrived(self, count: int) -> None:
        """Count bytes of an upload."""
        self.arriving += count

    async def finished(self, count: int) -> None:
        """An upload of that many bytes ended: delete the oldest files if there are too many bytes now."""
        async with self._deleting:
            try:
                deleted = await asyncio.to_thread(self._delete)
            finally:
                self.arriving -= count
            self.forget(deleted)

    def _delete(self) -> list[Path]:
        found = []
        for path in self.files():
            try:
                facts = path.stat()
            except OSError:
                found.append((0.0, 0, path))  # deleted by others; to be forgotten
            else:
                found.append((facts.st_ctime, facts.st_size, path))
        total, deleted = sum(size for _, size, _ in found), []
        for _, size, path in sorted(found):
            if size and total <= self.limit:
                break
            path.unlink(missing_ok=True)
            total -= size
            deleted.append(path)
        if deleted:
            log.info("%d temporary files deleted: all may take %d MB", len(deleted), self.limit // 2**20)
        return deleted
