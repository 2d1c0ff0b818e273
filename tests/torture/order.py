"""Checks in a trace that nothing left the server before it was on the disk.

For every record that was acknowledged or sent to a consumer: after the write of its frame returned,
a sync of that file began and returned without an error, before the reply was handed to the kernel.
Before anything from a new segment leaves, its header is synced before the file gets its name, the
directory is synced after that, and the segment before it is sealed and synced.
"""

import re
import struct
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import trace

_FRAME_HEAD = struct.Struct("<4sIIIQ")
_FRAME_BYTES = 88
_STORE = re.compile(r"^\d{20}\.store$")
_SYNCS = ("fdatasync", "fsync")


@dataclass
class Segment:
    """A store file: when it got its name, was sealed, and when its syncs began and returned."""

    base: int
    directory: str
    named: trace.Event = None
    header: trace.Event = None
    footer: trace.Event = None
    syncs: list = field(default_factory=list)


@dataclass
class Reply:
    """A message that left the server: for which offset, and where in the order."""

    offset: int
    is_ack: bool
    at: int


class Order:
    """The facts of a trace that the check needs. Only what happened to log `default` counts. The
    first `held` records were there before the trace began."""

    def __init__(self, events, held=0):
        self.held = held
        self.segments = {}
        self.frames = {}
        self.directory_syncs = []
        self.replies = []
        self.failed_at = None
        self._next = Segment(-1, "")
        self._connections = {}
        for event in events:
            self._take(event)
        self.replies.sort(key=lambda reply: reply.at)

    def acks(self):
        return [reply for reply in self.replies if reply.is_ack]

    def store_syncs(self):
        return sum(len(segment.syncs) for segment in self.segments.values())

    def _take(self, event):
        if event.call in ("sendmsg", "sendto"):
            self._take_send(event)
        elif event.call.startswith("rename"):
            self._take_rename(event)
        elif event.call == "pwrite64":
            self._take_write(event)
        elif event.call in _SYNCS:
            self._take_sync(event)

    def _take_send(self, event):
        descriptor, kind = event.fd()
        if kind is None or not kind.startswith(("socket", "TCP")):
            return
        connection = self._connections.setdefault((descriptor, kind), trace.Http2())
        for message, at in connection.feed(event.sent(), event.entered):
            reply = parse_reply(message, at)
            if reply is not None:
                self.replies.append(reply)

    def _take_rename(self, event):
        paths = [PurePosixPath(path.decode()) for path in event.strings()[-2:]]
        if event.result != 0 or len(paths) != 2 or not _STORE.match(paths[1].name):
            return
        if paths[1].parent.name != "default":
            return
        segment, self._next = self._next, Segment(-1, "")
        segment.base, segment.directory = int(paths[1].stem), str(paths[1].parent)
        segment.named = event
        self.segments[str(paths[1])] = segment

    def _segment_of(self, path):
        name = PurePosixPath(path)
        if name.parent.name != "default":
            return None
        if name.name == "next.store":
            return self._next
        if not _STORE.match(name.name):
            return None
        return self.segments.setdefault(path, Segment(int(name.stem), str(name.parent)))

    def _take_write(self, event):
        _, path = event.fd()
        segment = self._segment_of(path)
        if segment is None or event.result is None or event.result < 0:
            return
        data = event.strings()[0]
        if data.startswith(b"VARVESTO"):
            segment.header = event
        elif data.startswith(b"VFTR"):
            segment.footer = event
        for base, records in frames_of(data):
            for offset in range(base, base + records):
                # A start writes a tail anew; what counts is the first time.
                self.frames.setdefault(offset, (segment, event))

    def _take_sync(self, event):
        _, path = event.fd()
        segment = self._segment_of(path)
        if segment is not None:
            segment.syncs.append(event)
        elif PurePosixPath(path).name == "default":
            self.directory_syncs.append(event)
        else:
            # Records do not hang on it.
            return
        if event.result is not None and event.result < 0 and self.failed_at is None:
            self.failed_at = event.returned

    def violations(self):
        found = []
        for reply in self.replies:
            what = "acknowledged" if reply.is_ack else "sent to a consumer"
            where = f"offset {reply.offset} was {what} at line {reply.at}"
            if reply.offset < self.held:
                continue
            if reply.offset not in self.frames:
                found.append(f"{where} and never written")
                continue
            segment, write = self.frames[reply.offset]
            if not self._is_synced(segment.syncs, write, reply.at):
                found.append(f"{where} before the sync of its frame")
            found += [f"{where} before {fault}" for fault in self._faults(segment, reply.at)]
        return found

    def _faults(self, segment, at):
        """What a new segment lacks when something from it leaves."""
        if segment.named is None:
            # It was there when the trace began.
            return
        if segment.header is None or not self._is_synced(
                segment.syncs, segment.header, segment.named.entered):
            yield "its segment's header was synced, or that came after its name"
        if not self._is_synced(self.directory_syncs, segment.named, at):
            yield "the sync of its segment's directory"
        before = max((other for other in self.segments.values() if other.base < segment.base),
                     key=lambda other: other.base, default=None)
        if before is None or before.named is None:
            return
        if before.footer is None or not self._is_synced(before.syncs, before.footer, at):
            yield "the footer of the segment before it was synced"

    def _is_synced(self, syncs, write, before):
        """Whether one of `syncs` covers `write` and returned before `before`. After a failed sync
        of a store or its directory none counts: the kernel may have dropped what it could not
        write."""
        limit = before if self.failed_at is None else min(before, self.failed_at)
        return any(sync.result == 0 and sync.entered > write.returned and sync.returned < limit
                   for sync in syncs)


def frames_of(data):
    """The base offset and record count of every frame in bytes that were written at once."""
    at = 0
    while at + _FRAME_BYTES <= len(data):
        magic, _, payload_bytes, records, base = _FRAME_HEAD.unpack_from(data, at)
        if magic != b"VFRM":
            return
        yield base, records
        at += (_FRAME_BYTES + payload_bytes + 7) // 8 * 8


def parse_reply(message, at):
    """A ProduceResponse is empty or begins with field 1, a ConsumeResponse with field 2."""
    if not message:
        return Reply(0, True, at)
    if message[0] == 0x08:
        return Reply(varint(message, 1)[0], True, at)
    if message[0] == 0x12:
        _, start = varint(message, 1)
        return Reply(offset_of_record(message[start:]), False, at)
    return None


def offset_of_record(record):
    """Field 2 of a Record, 0 if it is absent."""
    at, offset = 0, 0
    while at < len(record):
        tag, at = varint(record, at)
        if tag == 0x0A:
            length, at = varint(record, at)
            at += length
        else:
            value, at = varint(record, at)
            offset = value if tag == 0x10 else offset
    return offset


def varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
