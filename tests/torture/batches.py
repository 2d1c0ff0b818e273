"""Producers and consumers of several logs, of which all but one drop their oldest records.

They write down what they see, as those of `load` do, and end once the server is gone or they are
told to stop.
"""

import hashlib
import threading
import time

import grpc
from history import Ack, Held, History, value_of
from load import Load, Producer, Reader, channel_to, idle, wait_until
from varve.v1 import (admin_service_pb2, admin_service_pb2_grpc, log_service_pb2,
                      log_service_pb2_grpc, record_pb2)

# The log of single records, and those of batches. Each drops its oldest records beyond RETENTION.
SINGLE = "default"
NAMES = ("batches", "numbered")
RETENTION = "1MiB"
# What of that is values, at the least. A segment goes only while there is more than RETENTION, so
# what stays is short of it by that segment: 64 KiB, or the batch that needs one of its own. Of the
# rest some 110 KiB are no values: 94 bytes in each frame of 819 on average. The bound leaves room
# for frames of less than half of that.
KEPT_BYTES_MIN = 640 << 10
# The log that drops nothing. All of it is read at each look, so no crowd appends more than this.
WHOLE = "whole"
WHOLE_APPENDS_MAX = 16
WHOLE_PAUSE_S = 0.02


class Batches:
    """What a producer of batches has sent and what was answered. It outlives connections, and one
    that is `numbered` sends again what was not answered."""

    def __init__(self, history, numbered):
        self.stream = history.new_stream(ordered=True)
        self.numbered = numbered
        # Of each batch when it was first sent, and of those that were answered where they are.
        self.sent_ns = []
        self.offsets = []
        # How many batches that were sent again were answered as such.
        self.recognised = 0

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
        """Takes the answer to the first batch that has none; whether it can be right."""
        number = self.answered
        first, end = self.bounds(number)
        self.recognised += reply.deduplicated
        self.stream.acks.append(Ack(first, reply.base_offset, self.sent_ns[number],
                                    time.monotonic_ns(), end - first, reply.deduplicated))
        self.offsets.append(reply.base_offset)
        return (reply.next_offset - reply.base_offset == end - first
                and (self.numbered or not reply.deduplicated))

    def answer_again(self, number, reply):
        """The same for a batch that was answered before, and so has to be recognised."""
        first, end = self.bounds(number)
        self.recognised += reply.deduplicated
        return reply.deduplicated and (
            (reply.base_offset, reply.next_offset - reply.base_offset)
            == (self.offsets[number], end - first))

    @property
    def answered(self):
        return len(self.offsets)

    def bounds(self, number):
        return self.stream.batch_of(self.stream.batches[number])


class BatchProducer(Producer):
    """A ProduceStream with up to `window` batches in flight. One that numbers them begins with the
    last that was answered, which has to be recognised."""

    def __init__(self, server, log, batches, window):
        super().__init__(server, batches.stream)
        self.stub = log_service_pb2_grpc.LogStub(self.channel)
        self.log, self.batches, self.window = log, batches, window
        self.first = max(0, batches.answered - batches.numbered)
        self.next = self.first
        self.room = threading.Condition()
        self.over = False

    def work(self):
        try:
            number = self.first
            for reply in self.stub.ProduceStream(self.requests()):
                with self.room:
                    if not self.take(number, reply):
                        self.wrong.append(f"{self.what()}: {reply} for batch {number}")
                    number += 1
                    self.room.notify()
            self.check_whole(self.next, number)
        finally:
            with self.room:
                self.over = True
                self.room.notify()

    def take(self, number, reply):
        if number < self.batches.answered:
            return self.batches.answer_again(number, reply)
        return self.batches.answer(reply)

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

    def what(self):
        return f"a producer of {self.log}"


class WholeProducer(Producer):
    """A few appends to the log that drops nothing, one after the other."""

    def __init__(self, server, history):
        super().__init__(server, history.new_stream(ordered=True))
        self.stub = log_service_pb2_grpc.LogStub(self.channel)

    def work(self):
        for sequence in range(WHOLE_APPENDS_MAX):
            if self.stopping.wait(WHOLE_PAUSE_S):
                break
            self.stream.sent += 1
            record = record_pb2.Record(value=value_of(self.stream.number, sequence))
            sent_ns = time.monotonic_ns()
            reply = self.stub.Produce(
                log_service_pb2.ProduceRequest(log=WHOLE, records=[record]), timeout=30)
            self.stream.acks.append(
                Ack(sequence, reply.base_offset, sent_ns, time.monotonic_ns()))

    def what(self):
        return f"a producer of {WHOLE}"


