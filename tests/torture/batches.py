"""Producers and consumers of several logs that drop their oldest records.

They write down what they see, as those of `load` do, and end once the server is gone or they are
told to stop.
"""

import hashlib
import threading
import time

import grpc
from history import Ack, Held, History, value_of
from load import NEVER, Load, Worker, channel_to, wait_until
from varve.v1 import log_service_pb2, log_service_pb2_grpc, record_pb2

# The log of single records, and those of batches. Each drops its oldest records beyond RETENTION.
SINGLE = "default"
NAMES = ("batches", "numbered")
RETENTION = "1MiB"
# What of that is values rather than what joins them, at the least.
KEPT_BYTES_MIN = 1 << 18


class BatchWorker(Worker):
    """A producer or consumer of one log over `varve.v1`."""

    def __init__(self, server, log):
        super().__init__(server)
        self.log = log
        self.stub = log_service_pb2_grpc.LogStub(self.channel)


class Batches:
    """What a producer of batches has sent and what was answered. It outlives connections, and one
    that is `numbered` sends again what was not answered."""

    def __init__(self, history, numbered):
        self.stream = history.new_stream(ordered=True)
        self.numbered = numbered
        self.answered = 0
        # Of each batch its first record, and when it was first sent.
        self.sent_ns = []

    def request(self, log, number):
        """The batch of this number, which is made if it was never sent."""
        stream = self.stream
        if number == len(stream.batches):
            stream.batches.append(stream.sent)
            self.sent_ns.append(time.monotonic_ns())
            stream.sent += _size_of(stream.number, number)
        first, end = self.bounds(number)
        records = [record_pb2.Record(value=value_of(stream.number, n)) for n in range(first, end)]
        request = log_service_pb2.ProduceRequest(log=log, records=records)
        if self.numbered:
            request.producer.id = _id_of(stream.number)
            request.producer.sequence = number
        return request

    def answer(self, reply):
        first, end = self.bounds(self.answered)
        again = reply.deduplicated
        self.stream.acks.append(Ack(first, reply.base_offset, self.sent_ns[self.answered],
                                    time.monotonic_ns(), end - first, again))
        self.answered += 1
        return reply.next_offset - reply.base_offset == end - first

    def bounds(self, number):
        return self.stream.batch_of(self.stream.batches[number])


class BatchProducer(BatchWorker):
    """A ProduceStream with up to `window` batches in flight."""

    def __init__(self, server, log, batches, window):
        super().__init__(server, log)
        self.batches, self.window = batches, window
        self.next = batches.answered
        self.room = threading.Condition()
        self.over = False

    def work(self):
        try:
            for reply in self.stub.ProduceStream(self.requests()):
                with self.room:
                    if not self.batches.answer(reply):
                        self.wrong.append(f"a batch was answered with {reply}")
                    self.room.notify()
        finally:
            with self.room:
                self.over = True
                self.room.notify()

    def requests(self):
        while True:
            with self.room:
                self.room.wait_for(lambda: self.has_room() or self.over or self.stopping.is_set())
                if self.over or self.stopping.is_set():
                    return
                number, self.next = self.next, self.next + 1
                request = self.batches.request(self.log, number)
            yield request

    def has_room(self):
        return self.next - self.batches.answered < self.window

    def stop(self):
        with self.room:
            self.stopping.set()
            self.room.notify()


class Follower(BatchWorker):
    """A ConsumeStream that begins at an offset and waits at the tail; what was dropped before it
    came there is passed over."""

    def __init__(self, server, log, history, start):
        super().__init__(server, log)
        self.history = history
        self.sight = history.new_sight(start)
        self.call = None

    def work(self):
        self.call = self.stub.ConsumeStream(log_service_pb2.ConsumeRequest(
            log=self.log, offset=self.sight.start,
            on_trimmed=log_service_pb2.GAP_POLICY_SKIP))
        for reply in self.call:
            if reply.HasField("gap"):
                self.sight = self.history.new_sight(reply.gap.to_offset)
            for batch in reply.batches:
                expected = self.sight.start + len(self.sight.values)
                if batch.base_offset != expected:
                    self.wrong.append(f"a consumer of {self.log} was sent {batch.base_offset}"
                                      f" for {expected}")
                self.sight.values += [record.value for record in batch.records]

    def stop(self):
        super().stop()
        if self.call is not None:
            self.call.cancel()


