"""Batches through `varve.v1.Log`, as any client appends them."""

import threading

import grpc
from log.v1 import log_pb2
from rig import PATIENCE_S, ServerCase, cases, credentials, details
from varve.v1 import log_service_pb2, record_pb2

NOT_AT_END = "NOT_AT_END"


def batch(*values, **fields):
    """A request to append one record per value to `default`."""
    records = [record_pb2.Record(value=value) for value in values]
    return log_service_pb2.ProduceRequest(log="default", records=records, **fields)


class Batches(ServerCase):
    def test_a_batch_gets_consecutive_offsets_and_is_read_record_by_record(self):
        client, reader = self.batches(), self.client()
        request = batch(b"one", b"", bytes(1000))
        request.records[0].key = b"key"
        request.records[0].headers.add(name="träge", value=b"\xff")
        reply = client.Produce(request, timeout=PATIENCE_S)
        self.assertEqual(reply.next_offset - reply.base_offset, 3)
        self.assertEqual(reply.durability, log_service_pb2.DURABILITY_SYNCED)
        for number, record in enumerate(request.records):
            offset = reply.base_offset + number
            read = reader.Consume(log_pb2.ConsumeRequest(offset=offset), timeout=PATIENCE_S)
            self.assertEqual(read.record, log_pb2.Record(value=record.value, offset=offset))

    def test_r13_a_stream_of_batches_is_answered_in_order(self):
        client, count, size = self.batches(), 500, 100
        requests = (batch(*[b"%d" % number] * size) for number in range(count))
        end = None
        for reply in client.ProduceStream(requests, timeout=5 * PATIENCE_S):
            self.assertIn(end, (None, reply.base_offset))
            end = reply.base_offset + size
            self.assertEqual(reply.next_offset, end)
        cases(count * size, f"records in batches of {size} over one stream (R13)")

    def test_r3_writers_that_race_for_each_offset_lose_nothing(self):
        """A counter in the log: each writer reads the end and appends exactly there, or retries."""
        rounds, writers = 25, 4
        first = self.batches().Produce(batch(b"begin"), timeout=PATIENCE_S).next_offset
        missed, taken = [], []

        def write(name):
            client, end = self.batches(), first
            for number in range(rounds):
                while True:
                    request = batch(b"%s %d" % (name, number), expected_offset=end)
                    try:
                        reply = client.Produce(request, timeout=PATIENCE_S)
                    except grpc.RpcError as error:
                        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
                        info = details(error)["ErrorInfo"]
                        assert info.reason == NOT_AT_END, info
                        missed.append(end)
                        assert int(info.metadata["end"]) > end
                        end = int(info.metadata["end"])
                        continue
                    taken.append(reply.base_offset)
                    end = reply.next_offset
                    break

        threads = [threading.Thread(target=write, args=(b"w%d" % n,)) for n in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(taken), list(range(first, first + rounds * writers)))
        what = f"appends at an expected offset by {writers} writers, {len(missed)} missed (R3)"
        cases(len(taken), what)

    def test_a_header_whose_name_is_no_text_is_refused_with_its_place(self):
        channel = self.server.channel(credentials("root"))
        self.addCleanup(channel.close)
        record = b"\x0a\x05\x1a\x03\x0a\x01\xff"
        call = channel.unary_unary("/varve.v1.Log/Produce")
        error = self.refusal(lambda: call(b"\x0a\x00" + record, timeout=PATIENCE_S))
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        info = details(error)["ErrorInfo"]
        self.assertEqual(info.reason, "RECORD_MALFORMED")
        self.assertEqual(info.metadata["field"], "records[1].headers[0].name")
