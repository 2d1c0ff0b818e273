"""Who is refused: strangers at the door, and the known ones without permission."""

import json

import grpc
from log.v1 import log_pb2
from rig import (
    FILES,
    PATIENCE_S,
    REQUESTS,
    ServerCase,
    append,
    cases,
    certificates,
    credentials,
    issue,
    produce_request,
)


def calls(stub):
    """Each of the four calls, with what it does."""
    return [
        ("produce", lambda: stub.Produce(produce_request(b"x"), timeout=PATIENCE_S)),
        ("consume", lambda: stub.Consume(log_pb2.ConsumeRequest(), timeout=PATIENCE_S)),
        (
            "produce",
            lambda: list(stub.ProduceStream(iter([produce_request(b"x")]), timeout=PATIENCE_S)),
        ),
        (
            "consume",
            lambda: list(stub.ConsumeStream(log_pb2.ConsumeRequest(), timeout=PATIENCE_S)),
        ),
    ]


class Refusals(ServerCase):
    def test_nobody_is_refused_everything_by_name(self):
        append(self.client(), b"secret")
        for action, call in calls(self.client("nobody")):
            error = self.refusal(call)
            self.assertEqual(error.code(), grpc.StatusCode.PERMISSION_DENIED)
            self.assertEqual(error.details(), f"nobody not permitted to {action} to default")
        cases(4, "calls of a client without permission, all refused")

    def test_a_reader_may_read_and_not_write(self):
        (offset,) = append(self.client(), b"for readers")
        certs, _ = certificates()
        request = FILES / "reader-csr.json"
        names = json.loads((REQUESTS / "root-client-csr.json").read_text())
        request.write_text(json.dumps({**names, "CN": "reader"}))
        issue(certs, "client", request, "reader")
        reader = self.client("reader")
        response = reader.Consume(log_pb2.ConsumeRequest(offset=offset), timeout=PATIENCE_S)
        self.assertEqual(response.record.value, b"for readers")
        error = self.refusal(lambda: append(reader, b"x"))
        self.assertEqual(error.details(), "reader not permitted to produce to default")

    def test_a_refused_stream_leaves_nothing_behind(self):
        client = self.client()
        (before,) = append(client, b"before")
        requests = (produce_request(b"%d" % n) for n in range(100))
        stream = self.client("nobody").ProduceStream(requests, timeout=PATIENCE_S)
        error = self.refusal(lambda: list(stream))
        self.assertEqual(error.code(), grpc.StatusCode.PERMISSION_DENIED)
        self.assertEqual(append(client, b"after"), [before + 1])

    def test_strangers_do_not_get_past_the_handshake(self):
        ours, theirs = certificates()
        strangers = {
            "no certificate": credentials(None),
            "another CA's client of the same name": credentials("root", folder=theirs),
            "a server's certificate": credentials("server"),
            "a client that trusts another CA": credentials("root", roots=theirs),
            "no TLS": None,
        }
        for who, identity in strangers.items():
            channel = self.server.channel(identity)
            self.addCleanup(channel.close)
            call = channel.unary_unary("/log.v1.Log/Produce")
            request = produce_request(b"x").SerializeToString()
            with self.subTest(who):
                error = self.refusal(lambda: call(request, timeout=PATIENCE_S))
                self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
        cases(len(strangers), "strangers refused before any call")

    def test_a_method_that_is_not_there_is_unimplemented(self):
        channel = self.server.channel(credentials("root"))
        self.addCleanup(channel.close)
        paths = ["/log.v1.Log/Trim", "/log.v1.Log/produce", "/log.v2.Log/Produce", "/x"]
        for path in paths:
            error = self.refusal(lambda: channel.unary_unary(path)(b"", timeout=PATIENCE_S))
            self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)
        cases(len(paths), "paths that are no method")
