"""A server with certificates from `varve certs`, logs, and those who load it."""

import json
import re
import subprocess
from pathlib import Path

from server import BINARY, Server

CERTS = Path("certs")
# A subject may be any printable ASCII, so this one is allowed, and would be markup where a page
# took it for that.
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
BUSY = 3


class Place:
    """A folder with all of it."""

    def __init__(self, folder):
        self.folder = folder
        self.listen, self.metrics = "127.0.0.1:0", "127.0.0.1:0"
        self.server, self.background = None, []
        self.certificates()
        # A quote inside quotes is doubled, as in any CSV.
        hostile = HOSTILE.replace('"', '""')
        (folder / "acl.csv").write_text(f'p, root, *, *\np, "{hostile}", *, consume\n')

    def certificates(self):
        out = ["--out", self.folder]
        run("certs", "ca", CERTS / "ca-csr.json", *out)
        self.issue("server", CERTS / "server-csr.json", "server")
        self.issue("client", CERTS / "root-client-csr.json", "root")
        request = self.folder / "hostile.json"
        key = {"algo": "ecdsa", "size": 256}
        request.write_text(json.dumps({"CN": HOSTILE, "key": key}))
        self.issue("client", request, "hostile")

    def issue(self, profile, request, name):
        authority = ["--ca", self.folder / "ca.pem", "--ca-key", self.folder / "ca-key.pem"]
        run("certs", "issue", profile, request, "--config", CERTS / "ca-config.json", *authority,
            "--out", self.folder, "--name", name)

    def serve(self):
        """Starts the server, at the addresses that it had before if it had any."""
        files = ["--cert", self.folder / "server.pem", "--key", self.folder / "server-key.pem",
                 "--client-ca", self.folder / "ca.pem", "--acl", self.folder / "acl.csv"]
        places = ["--listen", self.listen, "--metrics", self.metrics,
                  "--data-dir", self.folder / "data"]
        self.server = Server([BINARY, "serve", *places, *files], self.folder / "server.log")
        self.server.wait_until_serving()
        self.listen = f"127.0.0.1:{self.server.port}"
        line = self.server.process.stdout.readline()
        self.metrics = re.match(r"metrics and status on http://(\S+)/$", line)[1]

    @property
    def origin(self):
        return f"http://{self.metrics}"

    def client(self, *words, name="root", **how):
        """A command that connects to the server."""
        own = ["--server", self.listen, "--ca", self.folder / "ca.pem",
               "--cert", self.folder / f"{name}.pem", "--key", self.folder / f"{name}-key.pem"]
        return run(*words, *own, **how)

    def start(self, *words, name="root"):
        """A client that runs until the end."""
        own = ["--server", self.listen, "--ca", self.folder / "ca.pem",
               "--cert", self.folder / f"{name}.pem", "--key", self.folder / f"{name}-key.pem"]
        command = [str(word) for word in (BINARY, *words, *own)]
        self.background.append(subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))

    def fill(self):
        """Logs: one that rests and has several segments, and some that are busy."""
        for name in ["quiet", *(f"busy-{n}" for n in range(1, BUSY + 1))]:
            self.client("log", "create", name, "--segment-bytes-max", "256KiB")
        # Segments of different lengths, so that proportions tell something.
        for records in (3000, 700, 2000):
            value = "x" * 99 + "\n"
            self.client("produce", "--log", "quiet", input=value * records)

    def load(self):
        """Producers into the busy logs, readers that follow, and one with a hostile name."""
        self.start("bench", "produce", "--log", "busy", "--logs", str(BUSY), "--streams",
                   str(BUSY), "--batch-records", "20", "--rate", "3000", "--duration", "10m")
        self.start("consume", "--log", "busy-1", "--follow", "--reader", "billing", "--from",
                   "earliest", "--commit")
        self.start("consume", "--log", "quiet", "--follow", name="hostile")

    def end(self):
        """Ends everything that was started."""
        for process in self.background:
            process.terminate()
        for process in self.background:
            process.wait(20)
        self.background.clear()
        if self.server:
            self.server.stop()


def run(*words, input=None):
    """Runs the program to its end; what it printed."""
    command = [str(word) for word in (BINARY, *words)]
    done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout
