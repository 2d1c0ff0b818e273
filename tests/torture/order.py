"""Checks in a trace that nothing left the server before it was on the disk.

For every record that was acknowledged, sent to a consumer, or told to be below the end: after the
write of its frame returned, a sync of that file began and returned without an error, before the
reply was handed to the kernel; of what was acknowledged as written alone, the write returned.
Before anything from a new segment leaves, its header is synced before the file gets its name, the
directory is synced after that, and the segment before it is sealed and synced.
"""

import re
import struct
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import replies
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


class Order:
    """The facts of a trace that the check needs. Only what happened to log `default` counts. The
    first `held` records were there before the trace began. What messages vouch for `parse` tells:
    all are of one service."""

    def __init__(self, events, held=0, parse=replies.of_log_v1):
        self.held, self.parse = held, parse
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
        return [reply for reply in self.replies if reply.is_ack()]

    def told(self, what):
        return [reply for reply in self.replies if reply.what == what]

    def store_syncs(self):
        return sum(len(segment.syncs) for segment in self.segments.values())

    def frame_of(self, reply):
        """The segment and the last write of the reply's record before the reply; None if there is
        none."""
        writes = self.frames.get(reply.offset, ())
        return next((frame for frame in reversed(writes) if frame[1].entered < reply.at), None)

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
            self.replies += self.parse(message, at)
        while connection.headers:
            self.replies += replies.ends_in(*connection.headers.pop())

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
                # Again if a start writes a tail anew, or if what was refused was taken back.
                self.frames.setdefault(offset, []).append((segment, event))

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
            where = f"offset {reply.offset} was {reply.what} at line {reply.at}"
            if reply.offset < self.held:
                continue
            frame = self.frame_of(reply)
            if frame is None:
                found.append(f"{where} and not written before")
                continue
            segment, write = frame
            if reply.what == replies.WRITTEN:
                if write.returned >= reply.at:
                    found.append(f"{where} before the write of its frame returned")
                continue
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
