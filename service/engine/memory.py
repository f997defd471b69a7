"""What answers that are held whole take of the machine's memory, from their admission until nobody holds them."""

from __future__ import annotations

from collections import deque


class ResultMemory:
    """``most`` bytes for all of them; one answer alone always fits. For one thread at a time, but for ``give_back``."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        # A lease may end in any thread, even while another one is at work here.
        self._returned: deque[int] = deque()

    @property
    def taken(self) -> int:
        """Bytes that are held now."""
        while self._returned:
            self._taken -= self._returned.popleft()
        return self._taken

    def fits(self, size: int) -> bool:
        """Whether there is room for ``size`` bytes more."""
        return not size or not self.taken or self.taken + size <= self._most

    def take(self, size: int) -> None:
        self._taken += size

    def give_back(self, size: int) -> None:
        """From any thread."""
        self._returned.append(size)


class Lease:
    """One answer's part. It ends with ``release``; should a path forget it, when nobody holds it any more."""

    __slots__ = ("_memory", "_sizes")

    def __init__(self, memory: ResultMemory) -> None:
        self._memory = memory
        # Engine and caller may end it at the same moment: whoever pops a size gives it back.
        self._sizes: list[int] = []

    def take(self, size: int) -> None:
        self._memory.take(size)
        self._sizes.append(size)

    def release(self) -> None:
        """From any thread; a second time nothing happens."""
        try:
            while True:
                self._memory.give_back(self._sizes.pop())
        except IndexError:
            return

    def __del__(self) -> None:
        self.release()
