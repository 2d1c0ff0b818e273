"""First bytes that are no handshake which a server should go on with."""

import random
import struct

import wire

_LEGACY_SUITES = {
    "3DES": 0x000A, "RC4": 0x0005, "export RC4": 0x0003, "DES": 0x0009, "no cipher": 0x0001,
    "anonymous DH": 0x0034, "PSK": 0x008C, "Camellia": 0x0041, "SEED": 0x0096,
}


def client_hello(suites, version=0x0303, more=b""):
    """A ClientHello of TLS 1.2 or older for P-256 and RSA; without h2 it would be refused for that,
    so h2 it has."""
    listed = b"".join(struct.pack(">H", suite) for suite in suites)
    extensions = (_extension(0x0010, b"\x00\x03\x02h2") + _extension(0x000A, b"\x00\x02\x00\x17")
                  + _extension(0x000B, b"\x01\x00")
                  + _extension(0x000D, b"\x00\x04\x04\x01\x04\x03") + more)
    body = (struct.pack(">H", version) + bytes(32) + b"\x00" + struct.pack(">H", len(listed))
            + listed + b"\x01\x00" + struct.pack(">H", len(extensions)) + extensions)
    return record(22, b"\x01" + len(body).to_bytes(3, "big") + body, min(version, 0x0301))


def record(kind, content, version=0x0301):
    return struct.pack(">BHH", kind, version, len(content)) + content


def _extension(kind, content):
    return struct.pack(">HH", kind, len(content)) + content


def _ssl2():
    body = b"\x01\x00\x02" + struct.pack(">HHH", 3, 0, 16) + b"\x01\x00\x80" + bytes(16)
    return struct.pack(">H", 0x8000 | len(body)) + body


def _with_length(hello, length):
    """The record says another length than it has."""
    return hello[:3] + struct.pack(">H", length) + hello[5:]


GOOD_SUITE = 0xC02F  # ECDHE-RSA-AES128-GCM-SHA256
_HTTP2 = (wire.PREFACE + wire.SETTINGS
          + wire.call(1, wire.block("/log.v1.Log/Produce"), b"\x0a\x03\x0a\x01x"))

ALL = {
    "HTTP/2 without TLS": _HTTP2,
    "HTTP/1.1 without TLS": b"POST /log.v1.Log/Produce HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "SSL 2 hello": _ssl2(),
    "SSL 3 hello": client_hello([GOOD_SUITE, 0x002F], 0x0300),
    "64 KiB of noise": random.Random(1).randbytes(65536),
    "64 KiB of zeros": bytes(65536),
    "a hello that ends early": client_hello([GOOD_SUITE])[:60],
    "a record longer than any may be": _with_length(client_hello([GOOD_SUITE]), 0xFFFF),
    "an alert": record(21, b"\x02\x28"),
    "application data before a hello": record(23, bytes(64), 0x0303),
    "a hello without suites": client_hello([]),
    "heartbeat": client_hello([0x002F]) + record(24, b"\x01\x40\x00" + bytes(16)),
    **{f"only {name}": client_hello([suite]) for name, suite in _LEGACY_SUITES.items()},
}
