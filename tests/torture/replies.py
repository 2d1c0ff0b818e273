"""What the messages that left the server vouch for, in the bytes that a trace has of them."""

import re
from dataclasses import dataclass

from varve.v1 import log_service_pb2

# What is said of the records below an offset.
ACKNOWLEDGED = "acknowledged"
WRITTEN = "acknowledged as written"
SENT = "sent to a consumer"
END = "told to be below the end"

# The value of `end` in the details of an error: an entry of a map, whose key is field 1.
_END = re.compile(rb"\x0a\x03end\x12([\x01-\x14])([0-9]{1,20})")


@dataclass
class Reply:
    """A message that left the server: the last offset that it vouches for, what it says of it, and
    where in the order its first byte left."""

    offset: int
    what: str
    at: int

    def is_ack(self):
        return self.what in (ACKNOWLEDGED, WRITTEN)


def of_log_v1(message, at):
    """A ProduceResponse is empty or begins with field 1, a ConsumeResponse with field 2."""
    if not message:
        return [Reply(0, ACKNOWLEDGED, at)]
    if message[0] == 0x08:
        return [Reply(varint(message, 1)[0], ACKNOWLEDGED, at)]
    if message[0] == 0x12:
        _, start = varint(message, 1)
        return [Reply(offset_of_record(message[start:]), SENT, at)]
    return []


def of_varve_v1(message, at):
    """A ProduceResponse begins with field 1 or 2, which are numbers, as nothing else does here."""
    if message[:1] in (b"\x08", b"\x10"):
        reply = log_service_pb2.ProduceResponse.FromString(message)
        levels = {log_service_pb2.DURABILITY_SYNCED: ACKNOWLEDGED,
                  log_service_pb2.DURABILITY_WRITTEN: WRITTEN}
        what = levels.get(reply.durability)
        return [Reply(reply.next_offset - 1, what, at)] if what else []
    reply = log_service_pb2.ConsumeResponse.FromString(message)
    found = [Reply(batch.base_offset + len(batch.records) - 1, SENT, at)
             for batch in reply.batches]
    # At the start of a log there is nothing below.
    return found + [Reply(reply.high_watermark - 1, END, at)] * (reply.high_watermark > 0)


def ends_in(trailers, at):
    """The ends that an error tells."""
    found = [int(digits[:length[0]]) for length, digits in _END.findall(trailers)]
    return [Reply(end - 1, END, at) for end in found if end > 0]


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
