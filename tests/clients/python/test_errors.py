"""What a client is told when its request cannot be met, as other libraries decode it."""

import grpc
from grpc_status import rpc_status
from log.v1 import log_pb2
from rig import (
    PATIENCE_S,
    ServerCase,
    append,
    cases,
    credentials,
    details,
    end_of,
    produce_request,
)


class Errors(ServerCase):
    def test_beyond_the_end_names_start_and_end(self):
        client = self.client()
        end = end_of(client)
        tried = 0
        for offset in (end, end + 1, 2**63, 2**64 - 1):
            request = log_pb2.ConsumeRequest(offset=offset)
            refused = [self.refusal(lambda: client.Consume(request, timeout=PATIENCE_S))]
            if offset > end:
                stream = client.ConsumeStream(request, timeout=PATIENCE_S)
                refused.append(self.refusal(lambda: next(stream)))
            for error in refused:
                self.assertEqual(error.code(), grpc.StatusCode.OUT_OF_RANGE)
                found = details(error)
                info = found["ErrorInfo"]
                self.assertEqual(info.reason, "OFFSET_OUT_OF_RANGE")
                self.assertEqual(info.domain, "varve")
                self.assertEqual(
                    dict(info.metadata),
                    {"offset": str(offset), "start": "0", "end": str(end)},
                )
                self.assertEqual(found["LocalizedMessage"].locale, "en-US")
                self.assertIn(str(end), found["LocalizedMessage"].message)
                tried += 1
        cases(tried, "reads beyond the end, with the bounds in the details")

    def test_a_request_without_a_record_is_an_invalid_argument(self):
        client = self.client()
        (before,) = append(client, b"before")
        error = self.refusal(lambda: client.Produce(log_pb2.ProduceRequest(), timeout=PATIENCE_S))
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(details(error)["ErrorInfo"].reason, "RECORD_MISSING")
        self.assertEqual(append(client, b"after"), [before + 1])

    def test_a_bad_request_in_a_stream_ends_it_after_the_answers_to_all_before(self):
        client = self.client()
        first = end_of(client)
        requests = [produce_request(b"good")] * 50 + [log_pb2.ProduceRequest()]
        requests += [produce_request(b"never stored")] * 50
        answered = []

        def read():
            for response in client.ProduceStream(iter(requests), timeout=PATIENCE_S):
                answered.append(response.offset)

        error = self.refusal(read)
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(answered, list(range(first, first + 50)))
        self.assertEqual(append(client, b"after"), [first + 50])
        cases(len(requests), "requests of a stream with a bad one in the middle")

    def test_a_record_over_the_limit_is_refused_with_the_limit(self):
        client, limit = self.client(), 1 << 20
        append(client, bytes(limit))
        error = self.refusal(lambda: append(client, bytes(limit + 1)))
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        info = details(error)["ErrorInfo"]
        self.assertEqual(info.reason, "RECORD_TOO_LARGE")
        self.assertEqual(info.metadata["limit"], str(limit))
        self.assertEqual(info.metadata["actual"], str(limit + 1))

    def test_bytes_that_are_no_message_are_refused_and_the_server_goes_on(self):
        client = self.client()
        channel = self.server.channel(credentials("root"))
        self.addCleanup(channel.close)
        tried = [b"\xff", b"\x0a\x05x", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b", bytes(100)]
        for request in tried:
            call = channel.unary_unary("/log.v1.Log/Produce")
            error = self.refusal(lambda: call(request, timeout=PATIENCE_S))
            self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        append(client, b"still here")
        cases(len(tried), "requests that are no message")


class Legacy404(ServerCase):
    SETTINGS = "[grpc]\nlegacy_404 = true"

    def test_beyond_the_end_has_the_number_404(self):
        client = self.client()
        end = end_of(client)
        request = log_pb2.ConsumeRequest(offset=end)
        error = self.refusal(lambda: client.Consume(request, timeout=PATIENCE_S))
        # This library has no name for 404; the details carry the number.
        self.assertEqual(error.code(), grpc.StatusCode.UNKNOWN)
        self.assertIn(str(end), error.details())
        trailer = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status = rpc_status.status_pb2.Status.FromString(trailer)
        self.assertEqual(status.code, 404)
