"""An actor's mailbox: bounded, and wakes coalesce."""

import math

import trio

CAPACITY = 16
"""A full mailbox already holds a wake, and one run answers them all: more is dropped without loss."""


class Mailbox:
    """Wakes for one actor; each is the reason as a short text. Any task may put, one actor takes."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._send, self._receive = trio.open_memory_channel[str](capacity)

    def put(self, reason: str) -> bool:
        """Leave a wake; False when the mailbox is full, which loses nothing."""
        try:
            self._send.send_nowait(reason)
        except trio.WouldBlock:
            return False
        return True

    async def take(self, patience_s: float = math.inf) -> str | None:
        """Wait for a wake and take all that have come; the first one's reason, None after `patience_s`."""
        with trio.move_on_after(patience_s):
            reason = await self._receive.receive()
            self.clear()
            return reason
        return None

    def clear(self) -> int:
        """Drop all wakes; how many there were."""
        count = 0
        while True:
            try:
                self._receive.receive_nowait()
            except trio.WouldBlock:
                return count
            count += 1

    def __len__(self) -> int:
        return self._receive.statistics().current_buffer_used
