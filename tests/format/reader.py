#!/usr/bin/env python3
"""Reads a log of a Varve data directory, by docs/FORMAT.md alone.

Usage: reader.py DATA_DIR LOG_NAME [readers | producers]

Prints each record as a line of JSON, or each named reader, or what is known of each producer, and
checks every checksum on the way. What is wrong goes to standard error: a `note:` is harmless (a torn tail, a stale index), `damage:` is not.
Exit code: 0 the log is whole, 1 records or readers are damaged, 2 it cannot be read at all.
Uses nothing but the standard library, and changes nothing. The server should not be running.
"""

import json
import math
import re
import struct
import sys
from pathlib import Path

STORE_HEADER_BYTES = 128
FRAME_HEADER_BYTES = 88
FOOTER_BYTES_MIN = 72
FOOTER_BYTES_MAX = 64 << 20
SLOT_BYTES = 4096
READERS_HEADER_BYTES = 64
ENTRY_BYTES_MIN = 40
PRODUCERS_HEADER_BYTES = 48
PRODUCER_BATCHES_MAX = 1024
SLOT_FIELDS = (
    "closed sequence log_id start durable_end incarnation last_time base position last_frame_at"
    " first_time frames segment_crc capacity segments bases_crc producers_kind producers_from"
).split()


class Unreadable(Exception):
    """The log cannot be read at all: another format, or not a log."""


def make_crc_table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


CRC_TABLE = make_crc_table()


def crc32c(data, before=0):
    """The CRC32C of `data`, or of what has the CRC `before` followed by `data`."""
    crc = before ^ 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283
assert crc32c(bytes(32)) == 0x8A9136AA


class Report:
    """Collects what is wrong and tells it."""

    def __init__(self):
        self.is_damaged = False

    def note(self, text):
        print(f"note: {text}", file=sys.stderr)

    def damage(self, text):
        self.is_damaged = True
        print(f"damage: {text}", file=sys.stderr)


# The small files.


def read_meta(path):
    """The fields of a meta file, or None if it is absent or damaged."""
    try:
        data = path.read_bytes()
        lines = data.decode().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    match = re.fullmatch("crc32c = ([0-9a-f]{8})", lines[-1]) if lines else None
    covered = data[: -len("crc32c = 00000000\n")]
    if not match or crc32c(covered) != int(match[1], 16):
        return None
    fields = dict(line.split(" = ", 1) for line in lines[:-1])
    if fields.get("format") != "1":
        raise Unreadable(f"{path} has format {fields.get('format')}")
    return fields


def read_checkpoint(path):
    """The newest valid slot as a dict, or None."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    newest, one_is_lost = None, False
    for at in (0, SLOT_BYTES):
        slot = data[at : at + 160].ljust(160, b"\0")
        if slot[:8] != b"VARVECKP" or crc32c(slot[12:]) != struct.unpack_from("<I", slot, 8)[0]:
            one_is_lost |= any(data[at : at + SLOT_BYTES])
            continue
        version = struct.unpack_from("<H", slot, 12)[0]
        if version != 1:
            raise Unreadable(f"{path} has version {version}")
        found = dict(zip(SLOT_FIELDS, struct.unpack_from("<HQ16sQQQQQQQQIIQIII4xQ", slot, 14)))
        sequence = found["sequence"]
        if not 0 < sequence < 1 << 62 or sequence % 2 != at // SLOT_BYTES:
            one_is_lost = True
            continue
        room = max(found["position"] - STORE_HEADER_BYTES, 0)
        if found["frames"] * FRAME_HEADER_BYTES > room:
            one_is_lost = True
            continue
        if newest is None or found["sequence"] > newest["sequence"]:
            newest = found
    if newest and one_is_lost:
        newest["closed"] = 0
    return newest


class Producer:
    """The last batches of a producer's highest epoch, as (base offset, records, CRC)."""

    def __init__(self, epoch=0, next_sequence=0, batches=()):
        self.epoch, self.next, self.batches = epoch, next_sequence, list(batches)

    def knows(self, epoch, sequence):
        return self.next > 0 and (epoch, sequence) < (self.epoch, self.next)

    def take(self, frame):
        _, epoch, sequence = frame.producer
        if self.knows(epoch, sequence):
            return
        if (epoch, sequence) != (self.epoch, self.next):
            self.batches = []
        self.epoch, self.next = epoch, sequence + 1
        self.batches.append((frame.base, frame.records, frame.payload_crc))
        del self.batches[:-PRODUCER_BATCHES_MAX]