class Follower(Reader):
    """A ConsumeStream that begins at an offset and waits at the tail; what was dropped before it
    came there is passed over."""

    def __init__(self, server, log, history, start):
        super().__init__(server, history, start)
        self.stub = log_service_pb2_grpc.LogStub(self.channel)
        self.log = log

    def open(self):
        return self.stub.ConsumeStream(log_service_pb2.ConsumeRequest(
            log=self.log, offset=self.sight.start,
            on_trimmed=log_service_pb2.GAP_POLICY_SKIP))

    def take(self, reply):
        if reply.HasField("gap"):
            at = self.sight.start + len(self.sight.values)
            if not is_dropped(reply, at):
                self.wrong.append(f"{self.what()} at {at} was told of {reply}")
            self.history.gaps.append(reply.gap.to_offset)
            self.sight = self.history.new_sight(reply.gap.to_offset)
        for batch in reply.batches:
            self.see(batch.base_offset, [record.value for record in batch.records])

    def what(self):
        return f"a consumer of {self.log}"


class World:
    """All that was seen of the logs of one server."""

    def __init__(self):
        self.histories = {name: History(KEPT_BYTES_MIN) for name in (SINGLE, *NAMES)}
        self.histories[WHOLE] = History()
        # They number their batches and live on when the server does not.
        self.numbered = [Batches(self.histories["numbered"], numbered=True) for _ in range(2)]
        self.is_begun = False

    def begin(self, server):
        """Makes the log that drops nothing; the others are made as they are appended to."""
        if not self.is_begun:
            with channel_to(server) as channel:
                settings = admin_service_pb2.LogSettings(retention_bytes=0)
                admin_service_pb2_grpc.AdminStub(channel).CreateLog(
                    admin_service_pb2.CreateLogRequest(log=WHOLE, settings=settings), timeout=30)
            self.is_begun = True

    def acknowledged(self):
        return sum(history.acknowledged() for history in self.histories.values())

    def consumed(self):
        return sum(history.consumed for history in self.histories.values())

    def recognised(self):
        return sum(batches.recognised for batches in self.numbered)

    def held(self):
        """How many records were in the logs at the last look, and how many had been dropped."""
        settled = [history.settled for history in self.histories.values()]
        return sum(len(held.values) for held in settled), sum(held.start for held in settled)


class Crowd:
    """Nine producers and four consumers on the logs of a world."""

    def __init__(self, server, world, rng):
        self.server, histories = server, world.histories
        self.single = Load(server, histories[SINGLE], rng, streams=2, callers=2, consumers=0)
        fresh = [Batches(histories["batches"], numbered=False) for _ in range(2)]
        self.batchers = [BatchProducer(server, log, batches, rng.choice([1, 4, 32]))
                         for log, many in (("batches", fresh), ("numbered", world.numbered))
                         for batches in many]
        self.producers = [*self.batchers, WholeProducer(server, histories[WHOLE])]
        ends = {log: histories[log].settled.end() for log in histories}
        self.consumers = [Follower(server, log, histories[log], rng.choice([0, end, end]))
                          for log, end in ends.items()]
        self.marked = []
        for worker in self.producers + self.consumers:
            worker.start()

    def idle(self):
        return self.single.idle() + idle(self.producers, self.consumers)

    def wait_until_busy(self, seconds=30):
        """Waits until nobody is idle; whether that came to be."""
        return wait_until(lambda: not self.idle(), seconds)

    def workers(self):
        return self.single.workers() + self.producers + self.consumers

    def stop(self):
        """Has the producers finish what is in flight and the consumers read it, then ends them."""
        self.single.stop()
        for producer in self.producers:
            producer.stop()
        self.single.join(self.producers)
        for consumer in self.consumers:
            consumer.catch_up()
            consumer.stop()
        self.single.join(self.consumers)

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
        for producer in self.batchers:
            batches = producer.batches
            del batches.offsets[batches.stream.acknowledged():]

    def seen(self):
        yield from (producer.stream.acks for producer in self.producers)
        for consumer in self.consumers:
            yield consumer.history.gaps
            yield from (sight.values for sight in consumer.history.sights)

    def wrong(self):
        workers = self.producers + self.consumers
        return self.single.wrong() + [fault for worker in workers for fault in worker.wrong]

    def misheard(self, allowed=()):
        """As that of a load."""
        workers = self.producers + self.consumers
        return self.single.misheard(allowed) + [
            fault for worker in workers for fault in worker.misheard(allowed)]


def is_dropped(answer, at):
    """Whether a gap can be right that comes at an offset: it begins there, is of records that were
    trimmed, and ends no later than the log begins."""
    gap = answer.gap
    return (gap.cause == log_service_pb2.GAP_CAUSE_TRIMMED
            and at == gap.from_offset < gap.to_offset <= answer.start_offset)


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
                if not is_dropped(answer, held.end()):
                    raise AssertionError(f"a reader at {held.end()} was told of {answer}")
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
        if not batch.answer(reply):
            raise AssertionError(f"a batch was answered with {reply}")
        return reply.next_offset


def _size_of(stream, number):
    """How many records the batch has."""
    return 1 + hashlib.blake2b(b"%d/%d" % (stream, number)).digest()[0] % 12


def _id_of(stream):
    return hashlib.blake2b(b"producer %d" % stream, digest_size=16).digest()
