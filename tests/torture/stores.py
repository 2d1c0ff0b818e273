"""The frames of a store, as docs/FORMAT.md has them, and how far a log is known to be durable."""

import struct
from dataclasses import dataclass

# A header in two copies, then frames.
HEADER_COPY_BYTES = 64
_FRAME = struct.Struct("<4s4xIIQ16xQ2xH36x")
_SLOT_BYTES = 4096
_SLOT = struct.Struct("<8s40xQ")


@dataclass
class Frame:
    """Where in its store a batch is, without the padding, and what its header says."""

    start: int
    end: int
    base: int
    records: int
    durable_end: int

    def place(self):
        return slice(self.start, self.end)


def paths(directory):
    """The stores of a log in order, without those that are prepared for later."""
    return sorted(path for path in directory.glob("*.store") if path.stem.isdecimal())


def frames(store):
    """The frames that stand one behind the other in the bytes of a store."""
    at = 2 * HEADER_COPY_BYTES
    while at + _FRAME.size <= len(store):
        magic, payload, records, base, durable_end, extension = _FRAME.unpack_from(store, at)
        if magic != b"VFRM":
            return
        end = at + _FRAME.size + extension + payload
        yield Frame(at, end, base, records, durable_end)
        at += -(-(end - at) // 8) * 8


def checkpointed(directory):
    """The highest durable end that a slot of the checkpoint names."""
    content = (directory / "checkpoint").read_bytes()
    slots = [_SLOT.unpack_from(content, at) for at in (0, _SLOT_BYTES)]
    return max(durable_end for magic, durable_end in slots if magic == b"VARVECKP")
