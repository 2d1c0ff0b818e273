"""Reads what strace wrote: system calls with their order, files and bytes.

An event has two places in the order: where the call was entered and where it returned. Lines that
strace had to break (`<unfinished ...>`, `<... resumed>`) are put together again.
"""

import re
import shutil
from dataclasses import dataclass, field

CALLS = ("pwrite64,fdatasync,fsync,msync,rename,renameat,renameat2,ftruncate,fallocate,unlink,"
         "unlinkat,sendmsg,sendto,exit_group")
# What strace writes behind a call that it failed.
_INJECTED = b"(INJECTED)"
# The longest string that strace writes out.
_STRING_BYTES_MAX = 4 << 20

_LINE = re.compile(r"^(\d+) +(\d+\.\d+) (.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_RESULT = re.compile(r"\)\s+= (-?\d+|\?)(.*)$", re.DOTALL)
_FD = re.compile(r"^(\d+)<((?:[^>\\]|\\.|->)*)>")
_IOV = re.compile(r'iov_base="((?:\\x[0-9a-f]{2})*)"(\.\.\.)?, iov_len=(\d+)')
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def strace(output, *injections, calls=CALLS):
    """The command line that traces these calls of what follows it."""
    words = ["strace", "-f", "-ttt", "-y", "-xx", "-s", str(_STRING_BYTES_MAX), "-o", str(output),
             "--signal=none", "-e", f"trace={calls}"]
    for injection in injections:
        words += ["-e", f"inject={injection}"]
    return words


def is_available():
    return shutil.which("strace") is not None


class Injection:
    """Whether a call was failed by now, in a trace that is still being written."""

    def __init__(self, output):
        self.output, self.looked_at, self.is_seen = output, 0, False

    def was_made(self):
        if not self.is_seen and self.output.exists():
            with open(self.output, "rb") as trace:
                # Far enough back that a word which was cut is whole now.
                trace.seek(max(self.looked_at - len(_INJECTED), 0))
                text = trace.read()
                self.looked_at = trace.tell()
            self.is_seen = _INJECTED in text
        return self.is_seen


@dataclass
class Event:
    """A system call. `result` is None if it did not return."""

    thread: int
    call: str
    arguments: str
    entered: int
    entered_at: float
    returned: int = None
    returned_at: float = None
    result: int = None
    note: str = ""

    def is_injected(self):
        return _INJECTED.decode() in self.note

    def fd(self):
        """The number and the path or kind of the file that is the first argument."""
        found = _FD.match(self.arguments)
        return (int(found[1]), unhex(found[2])) if found else (None, None)

    def strings(self):
        return [_bytes(text) for text, _ in _STRING.findall(self.arguments)]

    def sent(self):
        """The bytes that the call handed to the kernel; all of them if the process ended before it
        returned, as they may have left by then."""
        if self.result is not None and self.result <= 0:
            return b""
        if self.call == "sendmsg":
            parts = _IOV.findall(self.arguments)
            data = b"".join(_bytes(text) for text, _, _ in parts)
        else:
            parts = _STRING.findall(self.arguments)[:1]
            data = _bytes(parts[0][0]) if parts else b""
        if self.result is None:
            return data
        if len(data) < self.result:
            raise ValueError(f"strace cut {self.call} short: {len(data)} of {self.result} bytes")
        return data[:self.result]


@dataclass
class Trace:
    events: list = field(default_factory=list)
    exit_code: int = None
    ended_at: float = None


def read(path):
    """The events of a trace in the order in which they were entered."""
    trace = Trace()
    open_calls = {}
    with open(path, encoding="ascii", errors="replace") as lines:
        for number, line in enumerate(lines):
            parsed = _LINE.match(line.rstrip("\n"))
            if not parsed:
                continue
            thread, at, text = int(parsed[1]), float(parsed[2]), parsed[3]
            if text.startswith("+++"):
                _end(trace, at, text)
            elif resumed := _RESUMED.match(text):
                event = open_calls.pop((thread, resumed[1]), None)
                if event is not None:
                    event.arguments += resumed[2]
                    _finish(event, number, at)
            else:
                event = _begin(thread, number, at, text)
                if event is None:
                    continue
                trace.events.append(event)
                if text.endswith("<unfinished ...>"):
                    event.arguments = event.arguments.removesuffix("<unfinished ...>")
                    open_calls[thread, event.call] = event
                else:
                    _finish(event, number, at)
    return trace


def _begin(thread, number, at, text):
    called = re.match(r"^(\w+)\(", text)
    if not called:
        return None
    return Event(thread, called[1], text[called.end():], number, at)


def _finish(event, number, at):
    result = _RESULT.search(event.arguments)
    if result is None or result[1] == "?":
        return
    event.returned, event.returned_at = number, at
    event.result, event.note = int(result[1]), result[2]
    event.arguments = event.arguments[:result.start()]


def _end(trace, at, text):
    if ended := re.match(r"^\+\+\+ exited with (\d+)", text):
        trace.exit_code, trace.ended_at = int(ended[1]), at
    elif text.startswith("+++ killed"):
        trace.ended_at = at


def _bytes(text):
    return bytes.fromhex(text.replace("\\x", ""))


def unhex(text):
    """A path that strace wrote with every byte escaped, or as it is."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)


class Http2:
    """Puts the gRPC messages of one direction of a connection together. `headers` gets the blocks
    of headers and trailers, as they are, each with the mark at which it was sent."""

    def __init__(self):
        self.headers = []
        self.buffer = bytearray()
        self.marks = []
        self.streams = {}

    def feed(self, data, mark):
        """Takes bytes that were sent at `mark`; yields each message that is whole now, with the
        mark at which its first byte was sent."""
        self.buffer += data
        self.marks += [mark] * len(data)
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                return
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big")
            body, marks = bytes(self.buffer[9:9 + length]), self.marks[9:9 + length]
            del self.buffer[:9 + length], self.marks[:9 + length]
            if kind == 0:
                if flags & 8:
                    body, marks = body[1:len(body) - body[0]], marks[1:len(marks) - body[0]]
                yield from self._messages(stream, body, marks)
            elif kind == 1:
                self.headers.append((body, marks[0] if marks else mark))

    def _messages(self, stream, body, marks):
        held, held_marks = self.streams.setdefault(stream, (bytearray(), []))
        held += body
        held_marks += marks
        while len(held) >= 5:
            length = int.from_bytes(held[1:5], "big")
            if len(held) < 5 + length:
                return
            yield bytes(held[5:5 + length]), held_marks[0]
            del held[:5 + length], held_marks[:5 + length]
