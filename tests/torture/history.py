"""What the world outside saw of a log, and whether what the log holds now agrees.

Every record says which stream sent it and as which one, and its bytes follow from that, so a record
that was altered, swapped, doubled or made up is seen at once.
"""

import bisect
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
    """The answer to an append of `records` records from `sequence` on. `again` if it was there
    already, because an earlier try had reached the log."""

    sequence: int
    offset: int
    sent_ns: int
    answered_ns: int
    records: int = 1
    again: bool = False


@dataclass
class Stream:
    """One producer's side. The records of an `ordered` one are in the log in the order they were
    sent, and none is there without those before it."""

    number: int
    ordered: bool
    sent: int = 0
    acks: list = field(default_factory=list)
    # How many acknowledgements an earlier look has checked and dropped.
    checked: int = 0
    # What was refused for want of space, and so is not in the log.
    refused: list = field(default_factory=list)
    # The first records of batches that were sent; none if each record went alone.
    batches: list = field(default_factory=list)

    def acknowledged(self):
        """How many appends were acknowledged."""
        return self.checked + len(self.acks)

    def batch_of(self, sequence):
        """The first record of the batch that holds `sequence`, and the one after its last."""
        at = bisect.bisect_right(self.batches, sequence)
        end = self.batches[at] if at < len(self.batches) else self.sent
        return self.batches[at - 1], end


@dataclass
class Sight:
    """What one consumer was sent: the records from offset `start` on."""

    start: int
    values: list = field(default_factory=list)


@dataclass
class Held:
    """What a log holds: the values of the offsets from `start` on."""

    start: int
    values: list

    def end(self):
        return self.start + len(self.values)

    def between(self, start, end):
        """The values of these offsets, as far as they were not dropped."""
        return self.values[max(0, start - self.start):max(0, end - self.start)]


@dataclass
class History:
    """All that was ever seen of one log. If it drops its oldest records, it keeps at least
    `kept_bytes_min` of values; None if it must keep all."""

    kept_bytes_min: int = None
    streams: dict = field(default_factory=dict)
    sights: list = field(default_factory=list)
    # The offsets below which consumers were told that all was dropped.
    gaps: list = field(default_factory=list)
    # What an earlier look found: none of it may change.
    settled: Held = field(default_factory=lambda: Held(0, []))
    # How many records consumers were sent, as far as they were compared.
    consumed: int = 0

    def new_stream(self, ordered):
        stream = Stream(len(self.streams), ordered)
        self.streams[stream.number] = stream
        return stream

    def new_sight(self, start):
        sight = Sight(start)
        self.sights.append(sight)
        return sight

    def acknowledged(self):
        return sum(stream.acknowledged() for stream in self.streams.values())

    def acknowledged_end(self):
        """Behind the last record that was acknowledged since the last look."""
        ends = [ack.offset + ack.records for stream in list(self.streams.values())
                for ack in stream.acks[-1:]]
        return max(ends, default=0)

    def refused(self):
        return sum(len(stream.refused) for stream in self.streams.values())

    def violations(self, held):
        """Every disagreement with what the log holds; none if all is well."""
        found = []
        names = [name_of(value) for value in held.values]
        self._check_bounds(held, found)
        self._check_seen("there at an earlier look", self.settled, held, found)
        self._check_names(names, held.start, found)
        self._check_batches(names, held.start, found)
        self._check_acks(names, held.start, found)
        self._check_time(found)
        for sight in list(self.sights):
            seen = Held(sight.start, list(sight.values))
            self._check_seen("consumed", seen, held, found)
        return found

    def settle(self, held):
        """Takes `held`, in which nothing was found wrong, as what every later look must find."""
        self.settled = held
        self.consumed += sum(len(sight.values) for sight in self.sights)
        self.sights = []
        self.gaps.clear()
        for stream in self.streams.values():
            stream.checked += len(stream.acks)
            stream.acks.clear()

    def _check_bounds(self, held, found):
        if held.start > 0 and self.kept_bytes_min is None:
            found.append(f"the log begins at {held.start}, and nobody dropped what came before")
        elif held.start > self.settled.start and (
                sum(len(value) for value in held.values) < self.kept_bytes_min):
            found.append(f"more was dropped before {held.start} than the retention asks for")
        if held.start < self.settled.start:
            found.append(f"the log began at {self.settled.start} and begins at {held.start} now")
        for end in list(self.gaps):
            if end > held.start:
                found.append(f"all before {end} was said to be dropped, and the log begins at"
                             f" {held.start}")
        for what, seen in [("there at an earlier look", self.settled), *(
                ("consumed", Held(sight.start, sight.values)) for sight in list(self.sights))]:
            if seen.values and seen.end() > held.end():
                found.append(f"offset {seen.end() - 1} was {what} and the log ends at {held.end()}")

    def _check_seen(self, what, seen, held, found):
        start = max(seen.start, held.start)
        was, now = seen.between(start, seen.end()), held.between(start, seen.end())
        if was != now:
            at = start + _first_difference(was, now)
            found.append(f"offset {at} was {what} and is gone or another now")

    def _check_names(self, names, start, found):
        last = {}
        refused = {(stream.number, sequence)
                   for stream in self.streams.values() for sequence in stream.refused}
        for offset, name in enumerate(names, start):
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
            # What came before may have been dropped.
            before = last.get(number, -1 if start == 0 else sequence - 1)
            if sequence <= before:
                found.append(f"offset {offset} holds record {name} behind {before}")
            elif stream.ordered and sequence != before + 1:
                found.append(f"offset {offset} holds record {name} without those after {before}")
            last[number] = sequence

    def _check_batches(self, names, start, found):
        """A batch is there whole and in one piece, or not at all."""
        for index, name in enumerate(names):
            stream = self.streams.get(name[0]) if name else None
            if stream is None or not stream.batches or name[1] >= stream.sent:
                continue
            first, end = stream.batch_of(name[1])
            at = index - (name[1] - first)
            whole = [(name[0], sequence) for sequence in range(first, end)]
            if at < 0 or names[at:at + len(whole)] != whole:
                found.append(f"offset {start + index} holds a part of batch {(name[0], first)}")

    def _check_acks(self, names, start, found):
        for stream in self.streams.values():
            for ack in list(stream.acks):
                for more in range(ack.records):
                    at, name = ack.offset + more - start, (stream.number, ack.sequence + more)
                    if at < 0:
                        continue
                    held = names[at] if at < len(names) else "nothing"
                    if held != name:
                        found.append(f"offset {ack.offset + more} was acknowledged to record"
                                     f" {name} and holds {held}")

    def _check_time(self, found):
        """An append that was answered before another was sent has the lower offset."""
        acks = [ack for stream in self.streams.values() for ack in list(stream.acks)
                if not ack.again]
        by_answer = iter(sorted(acks, key=lambda ack: ack.answered_ns))
        done, highest = next(by_answer, None), self.settled.end() - 1
        for ack in sorted(acks, key=lambda ack: ack.sent_ns):
            while done is not None and done.answered_ns < ack.sent_ns:
                highest = max(highest, done.offset)
                done = next(by_answer, None)
            if ack.offset <= highest:
                found.append(f"offset {ack.offset} was sent after {highest} was acknowledged")


def _first_difference(one, other):
    pairs = enumerate(zip(one, other))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
