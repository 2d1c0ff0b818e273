"""Numbered batches: a producer that is cut off sends again, and each batch is there once."""

import signal
import unittest

import grpc
from log.v1 import log_pb2, log_pb2_grpc
from rig import PATIENCE_S, Server, ServerCase, cases, credentials, details
from varve.v1 import log_service_pb2, log_service_pb2_grpc, record_pb2

ID = bytes(range(1, 17))


def numbered(sequence, epoch=0):
    """The producer's batch of this number, which holds it."""
    return log_service_pb2.ProduceRequest(
        log="default",
        records=[record_pb2.Record(value=b"%d/%d" % (epoch, sequence))],
        producer=log_service_pb2.ProducerSequence(id=ID, epoch=epoch, sequence=sequence),
    )


class ExactlyOnce(ServerCase):
    def test_r3_a_batch_that_is_sent_again_is_told_apart(self):
        client = self.batches()
        first = client.Produce(numbered(0), timeout=PATIENCE_S)
        again = client.Produce(numbered(0), timeout=PATIENCE_S)
        self.assertFalse(first.deduplicated)
        self.assertTrue(again.deduplicated)
        self.assertEqual(again.base_offset, first.base_offset)
        error = self.refusal(lambda: client.Produce(numbered(2), timeout=PATIENCE_S))
        self.assertEqual(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
        info = details(error)["ErrorInfo"]
        self.assertEqual(info.reason, "SEQUENCE_GAP")
        self.assertEqual(info.metadata["expected"], "1")


class Killed(unittest.TestCase):
    def test_r3_a_producer_whose_server_is_killed_again_and_again_loses_and_repeats_nothing(self):
        """All that was not answered is sent again, in order, with the numbers it had."""
        server = Server("KilledWhileProducing")
        total, answered, kills, resent = 1500, 0, 0, 0
        while answered < total:
            with server.channel(credentials("root")) as channel:
                stub = log_service_pb2_grpc.LogStub(channel)
                requests = (numbered(sequence) for sequence in range(answered, total))
                try:
                    for reply in stub.ProduceStream(requests, timeout=5 * PATIENCE_S):
                        self.assertEqual(reply.base_offset, answered)
                        resent += reply.deduplicated
                        answered += 1
                        if answered % 300 == 150:
                            # What is in flight now may be there or not.
                            server.end(signal.SIGKILL)
                            kills += 1
                            server.start()
                            break
                except grpc.RpcError as error:
                    self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
        with server.channel(credentials("root")) as channel:
            reader = log_pb2_grpc.LogStub(channel)
            stream = reader.ConsumeStream(log_pb2.ConsumeRequest(offset=0), timeout=PATIENCE_S)
            for sequence in range(total):
                self.assertEqual(next(stream).record.value, b"0/%d" % sequence)
            stream.cancel()
        self.assertEqual(server.end(signal.SIGTERM), 0)
        cases(total, f"numbered batches over {kills} kills, {resent} there already (R3)")
