"""Producers of `varve.v1` that ask for each level of durability, send a batch again before it is
synced, and ask where the log ends."""

import time

import grpc
from batches import Batches
from history import Ack
from load import Worker
from varve.v1 import log_service_pb2, log_service_pb2_grpc

# No log here is as long.
FAR = 1 << 40


class Asker(Worker):
    """Appends a batch as written and sends it again at once, to be synced; then asks twice for the
    end, by a condition that does not hold and by a read beyond it. Counts what was answered: an
    answer may name a higher level than was asked for."""

    def __init__(self, server, log, history):
        super().__init__(server)
        self.stub = log_service_pb2_grpc.LogStub(self.channel)
        self.log = log
        self.batches = Batches(history, numbered=True)
        self.written = self.synced = self.again = self.ends = 0

    def work(self):
        while not self.stopping.is_set():
            request = self.batches.request(self.log, self.batches.answered)
            request.durability = log_service_pb2.DURABILITY_WRITTEN
            reply = self.stub.Produce(request, timeout=30)
            if not self.batches.answer(reply):
                self.wrong.append(f"a batch was answered with {reply}")
            self.written += reply.durability == log_service_pb2.DURABILITY_WRITTEN
            self.synced += reply.durability == log_service_pb2.DURABILITY_SYNCED
            self.send_again(request, reply)
            self.ask(self.stub.Produce, log_service_pb2.ProduceRequest(
                log=self.log, records=request.records, expected_offset=FAR))
            self.ask(self.stub.Consume, log_service_pb2.ConsumeRequest(log=self.log, offset=FAR))

    def send_again(self, request, first):
        stream, sent_ns = self.batches.stream, time.monotonic_ns()
        request.durability = log_service_pb2.DURABILITY_SYNCED
        reply = self.stub.Produce(request, timeout=30)
        same = reply.base_offset == first.base_offset
        if not (reply.deduplicated and same and reply.durability == request.durability):
            self.wrong.append(f"a batch that was sent again was answered with {reply}")
        stream.acks.append(Ack(stream.batches[-1], reply.base_offset, sent_ns,
                               time.monotonic_ns(), len(request.records), again=True))
        self.synced += 1
        self.again += 1

    def ask(self, call, request):
        try:
            answer = call(request, timeout=30)
            self.wrong.append(f"beyond the end came {answer}")
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.OUT_OF_RANGE,
                                    grpc.StatusCode.FAILED_PRECONDITION):
                raise
            self.ends += 1
