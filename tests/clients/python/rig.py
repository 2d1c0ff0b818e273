"""The rig of the tests: certificates, a real server, and channels to it."""

import os
import pathlib
import signal
import subprocess
import unittest

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from log.v1 import log_pb2, log_pb2_grpc
from varve.v1 import log_service_pb2_grpc

# A guard against a hang, never a wait: what is asked for comes at once.
PATIENCE_S = 20

BINARY = os.environ["VARVE_BINARY"]
FILES = pathlib.Path(os.environ["VARVE_FILES"])
REQUESTS = pathlib.Path(os.environ["VARVE_REQUESTS"])

ACL = """\
p, root, *, produce
p, root, *, consume
p, reader, default, consume
"""


def varve(*words):
    """Runs the command line and returns what it printed."""
    done = subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, f"varve {words}: {done.returncode} {done.stderr}"
    return done.stdout


def make_ca(folder):
    """A CA of its own in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    varve("certs", "ca", REQUESTS / "ca-csr.json", "--name", "ca", "--out", folder)


def issue(folder, profile, request, name):
    """A certificate of that CA, as `NAME.pem` and `NAME-key.pem` beside it."""
    varve(
        *("certs", "issue", profile, request, "--config", REQUESTS / "ca-config.json"),
        *("--ca", folder / "ca.pem", "--ca-key", folder / "ca-key.pem"),
        *("--name", name, "--out", folder),
    )


def certificates():
    """The folder of certificates that all tests share; made by the first that asks."""
    ours, theirs = FILES / "certs", FILES / "other-certs"
    if not ours.exists():
        for folder in (ours, theirs):
            make_ca(folder)
            issue(folder, "client", REQUESTS / "root-client-csr.json", "root")
        issue(ours, "client", REQUESTS / "nobody-client-csr.json", "nobody")
        issue(ours, "server", REQUESTS / "server-csr.json", "server")
    return ours, theirs


def credentials(name, folder=None, roots=None):
    """Who a client is, and whom it trusts; no `name` is a client without a certificate."""
    ours, _ = certificates()
    folder, roots = folder or ours, roots or ours
    key = (folder / f"{name}-key.pem").read_bytes() if name else None
    chain = (folder / f"{name}.pem").read_bytes() if name else None
    return grpc.ssl_channel_credentials((roots / "ca.pem").read_bytes(), key, chain)


class Server:
    """A server process on a free port of the loopback address, with a data directory of its own."""

    def __init__(self, name, settings=""):
        self.folder = FILES / name
        self.folder.mkdir()
        certs, _ = certificates()
        (self.folder / "acl.csv").write_text(ACL)
        (self.folder / "varve.toml").write_text(
            f'listen = "127.0.0.1:0"\ndata_dir = "{self.folder}/data"\n'
            f'[tls]\ncert = "{certs}/server.pem"\nkey = "{certs}/server-key.pem"\n'
            f'client_ca = "{certs}/ca.pem"\n'
            f'[acl]\nfile = "{self.folder}/acl.csv"\n{settings}\n'
        )
        self.start()

    def start(self):
        """Starts the server and returns once it takes calls."""
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--config", self.folder / "varve.toml"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            code = self.process.wait(PATIENCE_S)
            raise AssertionError(f"exit code {code}: {(self.folder / 'server.log').read_text()}")
        self.address = line.removeprefix("listening on ").strip()

    def end(self, how):
        """Ends the server by a signal and returns its exit code."""
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return code

    def channel(self, credentials_of_client):
        """A connection of its own, which nothing else shares."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        if credentials_of_client is None:
            return grpc.insecure_channel(self.address, options)
        return grpc.secure_channel(self.address, credentials_of_client, options)


class ServerCase(unittest.TestCase):
    """Tests that share a server."""

    SETTINGS = ""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.__name__, cls.SETTINGS)

    @classmethod
    def tearDownClass(cls):
        code = cls.server.end(signal.SIGTERM)
        assert code == 0, f"the server ended with {code}"

    def client(self, client_credentials="root"):
        """A stub; given a name, it is the client with the certificate of that name."""
        if isinstance(client_credentials, str):
            client_credentials = credentials(client_credentials)
        channel = self.server.channel(client_credentials)
        self.addCleanup(channel.close)
        return log_pb2_grpc.LogStub(channel)

    def batches(self, subject="root"):
        """A stub of `varve.v1.Log` with the certificate of `subject`."""
        channel = self.server.channel(credentials(subject))
        self.addCleanup(channel.close)
        return log_service_pb2_grpc.LogStub(channel)

    def refusal(self, call):
        """The error that `call` ends with."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        return caught.exception


def produce_request(value):
    """A request to append one record."""
    return log_pb2.ProduceRequest(record=log_pb2.Record(value=value))


def append(stub, *values):
    """Appends records one by one and returns their offsets."""
    return [stub.Produce(produce_request(v), timeout=PATIENCE_S).offset for v in values]


def end_of(stub):
    """The offset that the next record will get, which costs a record."""
    return append(stub, b"mark")[0] + 1


def details(error):
    """The details of an error, by the names of their messages."""
    status = rpc_status.from_call(error)
    assert status.code == error.code().value[0] and status.message == error.details()
    found = {}
    for any_message in status.details:
        name = any_message.type_url.rpartition("google.rpc.")[2]
        found[name] = getattr(error_details_pb2, name)()
        assert any_message.Unpack(found[name])
    return found


def cases(count, what):
    """Says how much was tried, for the summary that scripts/test ends with."""
    print(f"\ncases: {count} {what}", flush=True)
