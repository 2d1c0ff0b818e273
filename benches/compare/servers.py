"""The servers that are compared, each with a fresh data directory."""

import os
import subprocess
from pathlib import Path

from processes import Failed, Process, descendants

VARVE_PORT, NULL_PORT, NULL_DISK_PORT = 18400, 18401, 18402


class Site:
    """A folder with certificates for Varve, made from the requests in `certs`."""

    def __init__(self, varve, root, folder):
        self.varve, self.folder = Path(varve), Path(folder)
        requests, self.certs = Path(root) / "certs", self.folder / "certs"
        self.certs.mkdir(parents=True)
        self._make("ca", requests / "ca-csr.json", "--name", "ca")
        for profile, name, request in (
                ("server", "server", "server-csr.json"), ("client", "root", "root-client-csr.json")):
            self._make("issue", profile, requests / request, "--config",
                       requests / "ca-config.json", "--ca", self.certs / "ca.pem", "--ca-key",
                       self.certs / "ca-key.pem", "--name", name)

    def _make(self, *words):
        command = [self.varve, "certs", *words, "--out", self.certs]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)

    def file(self, name):
        return self.certs / name

    def serve(self, folder="varve", port=VARVE_PORT):
        """Varve, with its defaults."""
        server = Process("varve", self.folder / folder, port)
        (server.folder / "acl.csv").write_text("p, root, *, *\n")
        (server.folder / "varve.toml").write_text(
            f'listen = "127.0.0.1:{port}"\ndata_dir = "data"\n[tls]\n'
            f'cert = "{self.file("server.pem")}"\nkey = "{self.file("server-key.pem")}"\n'
            f'client_ca = "{self.file("ca.pem")}"\n[acl]\nfile = "acl.csv"\n')
        server.start([self.varve, "serve", "--config", server.folder / "varve.toml"])
        return server

    def serve_null(self, with_disk, record_bytes=100):
        """The null server, which keeps nothing or a file without any order."""
        port = NULL_DISK_PORT if with_disk else NULL_PORT
        name = "null+disk" if with_disk else "null"
        server = Process(name, self.folder / name, port)
        server.start([
            self.varve, "bench", "null", "--listen", f"127.0.0.1:{port}",
            "--cert", self.file("server.pem"), "--key", self.file("server-key.pem"),
            "--client-ca", self.file("ca.pem"), "--record-bytes", record_bytes,
            *(["--disk", server.folder] if with_disk else [])])
        return server

    def client_flags(self, server):
        return ["--server", f"127.0.0.1:{server.port}", "--ca", self.file("ca.pem"),
                "--cert", self.file("root.pem"), "--key", self.file("root-key.pem")]


def redis(folder, fsync):
    server = Process(f"redis {fsync}", folder / f"redis-{fsync}", 6379)
    (server.folder / "redis.conf").write_text(
        f'bind 127.0.0.1\nport 6379\ndaemonize no\ndir {server.folder}\nsave ""\n'
        f'appendonly yes\nappendfsync {fsync}\nauto-aof-rewrite-percentage 0\n'
        'loglevel warning\n')
    server.start(["redis-server", server.folder / "redis.conf"])
    return server


def nats(folder):
    server = Process("nats", folder / "nats", 4222)
    (server.folder / "nats.conf").write_text(
        'listen: 127.0.0.1:4222\n'
        f'jetstream {{ store_dir: "{server.folder}/jetstream", max_file: 20GB, max_mem: 1GB }}\n')
    server.start(["nats-server", "-c", server.folder / "nats.conf"])
    return server


def rabbit(folder):
    server = Process("rabbitmq", folder / "rabbitmq", 5552)
    (server.folder / "plugins").write_text("[rabbitmq_stream].\n")
    (server.folder / "rabbitmq.conf").write_text(
        "listeners.tcp.1 = 127.0.0.1:5672\nstream.listeners.tcp.1 = 127.0.0.1:5552\n"
        "stream.advertised_host = 127.0.0.1\nlog.console = false\n")
    env = dict(
        os.environ, HOME=str(server.folder), RABBITMQ_NODENAME="bench@localhost",
        RABBITMQ_MNESIA_BASE=f"{server.folder}/mnesia", RABBITMQ_LOG_BASE=f"{server.folder}/log",
        RABBITMQ_ENABLED_PLUGINS_FILE=f"{server.folder}/plugins",
        RABBITMQ_CONFIG_FILE=f"{server.folder}/rabbitmq",
        RABBITMQ_CONF_ENV_FILE=f"{server.folder}/none", RABBITMQ_PID_FILE=f"{server.folder}/pid",
        ERL_EPMD_ADDRESS="127.0.0.1",
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}")
    server.start(["epmd", "-address", "127.0.0.1"], 4369, env)
    # Not the wrapper in the path, which changes the user.
    listed = subprocess.run(["dpkg", "-L", "rabbitmq-server"], check=True, capture_output=True,
                            text=True).stdout.split()
    wrapped = [path for path in listed if path.endswith("/lib/rabbitmq/bin/rabbitmq-server")]
    if not wrapped:
        raise Failed("rabbitmq: the package has no lib/rabbitmq/bin/rabbitmq-server")
    broker = server.start(wrapped[:1], env=env)
    beams = [pid for pid in descendants(broker.pid)
             if "beam" in Path(f"/proc/{pid}/comm").read_text()]
    server.pid = beams[0]
    return server
