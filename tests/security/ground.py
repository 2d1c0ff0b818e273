"""A server with mutual TLS, its authority, and those who connect to it."""

import contextlib
import os
import signal
import socket
import ssl
import time
from pathlib import Path

import grpc

import pki
from proofs import check
from sealed import Sealed
from server import BINARY, Server, StartFailed

PATIENCE_S = 20


class Place:
    """A data directory, certificates, an access control list, and a configuration for them."""

    def __init__(self, folder, rules, extra=""):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.extra = extra
        self.authority = pki.root()
        self.server_holder = pki.server(self.authority)
        self.write_certificates()
        self.write("acl.csv", rules)
        self.clients = {}
        self.starts = 0
        self.port = 0
        self.server = None

    def write(self, name, content):
        """A file, put in place at once."""
        path = self.folder / name
        temporary = path.with_suffix(".new")
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
        temporary.chmod(0o600)
        temporary.rename(path)

    def write_certificates(self):
        self.write("server.pem", self.server_holder.pem())
        self.write("server-key.pem", self.server_holder.key_pem())
        self.write("ca.pem", self.authority.pem())

    def serve(self, wrapper=(), environment=None):
        """Starts the server, on the port that it had before if it had one."""
        self.starts += 1
        config = self.folder / f"varve-{self.starts}.toml"
        config.write_text(f'listen = "127.0.0.1:{self.port}"\ndata_dir = "{self.data}"\n'
                          '[tls]\ncert = "server.pem"\nkey = "server-key.pem"\n'
                          'client_ca = "ca.pem"\n[acl]\nfile = "acl.csv"\n'
                          '[storage]\nmin_free_bytes = "1MiB"\n' + self.extra)
        words = [*wrapper, BINARY, "serve", "--config", config]
        if environment:
            words = ["env", *(f"{key}={value}" for key, value in environment.items()), *words]
        self.server = Server(words, config.with_suffix(".log"))
        self.server.wait_until_serving()
        self.port = self.server.port
        return self.server

    def client(self, name):
        """The certificate of this subject."""
        if name not in self.clients:
            self.clients[name] = self.authority.client(name)
        return self.clients[name]

    def channel(self, holder):
        """A connection of its own by this certificate, or by this name's."""
        holder = self.client(holder) if isinstance(holder, str) else holder
        credentials = grpc.ssl_channel_credentials(
            self.authority.pem(), holder.key_pem(), holder.pem())
        return grpc.secure_channel(f"localhost:{self.port}", credentials,
                                   [("grpc.use_local_subchannel_pool", 1),
                                    ("grpc.max_reconnect_backoff_ms", 500)])

    def call(self, holder, path, request=b"", timeout=PATIENCE_S):
        """The reply's bytes to one call on a connection of its own; raises as gRPC does."""
        with self.channel(holder) as channel:
            return call(channel, path, request, timeout)

    def lines(self):
        return self.server.log().splitlines()

    def reload(self):
        """Reads the files again; `True` if they were taken."""
        before = len(self.answers())
        os.kill(self.server.pid(), signal.SIGHUP)
        until(lambda: len(self.answers()) > before, "an answer to SIGHUP")
        return self.answers()[before] == "reloaded"

    def answers(self):
        """What became of each reload so far."""
        return [event for event in self.server.events() if event in ("reloaded", "reload_refused")]

    def stop(self):
        """Ends the server, which must be in order."""
        code, _ = self.server.stop()
        check(code == 0, f"the server ended with {code}: {self.server.log()[-600:]}")


def call(channel, path, request=b"", timeout=PATIENCE_S):
    return channel.unary_unary(path)(request, timeout=timeout)


def refusal(function):
    """The code and text with which a call fails that has to."""
    try:
        function()
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def until(condition, what, seconds=PATIENCE_S):
    """Waits for it; how long that took."""
    began = time.monotonic()
    while not condition():
        check(time.monotonic() - began < seconds, f"waited {seconds} s for {what}")
        time.sleep(0.01)
    return time.monotonic() - began


def context(place, holder=None, alpn=("h2",), ciphers=None, versions=None):
    """For a client that Python's own TLS drives. Weak certificates do not trouble it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
    if versions:
        made.minimum_version, made.maximum_version = versions
    made.load_verify_locations(cadata=place.authority.pem().decode())
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if holder:
        stem = place.folder / f"client-{time.monotonic_ns()}"
        certificate, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
        certificate.write_bytes(holder.pem())
        key.write_bytes(holder.key_pem())
        made.load_cert_chain(certificate, key)
        certificate.unlink()
        key.unlink()
    return made


def dial(place, seconds=PATIENCE_S):
    """A plain TCP connection to the server."""
    return socket.create_connection(("127.0.0.1", place.port), timeout=seconds)


def tls(place, made, seconds=PATIENCE_S):
    """A connection with a finished handshake, as far as the client can tell."""
    raw = dial(place, seconds)
    try:
        return Sealed(raw, made)
    except BaseException:
        raw.close()
        raise


def status(pid, field):
    """A number of /proc/PID/status; of memory in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            words = line.split()
            return int(words[1]) * (1024 if words[-1] == "kB" else 1)
    raise KeyError(field)


def open_files(pid, but=None):
    """How many descriptors the process has; those of files below a folder do not count."""
    found = 0
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{number}")
            found += but is None or not target.startswith(str(but))
    return found


__all__ = ["PATIENCE_S", "Place", "StartFailed", "call", "context", "dial", "open_files",
           "refusal", "status", "tls", "until"]