def read_producers(path, log_id, report):
    """(offset, producers by their ids) of the file, or None if it is absent, damaged or another's."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    covered, trailer = data[:-8], data[-8:]
    if data[:8] != b"VARVEPRD" or trailer != struct.pack("<I4s", crc32c(covered), b"VEND"):
        report.damage(f"{path.name} is damaged")
        return None
    version, held_id, offset = struct.unpack_from("<H6x16sQ", covered, 8)
    if version != 1:
        raise Unreadable(f"{path} has version {version}")
    if held_id != log_id:
        report.note(f"{path.name} is another log's")
        return None
    producers, at = {}, PRODUCERS_HEADER_BYTES
    while at < len(covered):
        producer_id, epoch, count, next_sequence = struct.unpack_from("<16sIIQ", covered, at)
        behind = at + 32 + 16 * count
        batches = struct.iter_unpack("<QII", covered[at + 32 : behind])
        producers[producer_id] = Producer(epoch, next_sequence, batches)
        at = behind
    return offset, producers


# Stores.


def head_of(path):
    with path.open("rb") as store:
        return store.read(STORE_HEADER_BYTES)


def read_store_header(data, path):
    """(log id, base offset, salt) by the first valid copy, or None."""
    for at in (0, 64):
        copy = data[at : at + 64]
        if len(copy) < 64 or copy[:8] != b"VARVESTO":
            continue
        if crc32c(copy[:60]) != struct.unpack_from("<I", copy, 60)[0]:
            continue
        version, _, _, incompatible = struct.unpack_from("<HHII", copy, 8)
        if version > 1 or incompatible:
            raise Unreadable(f"{path} has version {version}, features {incompatible:#010x}")
        return struct.unpack_from("<16sQQ", copy, 24)
    return None


class Frame:
    """A frame whose header is valid; `payload` is None if its payload is damaged."""

    def __init__(self, data, at, seed):
        if data[at : at + 4] != b"VFRM" or at + FRAME_HEADER_BYTES > len(data):
            raise ValueError
        (
            self.crc,
            payload_bytes,
            self.records,
            self.base,
            self.time,
            self.incarnation,
            self.durable_end,
            _flags,
            extension_bytes,
            payload_crc,
        ) = struct.unpack_from("<IIIQQQQHHI", data, at + 4)
        begin = at + FRAME_HEADER_BYTES + extension_bytes
        end = begin + payload_bytes
        # Its id, epoch and sequence.
        self.producer = struct.unpack_from("<16sI4xQ", data, at + 56)
        self.payload_crc = payload_crc
        if end > len(data) or self.records == 0 or crc32c(data[at + 8 : begin], seed) != self.crc:
            raise ValueError
        payload = data[begin:end]
        self.at = at
        self.behind = (end + 7) & ~7
        self.next = self.base + self.records
        self.payload = payload if crc32c(payload) == payload_crc else None


class Footer:
    """A valid footer."""

    def __init__(self, data, at, seed):
        if data[at : at + 4] != b"VFTR" or at + FOOTER_BYTES_MIN > len(data):
            raise ValueError
        crc, length = struct.unpack_from("<II", data, at + 4)
        if not FOOTER_BYTES_MIN <= length <= FOOTER_BYTES_MAX or at + length > len(data):
            raise ValueError
        self.at, self.behind = at, at + length
        self.end = struct.unpack_from("<Q", data, at + 16)[0]
        position = struct.unpack_from("<Q", data, at + 48)[0]
        self.sums = struct.unpack_from("<IQQQQQI", data, at + 12)
        trailer = struct.unpack_from("<I4s", data, self.behind - 8)
        if trailer != (length, b"VEND") or position != at:
            raise ValueError
        if self.sums[0] * FRAME_HEADER_BYTES > at - STORE_HEADER_BYTES:
            raise ValueError
        if crc32c(data[at + 8 : self.behind], seed) != crc:
            raise ValueError


def walk(data, seed):
    """Yields each valid Frame and Footer from the header on, and None where bytes are neither."""
    at = STORE_HEADER_BYTES
    while at < len(data):
        for kind in (Frame, Footer):
            try:
                found = kind(data, at, seed)
            except ValueError:
                continue
            yield found
            at = found.behind
            break
        else:
            yield None
            at = next_magic(data, at + 8)


def next_magic(data, at):
    """The next multiple of 8 where a frame or a footer may begin; the end if there is none."""
    for match in re.compile(b"VFRM|VFTR").finditer(data, at):
        if match.start() % 8 == 0:
            return match.start()
    return len(data)


# Readers.


class Entry:
    """A valid entry of a readers file."""

    def __init__(self, data, at, log_id, salt):
        if data[at : at + 4] != b"VRDR" or at + ENTRY_BYTES_MIN > len(data):
            raise ValueError
        crc, length, what, name_bytes, owner_bytes = struct.unpack_from("<IHBBB", data, at + 4)
        seed = crc32c(log_id + struct.pack("<QQ", at, salt))
        if at + length > len(data) or crc32c(data[at + 8 : at + length], seed) != crc:
            raise ValueError
        self.behind, self.is_deleted = at + length, what == 2
        self.offset, self.time, self.durable_end = struct.unpack_from("<QQQ", data, at + 16)
        owner_at = at + ENTRY_BYTES_MIN + name_bytes
        self.name = data[at + ENTRY_BYTES_MIN : owner_at].decode()
        self.owner = data[owner_at : owner_at + owner_bytes].decode()


def print_readers(path, log_id, report):
    """Prints where each reader stands."""
    if not path.exists():
        return
    data = path.read_bytes()
    header = data[:READERS_HEADER_BYTES].ljust(READERS_HEADER_BYTES, b"\0")
    if header[:8] != b"VARVERDR" or crc32c(header[:60]) != struct.unpack_from("<I", header, 60)[0]:
        report.damage("the readers have no valid header")
        return
    if struct.unpack_from("<H", header, 8)[0] != 1:
        raise Unreadable(f"{path} has another version")
    owner_id, salt, capacity, durable = struct.unpack_from("<16sQQQ", header, 16)
    if (owner_id, capacity) != (log_id, len(data)):
        report.damage("the readers are another log's, or their file was cut")
        return
    readers, at, is_broken = {}, READERS_HEADER_BYTES, False
    end = at
    while at < len(data):
        try:
            entry = Entry(data, at, log_id, salt)
        except ValueError:
            is_broken, at = True, at + 8
            continue
        if is_broken:
            durable = max(durable, entry.durable_end)
            at += 8
            continue
        readers.pop(entry.name, None)
        if not entry.is_deleted:
            readers[entry.name] = entry
        at = end = entry.behind
    if durable > end:
        report.damage(f"entries of readers from position {end} on are lost")
        return
    if any(data[end:]):
        report.note(f"the readers have a torn tail at position {end}")
    for name, entry in sorted(readers.items()):
        line = {"reader": name, "offset": entry.offset, "owner": entry.owner}
        print(json.dumps(line | {"commit_time_us": entry.time}))


# Records, in the encoding of Protocol Buffers.


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """Yields (field number, bytes) of a message that has nothing but length-delimited fields."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        length, at = varint(data, at)
        if tag & 7 != 2 or at + length > len(data):
            raise Unreadable(f"a payload is no batch of records: {data.hex()}")
        yield tag >> 3, data[at : at + length]
        at += length


def decode_record(data):
    record = {"key": "", "value": "", "headers": []}
    for number, content in fields(data):
        if number == 1:
            record["value"] = content.hex()
        elif number == 2:
            record["key"] = content.hex()
        elif number == 3:
            header = dict(fields(content))
            record["headers"].append([header.get(1, b"").decode(), header.get(2, b"").hex()])
    return record


def print_records(frame):
    records = [content for number, content in fields(frame.payload) if number == 1]
    if len(records) != frame.records:
        raise Unreadable(f"the frame at offset {frame.base} holds {len(records)} records")
    for place, content in enumerate(records):
        line = {"offset": frame.base + place, "append_time_us": frame.time}
        print(json.dumps(line | decode_record(content)))


# A log.


def crc_of_crcs(frames):
    return crc32c(b"".join(struct.pack("<I", frame.crc) for frame in frames))


class Lost:
    """A store that cannot be read."""

    def __init__(self, base):
        self.base = base


class Log:
    """What its files say, before it is decided what that amounts to."""

    def __init__(self, directory, report):
        self.report = report
        meta = read_meta(directory / "meta")
        if meta is None:
            report.note("meta is absent or damaged: the stores tell the log's id")
        checkpoint = read_checkpoint(directory / "checkpoint")
        self.log_id = bytes.fromhex(meta["id"]) if meta else None
        named = [p for p in directory.glob("*.store") if re.fullmatch("[0-9]{20}", p.stem)]
        stores = sorted((int(path.stem), path) for path in named)
        if checkpoint and self.log_id not in (None, checkpoint["log_id"]):
            report.note("the checkpoint is another log's")
            checkpoint = None
        if checkpoint is None and stores:
            report.note("there is no valid checkpoint")
        self.start = checkpoint["start"] if checkpoint else stores[0][0] if stores else 0
        # The highest offset that is known to have been durable.
        self.durable = max(self.start, checkpoint["durable_end"]) if checkpoint else self.start
        # Accepted frames in order, with None for bytes that are none, and where they stand;
        # before those of a store its base offset, and in place of those of one that cannot be
        # read a Lost.
        self.found = []
        # Where footers say that their stores end.
        self.sealed = {}
        self.stored = read_producers(directory / "producers", self.log_id, report)
        if self.stored:
            self.durable = max(self.durable, self.stored[0])
        if checkpoint and checkpoint["producers_kind"] == 2:
            if not self.stored or self.stored[0] < self.start:
                report.damage("what is known of producers is lost in part")
        stores = [(base, path) for base, path in stores if base >= self.start]
        self.checkpoint = checkpoint
        self.check_bases([base for base, _ in stores])
        heads = [read_store_header(head_of(path), path) for _, path in stores]
        self.log_id = self.log_id or next((head[0] for head in heads if head), None)
        # For each store where the next one begins whose header is valid.
        bounds, bound = [], math.inf
        for (base, _), head in zip(reversed(stores), reversed(heads)):
            bounds.append(bound)
            if head and head[:2] == (self.log_id, base):
                bound = base
        for (base, path), head, bound in zip(stores, heads, reversed(bounds)):
            self.survey(base, path, head, bound)
        self.leave_out_strays()

    def leave_out_strays(self):
        """Tells what cannot be read from what is no store of this log."""
        end = reached = self.start
        is_broken, found = False, self.found
        self.found = []
        for path, item in found:
            if isinstance(item, Lost):
                if item.base < reached:
                    self.report.note(f"{path.name} is no store of this log")
                    continue
                self.report.damage(f"{path.name} has no valid header of this log")
            elif isinstance(item, int):
                end, is_broken = max(end, item), False
                reached = max(reached, end, self.sealed.get(path, 0))
            elif item is None:
                is_broken = True
            elif is_broken is not None:
                is_over = (is_broken or item.base != end) and end >= self.durable
                # Nothing of the store counts behind its break.
                end, is_broken = (end, None) if is_over else (max(end, item.next), False)
                reached = max(reached, end)
            self.found.append((path, item))

    def survey(self, base, path, header, bound):
        data = path.read_bytes()
        if not header or header[:2] != (self.log_id, base):
            self.found.append((path, Lost(base)))
            return
        self.durable = max(self.durable, base)
        self.found.append((path, base))
        seed = crc32c(header[0] + struct.pack("<QQ", *header[1:]))
        end, incarnation, frames, footer = base, 0, [], None
        for found in walk(data, seed):
            if isinstance(found, Footer):
                footer = found
                self.durable = max(self.durable, min(footer.end, bound))
                self.sealed[path] = min(footer.end, bound)
                break
            if found is None:
                self.found.append((path, None))
                continue
            frames.append(found)
            self.durable = max(self.durable, min(found.durable_end, found.base, bound))
            fits = found.base >= end and found.incarnation >= incarnation
            if found.payload is None or not fits or found.next > bound:
                self.found.append((path, None))
                continue
            end, incarnation = found.next, found.incarnation
            self.found.append((path, found))
        if footer:
            self.check_footer(path, footer, frames)
        self.check_mark(path, frames)
        self.check_index(path, base, frames)

    def check_footer(self, path, footer, frames):
        ends = [frames[0], frames[-1]] if frames else []
        sums = (len(frames), *(f.next for f in ends[1:]), *(f.time for f in ends))
        sums += (*(f.incarnation for f in ends[1:]), footer.at, crc_of_crcs(frames))
        if footer.sums != sums:
            self.report.damage(f"{path.name} does not amount to what its footer says")

    def check_mark(self, path, frames):
        """Whether a checkpoint of a closed log says of its segment what that holds."""
        mark = self.checkpoint
        if not mark or not mark["closed"] or mark["base"] != int(path.stem) or not frames:
            return
        first, last = frames[0], frames[-1]
        wanted = (last.next, last.incarnation, last.time, last.behind, last.at)
        wanted += (first.time, len(frames), crc_of_crcs(frames))
        names = "durable_end incarnation last_time position last_frame_at first_time frames"
        if tuple(mark[name] for name in (names + " segment_crc").split()) != wanted:
            self.report.note(f"the checkpoint does not fit {path.name}")

    def check_bases(self, bases):
        mark = self.checkpoint
        crc = crc32c(b"".join(struct.pack("<Q", base) for base in bases))
        if mark and mark["closed"] and (mark["segments"], mark["bases_crc"]) != (len(bases), crc):
            self.report.note("the checkpoint names other segments")

    def check_index(self, path, base, frames):
        index = path.with_suffix(".index")
        data = index.read_bytes() if index.exists() else b""
        wanted = [(frame.base - base, frame.at) for frame in frames]
        count = min(len(wanted), len(data) // 12)
        held = [struct.unpack_from("<IQ", data, 12 * n) for n in range(count)]
        if held != wanted:
            self.report.note(f"{index.name} is stale; it is rebuilt when it is used")

    def producers(self):
        """All producers by their ids: those of the file, and what the accepted frames add."""
        mark = self.checkpoint
        since, producers = 0, {}
        if self.stored:
            since, producers = self.stored
        elif mark and mark["producers_kind"] < 2:
            since = mark["durable_end"] if mark["producers_kind"] == 0 else mark["producers_from"]
            since = since if since <= mark["durable_end"] else 0
        for path, frame in self.found:
            if not isinstance(frame, Frame) or not any(frame.producer[0]):
                continue
            known = producers.setdefault(frame.producer[0], Producer())
            if frame.base >= since:
                known.take(frame)
            elif not known.knows(*frame.producer[1:]):
                self.report.damage(f"{path.name}: the batch at {frame.base} is not in producers")
        return producers

    def print_producers(self):
        for producer_id, producer in sorted(self.producers().items()):
            line = {"producer": producer_id.hex(), "epoch": producer.epoch, "next": producer.next}
            print(json.dumps(line | {"batches": producer.batches}))

    def print(self):
        """Prints the records from the start to the first break at or above what was durable."""
        end, is_broken = self.start, False
        for path, frame in self.found:
            if isinstance(frame, int):
                # All before a store was durable, and it begins anew.
                if frame > end:
                    self.report.damage(f"offsets {end} to {frame - 1} are lost before {path.name}")
                end, is_broken = max(end, frame), False
                continue
            if frame is None or isinstance(frame, Lost):
                is_broken = True
                continue
            if (is_broken or frame.base != end) and end >= self.durable:
                break
            if frame.base < end:
                continue
            if frame.base > end:
                self.report.damage(f"offsets {end} to {frame.base - 1} are lost before {path.name}")
            print_records(frame)
            end, is_broken = frame.next, False
        if end < self.durable:
            self.report.damage(f"offsets {end} to {self.durable - 1} are lost at the end")


def main():
    wanted = (sys.argv[3:] or ["records"])[0]
    if len(sys.argv) not in (3, 4) or wanted not in ("records", "readers", "producers"):
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    directory = Path(sys.argv[1]) / "logs" / sys.argv[2]
    if not directory.is_dir():
        print(f"error: there is no log {directory}", file=sys.stderr)
        return 2
    report = Report()
    try:
        log = Log(directory, report)
        if wanted == "readers":
            print_readers(directory / "readers", log.log_id, report)
        elif wanted == "producers":
            log.print_producers()
        else:
            log.print()
    except Unreadable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if report.is_damaged else 0


if __name__ == "__main__":
    sys.exit(main())
