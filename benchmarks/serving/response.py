"""HTTP/1.1 responses from bytes, without I/O: small enough to cost the machine under test next to nothing."""

from __future__ import annotations

LONGEST_HEAD = 64 * 1024
LONGEST_CHUNK_LINE = 1024
BODILESS = (204, 304)


class BadResponse(Exception):
    """The bytes are no HTTP/1.1 response, or end before it does."""


class ResponseParser:
    """``feed`` bytes until ``done``; ``end`` when the peer has closed. Header names are in lower case.

    Without ``keep`` the body is counted (``size``) and thrown away.
    """

    def __init__(self, keep: bool = True) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.size, self.done = 0, False
        self.body = bytearray() if keep else None
        self._pending = bytearray()
        self._left: int | None = None  # of the body, or of the chunk; None: until the peer closes
        self._chunked = self._last_chunk = False

    @property
    def started(self) -> bool:
        return self.status is not None or bool(self._pending)

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self.done and self._left is not None and self.headers.get("connection", "").lower() != "close"

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises BadResponse."""
        view = memoryview(data)
        if self.status is None:
            self._pending += data
            if (cut := self._pending.find(b"\r\n\r\n")) < 0:
                if len(self._pending) > LONGEST_HEAD:
                    raise BadResponse("the head does not end")
                return
            head, view = bytes(self._pending[:cut]), memoryview(bytes(self._pending[cut + 4 :]))
            self._pending.clear()
            self._read_head(head)
        if self._chunked:
            self._feed_chunks(view)
        else:
            self._feed_plain(view)

    def end(self) -> None:
        """The peer closed. Raises BadResponse for a response that is cut short."""
        if self.status is not None and self._left is None:
            self.done = True
        if not self.done:
            raise BadResponse("cut short" if self.started else "closed without an answer")

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise BadResponse(f"not a status line: {first[:80]!r}")
        self.status = int(rest[:3])
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length")
        if self.status in BODILESS:
            length, self._chunked = "0", False
        if self._chunked:
            self._left = 0
        elif length is not None:
            self._left = int(length)

    def _feed_plain(self, view: memoryview) -> None:
        self._take(view)
        if self._left is not None:
            self._left -= len(view)
            if self._left < 0:
                raise BadResponse("more bytes than Content-Length says")
            self.done = self._left == 0

    def _feed_chunks(self, view: memoryview) -> None:
        while len(view):
            if self.done:
                raise BadResponse("bytes after the last chunk")
            if self._left:
                part = view[: self._left]
                self._take(part)
                self._left -= len(part)
                view = view[len(part) :]
                continue
            start = bytes(view[:LONGEST_CHUNK_LINE])
            cut = start.find(b"\n")
            self._pending += start if cut < 0 else start[:cut]
            view = view[len(start) if cut < 0 else cut + 1 :]
            if len(self._pending) > LONGEST_CHUNK_LINE:
                raise BadResponse("a chunk's size does not end")
            if cut >= 0:
                line = bytes(self._pending).strip()
                self._pending.clear()
                self._read_chunk_line(line)

    def _read_chunk_line(self, line: bytes) -> None:
        """A chunk's size, the empty line that ends a chunk, a trailer, or the empty line that ends it all."""
        if self._last_chunk:
            self.done = not line
        elif line:
            try:
                self._left = int(line.split(b";")[0], 16)
            except ValueError as error:
                raise BadResponse(f"not a chunk's size: {line[:40]!r}") from error
            self._last_chunk = self._left == 0

    def _take(self, part: memoryview) -> None:
        self.size += len(part)
        if self.body is not None:
            self.body += part