class World:
    """All that was seen of the logs of one server."""

    def __init__(self):
        self.histories = {name: History(KEPT_BYTES_MIN) for name in (SINGLE, *NAMES)}
        # They number their batches and live on when the server does not.
        self.numbered = [Batches(self.histories["numbered"], numbered=True) for _ in range(2)]

    def acknowledged(self):
        return sum(history.acknowledged() for history in self.histories.values())

    def held(self):
        """How many records were in the logs at the last look, and how many had been dropped."""
        settled = [history.settled for history in self.histories.values()]
        return sum(len(held.values) for held in settled), sum(held.start for held in settled)


class Crowd:
    """Eight producers and three consumers on the logs of a world."""

    def __init__(self, server, world, rng):
        histories = world.histories
        self.single = Load(server, histories[SINGLE], rng, streams=2, callers=2, consumers=0)
        fresh = [Batches(histories["batches"], numbered=False) for _ in range(2)]
        self.producers = [BatchProducer(server, log, batches, rng.choice([1, 4, 32]))
                          for log, many in (("batches", fresh), ("numbered", world.numbered))
                          for batches in many]
        ends = {log: histories[log].settled.end() for log in histories}
        self.consumers = [Follower(server, log, histories[log], rng.choice([0, end, end]))
                          for log, end in ends.items()]
        self.marked = []
        for worker in self.producers + self.consumers:
            worker.start()

    def acknowledged(self):
        """Of which log the fewest appends were acknowledged, and how many."""
        batches = [producer.batches.stream.acknowledged() for producer in self.producers]
        return min(self.single.acknowledged(), *batches)

    def wait_for_acks(self, count, seconds=30):
        return wait_until(lambda: self.acknowledged() >= count, seconds)

    def workers(self):
        return self.single.workers() + self.producers + self.consumers

    def stop(self):
        """Has the producers finish what is in flight, then ends the consumers."""
        self.single.stop()
        for workers in (self.producers, self.consumers):
            for worker in workers:
                worker.stop()
            self.single.join(workers)

    def join(self):
        """Waits for the workers to end, as they do once the server is gone."""
        self.single.join(self.workers())

    def mark(self):
        """Remembers what was seen up to now; `forget_since_mark` takes the rest for unseen."""
        self.single.mark()
        self.marked = [(seen, len(seen)) for seen in self.seen()]

    def forget_since_mark(self):
        self.single.forget_since_mark()
        marked = {id(seen): length for seen, length in self.marked}
        for seen in self.seen():
            del seen[marked.get(id(seen), 0):]
        for producer in self.producers:
            batches = producer.batches
            batches.answered = batches.stream.acknowledged()

    def seen(self):
        yield from (producer.batches.stream.acks for producer in self.producers)
        yield from (sight.values for consumer in self.consumers
                    for sight in consumer.history.sights)

    def wrong(self):
        workers = self.producers + self.consumers
        return self.single.wrong() + [fault for worker in workers for fault in worker.wrong]

    def misheard(self):
        """As that of a load."""
        workers = self.producers + self.consumers
        return self.single.misheard() + [
            f"{type(worker).__name__} of {worker.log} ended with {worker.status}"
            for worker in workers if worker.status in NEVER]


def read_log(server, name, history, patience_s=5.0):
    """Everything that a log holds, up to a batch that is appended now. Refusals for want of space
    are borne for so long."""
    with channel_to(server) as channel:
        stub = log_service_pb2_grpc.LogStub(channel)
        end = append_one(stub, name, history, patience_s)
        held = Held(history.settled.start, [])
        call = stub.ConsumeStream(
            log_service_pb2.ConsumeRequest(log=name, offset=held.start,
                                           on_trimmed=log_service_pb2.GAP_POLICY_SKIP), timeout=60)
        for answer in call:
            if answer.HasField("gap"):
                held = Held(answer.gap.to_offset, [])
            for batch in answer.batches:
                if batch.base_offset != held.end():
                    raise AssertionError(f"read {batch.base_offset} where {held.end()} was due")
                held.values += [record.value for record in batch.records]
            if held.end() >= end:
                break
        call.cancel()
    return held


def append_one(stub, name, history, patience_s):
    """Appends a batch; the offset behind it."""
    deadline = time.monotonic() + patience_s
    while True:
        batch = Batches(history, numbered=False)
        try:
            reply = stub.Produce(batch.request(name, 0), timeout=30)
        except grpc.RpcError as error:
            no_space = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            if not no_space or time.monotonic() > deadline:
                raise
            batch.stream.refused += range(batch.stream.sent)
            time.sleep(0.05)
            continue
        batch.answer(reply)
        return reply.next_offset


def _size_of(stream, number):
    """How many records the batch has."""
    return 1 + hashlib.blake2b(b"%d/%d" % (stream, number)).digest()[0] % 12


def _id_of(stream):
    return hashlib.blake2b(b"producer %d" % stream, digest_size=16).digest()
