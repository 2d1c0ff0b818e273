"""What the world outside saw of a log, and whether what the log holds now agrees.

Every record says which stream sent it and as which one, and its bytes follow from that, so a record
that was altered, swapped, doubled or made up is seen at once.
"""

import hashlib
import struct
from dataclasses import dataclass, field

# Stream, sequence.
_HEAD = struct.Struct("<QI")


def value_of(stream, sequence):
    """The bytes of a record: mostly small, sometimes half a small segment."""
    head = _HEAD.pack(stream, sequence)
    digest = hashlib.blake2b(head).digest()
    kind = digest[0]
    if kind < 200:
        length = 12 + digest[1]
    elif kind < 253:
        length = 12 + digest[1] * 16
    else:
        length = 12 + digest[1] * 128
    repeats = length // len(digest) + 1
    return (head + digest * repeats)[:length]


def name_of(value):
    """Which record these bytes are, or None if they are none that was ever sent."""
    if len(value) < _HEAD.size:
        return None
    stream, sequence = _HEAD.unpack_from(value)
    return (stream, sequence) if value_of(stream, sequence) == value else None


@dataclass
class Ack:
    sequence: int
    offset: int
    sent_ns: int
    answered_ns: int


@dataclass
class Stream:
    """One producer's side. The records of an `ordered` one are in the log in the order they were
    sent, and none is there without those before it."""

    number: int
    ordered: bool
    sent: int = 0
    acks: list = field(default_factory=list)
    # What was refused for want of space, and so is not in the log.
    refused: list = field(default_factory=list)


@dataclass
class Sight:
    """What one consumer was sent: the records from offset `start` on."""

    start: int
    values: list = field(default_factory=list)


@dataclass
class History:
    """All that was ever seen of one log."""

    streams: dict = field(default_factory=dict)
    sights: list = field(default_factory=list)
    # What an earlier look found: none of it may change.
    settled: list = field(default_factory=list)

    def new_stream(self, ordered):
        stream = Stream(len(self.streams), ordered)
        self.streams[stream.number] = stream
        return stream

    def new_sight(self, start):
        sight = Sight(start)
        self.sights.append(sight)
        return sight

    def acknowledged(self):
        return sum(len(stream.acks) for stream in self.streams.values())

    def refused(self):
        return sum(len(stream.refused) for stream in self.streams.values())

    def violations(self, log):
        """Every disagreement with `log`, the values of offsets 0 and on; none if all is well."""
        found = []
        names = [name_of(value) for value in log]
        self._check_settled(log, found)
        self._check_names(names, found)
        self._check_acks(names, found)
        self._check_time(found)
        for sight in self.sights:
            held = log[sight.start:sight.start + len(sight.values)]
            if held != sight.values:
                at = _first_difference(held, sight.values)
                found.append(f"offset {sight.start + at} was consumed and is gone or another now")
        return found

    def settle(self, log):
        """Takes `log`, in which nothing was found wrong, as what every later look must find."""
        self.settled = log
        self.sights = []

    def _check_settled(self, log, found):
        held = log[:len(self.settled)]
        if held != self.settled:
            at = _first_difference(held, self.settled)
            found.append(f"offset {at} was there at an earlier look and is gone or another now")

    def _check_names(self, names, found):
        last = {}
        refused = {(stream.number, sequence)
                   for stream in self.streams.values() for sequence in stream.refused}
        for offset, name in enumerate(names):
            if name is None:
                found.append(f"offset {offset} holds bytes that nobody sent")
                continue
            number, sequence = name
            stream = self.streams.get(number)
            if stream is None or sequence >= stream.sent:
                found.append(f"offset {offset} holds record {name}, which nobody sent")
                continue
            if name in refused:
                found.append(f"offset {offset} holds record {name}, which was refused")
            before = last.get(number, -1)
            if sequence <= before:
                found.append(f"offset {offset} holds record {name} behind {before}")
            elif stream.ordered and sequence != before + 1:
                found.append(f"offset {offset} holds record {name} without those after {before}")
            last[number] = sequence

    def _check_acks(self, names, found):
        for stream in self.streams.values():
            for ack in stream.acks:
                held = names[ack.offset] if ack.offset < len(names) else "nothing"
                if held != (stream.number, ack.sequence):
                    found.append(f"offset {ack.offset} was acknowledged to record "
                                 f"{(stream.number, ack.sequence)} and holds {held}")

    def _check_time(self, found):
        """An append that was answered before another was sent has the lower offset."""
        acks = [ack for stream in self.streams.values() for ack in stream.acks]
        by_answer = iter(sorted(acks, key=lambda ack: ack.answered_ns))
        done, highest = next(by_answer, None), -1
        for ack in sorted(acks, key=lambda ack: ack.sent_ns):
            while done is not None and done.answered_ns < ack.sent_ns:
                highest = max(highest, done.offset)
                done = next(by_answer, None)
            if ack.offset <= highest:
                found.append(f"offset {ack.offset} was sent after {highest} was acknowledged")


def _first_difference(one, other):
    pairs = enumerate(zip(one, other))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
