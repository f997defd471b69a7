"""The ZIP container as a stream: stored entries that are whole before they are written.

After PKWARE's APPNOTE 6.3.10. Each local header has the entry's real checksum and size, so that a reader of a stream
needs nothing that comes later; ZIP64 where a number does not fit. Python's zipfile would keep half a kilobyte for
every entry, write such headers only into a file that it can seek in, and take 10 us an entry (this: 1.4), beside an
encoder that takes 16 for a 28x28 image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack

from isal import isal_zlib

STORED_VERSION, ZIP64_VERSION = 20, 45
UNIX = 3 << 8
FILE_MODE = 0o100644 << 16
# 1980-01-01 00:00, the first that ZIP knows: the same samples are the same bytes whenever they are asked for.
TIME, DATE = 0, 0x21
MAX_16, MAX_32 = 2**16 - 1, 2**32 - 1


@dataclass
class ZipEntries:
    """``offset``: bytes written so far; ``directory``: what is written at the end, some 60 bytes an entry."""

    offset: int = 0
    count: int = 0
    directory: bytearray = field(default_factory=bytearray)

    def add(self, name: bytes, data: bytes) -> bytes:
        """One entry, of less than 4 GiB; ``name`` is ASCII."""
        common = pack("<HHHHIII", 0, 0, TIME, DATE, isal_zlib.crc32(data), len(data), len(data))
        far = self.offset >= MAX_32
        extra = pack("<HHQ", 1, 8, self.offset) if far else b""
        version = ZIP64_VERSION if far else STORED_VERSION
        where = pack("<HHHHII", len(extra), 0, 0, 0, FILE_MODE, min(self.offset, MAX_32))
        head = pack("<HH", UNIX | ZIP64_VERSION, version) + common + pack("<H", len(name)) + where
        self.directory += b"".join((b"PK\1\2", head, name, extra))
        local = b"".join((b"PK\3\4", pack("<H", STORED_VERSION), common, pack("<HH", len(name), 0), name, data))
        self.offset += len(local)
        self.count += 1
        return local

    def finish(self) -> bytes:
        """The directory and the end records."""
        start, size, count = self.offset, len(self.directory), self.count
        parts = [bytes(self.directory)]
        if max(start, size) >= MAX_32 or count >= MAX_16:
            versions = pack("<QHHII", 44, UNIX | ZIP64_VERSION, ZIP64_VERSION, 0, 0)
            parts += [b"PK\6\6", versions, pack("<QQQQ", count, count, size, start)]
            parts += [b"PK\6\7", pack("<IQI", 0, start + size, 1)]
        fitting = min(count, MAX_16)
        parts += [b"PK\5\6", pack("<HHHHIIH", 0, 0, fitting, fitting, min(size, MAX_32), min(start, MAX_32), 0)]
        return b"".join(parts)
