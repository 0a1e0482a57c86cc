"""A file in the address space of the process: bytes come from the disk when they are looked at.

Cost: nothing to open. Pages that were looked at count as memory of the process until they are let go.
"""

import mmap
from pathlib import Path


class MappedFile:
    """A file that is only read.

    Attributes:
        path: the file. bytes: its content.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.path = path

    def check_size(self) -> None:
        """Refuse a file that was cut after it was opened: looking at mapped pages beyond its end kills the process."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < len(self.bytes):
            raise ValueError(f"{self.path}: has shrunk from {len(self.bytes)} to {size} bytes since it was opened")

    def release(self, start: int, stop: int) -> None:
        """Unmap the pages of bytes [start, stop), less those shared with neighbours; they can be looked at again."""
        page = mmap.PAGESIZE
        start, stop = -(-start // page) * page, stop // page * page
        if stop > start and hasattr(mmap, "MADV_DONTNEED"):
            self.bytes.madvise(mmap.MADV_DONTNEED, start, stop - start)
