"""A server as a process on this host: its start, its cost, its end."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A server or a measurement did not do what it should."""


class Process:
    """A server that was started here and listens on `port`. Its output is kept in `folder`."""

    def __init__(self, name, folder, port):
        self.name, self.folder, self.port = name, Path(folder), port
        self.started = []
        self.pid = None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def start(self, command, port=None, env=None):
        """Starts a part of it, and waits until that listens on `port`."""
        port = port or self.port
        if is_listening(port):
            raise Failed(f"{self.name}: another program has port {port}; stop it first")
        with open(self.folder / "output", "ab") as output:
            process = subprocess.Popen(
                [str(word) for word in command], env=env, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.started.append(process)
        self.pid = process.pid
        end = time.monotonic() + START_SECONDS_MAX
        while not is_listening(port):
            if process.poll() is not None or time.monotonic() > end:
                said = (self.folder / "output").read_text(errors="replace")[-1000:]
                raise Failed(f"{self.name}: {command[0]} does not listen on {port}: {said}")
            time.sleep(0.05)
        return process

    def cpu_s(self):
        """User and system time so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_mib(self):
        """Its own memory and what it shares, without mapped files, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return sum(int(lines[key].split()[0]) for key in ("RssAnon", "RssShmem")) / 1024

    def stop(self):
        """Ends its parts, the last one first, and removes its data."""
        for process in reversed(self.started):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def is_listening(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def descendants(pid):
    """`pid` and all processes below it."""
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{found[-1]}/task"):
                children = Path(f"/proc/{found[-1]}/task/{task}/children").read_text()
                left += [int(child) for child in children.split()]
    return found
