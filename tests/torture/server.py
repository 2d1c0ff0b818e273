"""The real server as a process: its configuration, its start, its ends."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

BINARY = Path(os.environ["VARVE_BINARY"])
START_SECONDS_MAX = 30
# How a server ends whose disk failed it.
EXIT_IO = 74

_running = set()


@atexit.register
def kill_all():
    """Ends the servers that a proof left behind."""
    for server in list(_running):
        server.end()


class StartFailed(Exception):
    """The server ended before it took calls."""


class Died(Exception):
    """The server ended by itself, before or instead of the end that was meant for it."""


class Site:
    """A data directory with a configuration for it: plaintext on a free loopback port, small
    segments, everyone may do everything, also make logs by appending to them."""

    def __init__(self, folder, data=None, segment="64KiB", min_free="1MiB", retention="0B",
                 retention_age="never", archives=False, binary=BINARY):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = Path(data) if data else self.folder / "data"
        (self.folder / "acl.csv").write_text("p, anonymous, *, *\n")
        self.segment, self.min_free = segment, min_free
        self.retention, self.retention_age = retention, retention_age
        self.archives = archives
        self.binary = binary
        self.starts = 0

    def config(self, data=None, listen="127.0.0.1:0"):
        self.starts += 1
        path = self.folder / f"varve-{self.starts}.toml"
        archive = self.folder / "archive"
        if self.archives:
            archive.mkdir(exist_ok=True)
        path.write_text(f'listen = "{listen}"\n'
                        f'data_dir = "{data or self.data}"\n'
                        '[acl]\nfile = "acl.csv"\n'
                        f'[log]\nsegment_bytes_max = "{self.segment}"\n'
                        f'retention_bytes = "{self.retention}"\n'
                        f'retention_age = "{self.retention_age}"\n'
                        f'archive = {str(self.archives).lower()}\n'
                        f'[storage]\nmin_free_bytes = "{self.min_free}"\n'
                        'create_logs = true\n'
                        + (f'archive_directory = "{archive}"\n' if self.archives else '') +
                        '[insecure]\nplaintext = true\n')
        return path

    def serve(self, wrapper=(), data=None, listen="127.0.0.1:0"):
        """A server that takes calls."""
        server = self.launch(wrapper, data, listen)
        server.wait_until_serving()
        return server

    def launch(self, wrapper=(), data=None, listen="127.0.0.1:0"):
        """A server that was started and may not take calls yet."""
        config = self.config(data, listen)
        command = [*wrapper, self.binary, "serve", "--config", config]
        return Server(command, config.with_suffix(".log"))


class Server:
    """One run of the server, perhaps under strace."""

    def __init__(self, command, log_path):
        self.log_path = log_path
        self.began = time.monotonic()
        self.port = None
        self.started_s = None
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stderr=log,
                stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.ended_s = None
        self._ended = threading.Event()
        # Whether somebody was told of its end and its code.
        self._is_known_ended = False
        threading.Thread(target=self._watch, daemon=True).start()
        _running.add(self)

    def _watch(self):
        self.process.wait()
        self.ended_s = time.monotonic() - self.began
        self._ended.set()

    def wait_until_serving(self):
        line = self.process.stdout.readline()
        listening = re.match(r"listening on \S+:(\d+)$", line)
        if not listening:
            self._ended.wait(START_SECONDS_MAX)
            raise StartFailed(f"{self.log_path}: exit {self.process.poll()}: {self.log()[-600:]}")
        self.started_s = time.monotonic() - self.began
        self.port = int(listening[1])

    def pid(self):
        """The server's own process, below strace if there is one."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        comm = Path(f"/proc/{self.process.pid}/comm").read_text().strip()
        if comm != "strace":
            return self.process.pid
        return int(Path(children).read_text().split()[0])

    def signal(self, number):
        try:
            os.kill(self.pid(), number)
        except (ProcessLookupError, FileNotFoundError, IndexError):
            pass

    def is_alive(self):
        return not self._ended.is_set()

    def check_alive(self):
        """Has it that the server did not end by itself."""
        if not self.is_alive():
            raise Died(f"{self.log_path}: exit {self.process.returncode}: {self.log()[-600:]}")

    def wait(self, seconds):
        """The exit code, negative for a signal; None if it did not end in time."""
        if not self._ended.wait(seconds):
            return None
        self._is_known_ended = True
        return self.process.returncode

    def kill(self, or_ended=()):
        """As `kill -9` does, and waits for the end. Unless `wait` has told of its end before, the
        server has to live until then, or to have ended with one of the codes in `or_ended`."""
        if self._is_known_ended:
            self.end()
            return
        if not or_ended:
            self.check_alive()
        self.end()
        if self.process.returncode not in (-signal.SIGKILL, *or_ended):
            self.check_alive()

    def end(self):
        """Ends it, however it is."""
        self.signal(signal.SIGKILL)
        if self.wait(10) is None:
            self.process.kill()
            self.wait(10)
        self.process.stdout.close()
        _running.discard(self)

    def stop(self, seconds=10):
        """Asks it to end; its exit code and how long that took."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        code = self.wait(seconds)
        took = time.monotonic() - began
        self.end()
        return code, took

    def log(self):
        return self.log_path.read_text(errors="replace")

    def events(self):
        """The names of the events that it logged."""
        return re.findall(r"\bevent=(\w+)", self.log())


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
