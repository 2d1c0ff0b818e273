"""HTTP/2 by the frame, over TLS or not, for clients that do not behave."""

import contextlib
import socket
import struct
import threading
import time

import hpack
from hyperframe import frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = frame.SettingsFrame(0).serialize()
SETTINGS_ACK = frame.SettingsFrame(0, flags=["ACK"]).serialize()


def block(path, *more):
    """The headers of a gRPC call, without anything that the other side would have to remember."""
    headers = [(":method", "POST"), (":scheme", "https"), (":path", path),
               (":authority", "localhost"), ("te", "trailers"),
               ("content-type", "application/grpc"), *more]
    return literal(*headers)


def literal(*headers):
    """These headers alone."""
    never = [hpack.NeverIndexedHeaderTuple(*pair) for pair in headers]
    return hpack.Encoder().encode(never, huffman=False)


def headers(stream, encoded, end=False):
    flags = ["END_HEADERS"] + (["END_STREAM"] if end else [])
    return frame.HeadersFrame(stream, encoded, flags=flags).serialize()


def data(stream, payload, end=True):
    return frame.DataFrame(stream, payload, flags=["END_STREAM"] if end else []).serialize()


def message(payload, compressed=False, length=None):
    """A gRPC message; its length is a lie if one is named."""
    length = len(payload) if length is None else length
    return struct.pack(">BI", compressed, length) + payload


def reset(stream):
    return frame.RstStreamFrame(stream, error_code=8).serialize()


def call(stream, encoded, payload):
    """A unary call as a whole."""
    return headers(stream, encoded) + data(stream, message(payload))


class Peer:
    """A connection whose answers are read on a thread of their own and only counted, apart from
    what a test asks for. SETTINGS and PINGs are answered unless it is told not to."""

    def __init__(self, sock, answers=True, preface=True):
        self.sock = sock
        self.answers = answers
        self.seen = {}
        self.statuses = {}
        self.goaway = self.error = None
        self.closed = threading.Event()
        self._decoder = hpack.Decoder()
        self._lock = threading.Lock()
        self._header = b""
        sock.settimeout(None)
        # First of all: an answer to the server's SETTINGS may not come before it.
        if preface:
            self.send(PREFACE + SETTINGS)
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, data_bytes):
        """`False` once the other side has closed."""
        try:
            with self._lock:
                self.sock.sendall(data_bytes)
            return True
        except OSError as error:
            self.error = self.error or error
            self.closed.set()
            return False

    def wait_closed(self, seconds):
        return self.closed.wait(seconds)

    def wait_status(self, stream, seconds=20):
        """The trailing grpc-status and message of a stream; None if it never came."""
        end = time.monotonic() + seconds
        while stream not in self.statuses and time.monotonic() < end:
            if self.closed.wait(0.005):
                break
        return self.statuses.get(stream)

    def count(self, kind):
        return self.seen.get(kind, 0)

    def close(self):
        for end in (lambda: self.sock.shutdown(socket.SHUT_RDWR), self.sock.close):
            with contextlib.suppress(OSError):
                end()

    def _read(self):
        buffer = bytearray()
        try:
            while chunk := self.sock.recv(1 << 16):
                buffer += chunk
                self._take(buffer)
        except (OSError, ValueError) as error:
            self.error = error
        self.closed.set()

    def _take(self, buffer):
        while len(buffer) >= 9:
            parsed, length = frame.Frame.parse_frame_header(memoryview(bytes(buffer[:9])))
            if len(buffer) < 9 + length:
                return
            parsed.parse_body(memoryview(bytes(buffer[9:9 + length])))
            del buffer[:9 + length]
            self._note(parsed)

    def _note(self, parsed):
        kind = type(parsed).__name__.removesuffix("Frame")
        self.seen[kind] = self.seen.get(kind, 0) + 1
        if kind == "GoAway":
            self.goaway = (parsed.error_code, bytes(parsed.additional_data))
        elif kind == "RstStream":
            self.statuses.setdefault(parsed.stream_id, ("reset", str(parsed.error_code)))
        elif kind == "Settings" and self.answers and "ACK" not in parsed.flags:
            self.send(SETTINGS_ACK)
        elif kind == "Ping" and self.answers and "ACK" not in parsed.flags:
            self.send(frame.PingFrame(0, parsed.opaque_data, flags=["ACK"]).serialize())
        elif kind in ("Headers", "Continuation"):
            self._headers(parsed)

    def _headers(self, parsed):
        self._header += parsed.data
        if "END_HEADERS" not in parsed.flags:
            return
        # In order, because the table of names moves with each.
        found = dict(self._decoder.decode(self._header))
        self._header = b""
        if "grpc-status" in found:
            self.statuses[parsed.stream_id] = (found["grpc-status"], found.get("grpc-message", ""))
        elif found.get(":status") != "200":
            self.statuses[parsed.stream_id] = ("http", found.get(":status"))
