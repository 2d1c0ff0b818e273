"""Producers and consumers that write down what they see, until the server is gone or they are told
to stop."""

import random
import sys
import threading
import time
import traceback

import grpc
import log_pb2
import log_pb2_grpc
from history import Ack, Held, value_of

_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", 16 << 20)]


# What a call may end with if its server is gone, and what else if only its disk is, or is full.
GONE = (grpc.StatusCode.UNAVAILABLE,)
DISK_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS)
DISK_FULL = (grpc.StatusCode.RESOURCE_EXHAUSTED,)
# So long a consumer may take for what is acknowledged.
CATCH_UP_SECONDS_MAX = 30


def channel_to(server):
    return grpc.insecure_channel(f"127.0.0.1:{server.port}", options=_OPTIONS)


def request_of(value):
    return log_pb2.ProduceRequest(record=log_pb2.Record(value=value))


class Worker(threading.Thread):
    """One producer or consumer. `status` is how its call ended: None while it goes on or if it was
    whole, else the gRPC code. `wrong` is what it saw that may never be."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.channel = channel_to(server)
        self.stub = log_pb2_grpc.LogStub(self.channel)
        self.stopping = threading.Event()
        self.status = None
        self.vanished = False
        self.wrong = []

    def run(self):
        try:
            self.work()
        except grpc.RpcError as error:
            self.status = error.code()
        except Exception:  # pylint: disable=broad-except
            # The library ends a call on a channel that was closed with a ValueError, or even as one
            # that went well without an answer.
            if not self.vanished:
                self.wrong.append(f"{type(self).__name__}: {traceback.format_exc()}")
        finally:
            self.channel.close()

    def stop(self):
        self.stopping.set()

    def misheard(self, allowed=()):
        """How its call ended, if none may end so: with another code than the `allowed` ones, unless
        the server is gone."""
        expected = (None, *allowed) if self.server.is_alive() else (None, *GONE, *allowed)
        if self.vanished or self.status in expected:
            return []
        return [f"{self.what()} ended with {self.status}"]

    def what(self):
        return type(self).__name__

    def vanish(self):
        """Goes away in the middle of whatever it does."""
        self.vanished = True
        self.channel.close()

    def check_whole(self, due, answered):
        """A stream that ended well has to have answered all that was sent."""
        if answered != due and not self.vanished:
            self.wrong.append(f"{self.what()}: the stream ended after {answered} of {due} answers")

    def end(self):
        """Waits until it ends, as it does once it is told to stop or the server is gone. If that
        dies while a call connects, the client's library now and then leaves the call waiting for
        ever, without a connection."""
        self.join(10)
        if self.is_alive() and not self.server.is_alive():
            self.vanish()
        self.join(30)
        if self.is_alive():
            stack = traceback.format_stack(sys._current_frames()[self.ident])
            raise TimeoutError(f"{type(self).__name__} does not end: {stack[-3:]}")


class Producer(Worker):
    """Who appends the records of a stream, which may have begun before."""

    def __init__(self, server, stream):
        super().__init__(server)
        self.stream = stream
        self._before = stream.acknowledged()

    def acknowledged(self):
        """How many of its appends were acknowledged."""
        return self.stream.acknowledged() - self._before


class StreamProducer(Producer):
    """A ProduceStream with up to `window` records in flight."""

    def __init__(self, server, history, window, pause_s=0.0):
        super().__init__(server, history.new_stream(ordered=True))
        self.window, self.pause_s = window, pause_s
        self.sent_ns = []
        self.answered = 0
        self.room = threading.Condition()
        self.over = False

    def work(self):
        try:
            for reply in self.stub.ProduceStream(self.requests()):
                sequence = self.answered
                with self.room:
                    self.stream.acks.append(ack_of(sequence, reply, self.sent_ns[sequence]))
                    self.answered += 1
                    self.room.notify()
            self.check_whole(self.stream.sent, self.answered)
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
                sequence = self.stream.sent
                self.stream.sent += 1
            if self.pause_s:
                time.sleep(self.pause_s)
            request = request_of(value_of(self.stream.number, sequence))
            self.sent_ns.append(time.monotonic_ns())
            yield request

    def has_room(self):
        return self.stream.sent - self.answered < self.window

    def stop(self):
        with self.room:
            self.stopping.set()
            self.room.notify()


class UnaryProducer(Producer):
    """One Produce after the other. Where `retries`, a refusal for want of space is no end: the
    next record is tried."""

    def __init__(self, server, history, retries=False):
        super().__init__(server, history.new_stream(ordered=not retries))
        self.retries = retries

    def work(self):
        while not self.stopping.is_set():
            sequence = self.stream.sent
            self.stream.sent += 1
            request = request_of(value_of(self.stream.number, sequence))
            sent_ns = time.monotonic_ns()
            try:
                reply = self.stub.Produce(request, timeout=30)
            except grpc.RpcError as error:
                if self.retries and error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                    self.stream.refused.append(sequence)
                    time.sleep(0.02)
                    continue
                raise
            self.stream.acks.append(ack_of(sequence, reply, sent_ns))


class Reader(Worker):
    """A stream of records that goes on until it is stopped."""

    def __init__(self, server, history, start):
        super().__init__(server)
        self.history = history
        self.sight = history.new_sight(start)
        self.call = None
        self.delivered = 0

    def open(self):
        """The stream, as a call."""
        raise NotImplementedError

    def take(self, reply):
        """Writes down what has come."""
        raise NotImplementedError

    def work(self):
        self.call = self.open()
        if self.stopping.is_set():
            self.call.cancel()
        for reply in self.call:
            self.take(reply)
        if not self.stopping.is_set() and not self.vanished:
            self.wrong.append(f"{self.what()}: the stream ended, and nobody ended it")

    def see(self, base_offset, values):
        expected = self.sight.start + len(self.sight.values)
        if base_offset != expected:
            self.wrong.append(f"{self.what()} was sent {base_offset} for {expected}")
        self.sight.values += values
        self.delivered += len(values)

    def catch_up(self):
        """Waits until it has all that is acknowledged, unless its stream is over."""
        due = self.history.acknowledged_end()

        def is_there():
            return self.sight.start + len(self.sight.values) >= due or not self.is_alive()

        if not wait_until(is_there, CATCH_UP_SECONDS_MAX):
            at = self.sight.start + len(self.sight.values)
            self.wrong.append(f"{self.what()} is at {at}, and the log was acknowledged up to {due}")

    def stop(self):
        super().stop()
        if self.call is not None:
            self.call.cancel()

    def misheard(self, allowed=()):
        ended = (grpc.StatusCode.CANCELLED,) if self.stopping.is_set() else ()
        return super().misheard((*allowed, *ended))


class Consumer(Reader):
    """A ConsumeStream that begins at an offset and waits at the tail."""

    def __init__(self, server, history, start=0):
        super().__init__(server, history, start)

    def open(self):
        return self.stub.ConsumeStream(log_pb2.ConsumeRequest(offset=self.sight.start))

    def take(self, reply):
        self.see(reply.record.offset, [reply.record.value])


class Load:
    """Some producers and consumers on one server."""

    def __init__(self, server, history, rng, streams=3, callers=2, consumers=2, pause_s=0.0):
        self.server = server
        windows = [rng.choice([1, 8, 64, 256]) for _ in range(streams)]
        self.producers = [StreamProducer(server, history, window, pause_s) for window in windows]
        self.producers += [UnaryProducer(server, history) for _ in range(callers)]
        ends = history.settled.end()
        starts = [rng.randint(0, ends) if rng.random() < 0.5 else ends for _ in range(consumers)]
        self.consumers = [Consumer(server, history, start) for start in starts]
        self.marked = []
        for worker in self.workers():
            worker.start()

    def workers(self):
        return self.producers + self.consumers

    def acknowledged(self):
        return sum(producer.acknowledged() for producer in self.producers)

    def idle(self):
        return idle(self.producers, self.consumers)

    def wait_until_busy(self, seconds=30):
        """Waits until nobody is idle; whether that came to be."""
        return wait_until(lambda: not self.idle(), seconds)

    def wait_for_acks(self, count, seconds=30):
        """Waits until so many appends were acknowledged; whether they were."""
        return wait_until(lambda: self.acknowledged() >= count, seconds)

    def stop(self):
        """Has the producers finish what is in flight, then ends the consumers."""
        for producer in self.producers:
            producer.stop()
        self.join(self.producers)
        for consumer in self.consumers:
            consumer.catch_up()
            consumer.stop()
        self.join(self.consumers)

    def join(self, workers=None):
        """Waits for the workers to end, as they do once the server is gone."""
        for worker in workers or self.workers():
            worker.end()

    def mark(self):
        """Remembers what was seen up to now; `forget_since_mark` takes the rest for unseen."""
        self.marked = [(seen, len(seen)) for seen in self.seen()]

    def forget_since_mark(self):
        for seen, length in self.marked:
            del seen[length:]

    def seen(self):
        yield from (producer.stream.acks for producer in self.producers)
        yield from (consumer.sight.values for consumer in self.consumers)

    def wrong(self):
        return [fault for worker in self.workers() for fault in worker.wrong]

    def misheard(self, allowed=()):
        """Calls that ended as none may, beside those with one of the codes that are `allowed`."""
        return [fault for worker in self.workers() for fault in worker.misheard(allowed)]


def idle(producers, consumers):
    """Those for whom nothing was acknowledged, and to whom nothing came."""
    idlers = [worker for worker in producers if not worker.acknowledged()]
    idlers += [worker for worker in consumers if not worker.delivered]
    return [worker.what() for worker in idlers]


def ack_of(sequence, reply, sent_ns):
    return Ack(sequence, reply.offset, sent_ns, time.monotonic_ns())


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def append_one(stub, history, patience_s=0.0):
    """Appends a record and returns its offset. Refusals for want of space are borne for so long."""
    deadline = time.monotonic() + patience_s
    while True:
        stream = history.new_stream(ordered=True)
        stream.sent, sent_ns = 1, time.monotonic_ns()
        try:
            reply = stub.Produce(request_of(value_of(stream.number, 0)), timeout=30)
        except grpc.RpcError as error:
            no_space = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            stream.refused += [0] * no_space
            if not no_space or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        stream.acks.append(ack_of(0, reply, sent_ns))
        return reply.offset


def read_log(server, history, patience_s=0.0):
    """Everything that the log holds, up to a record that is appended now."""
    with channel_to(server) as channel:
        stub = log_pb2_grpc.LogStub(channel)
        return Held(0, read_below(stub, append_one(stub, history, patience_s) + 1))


def read_below(stub, end):
    """The values of offsets 0 up to but not including `end`."""
    if end == 0:
        return []
    values = []
    call = stub.ConsumeStream(log_pb2.ConsumeRequest(offset=0), timeout=60)
    for reply in call:
        if reply.record.offset != len(values):
            raise AssertionError(f"read {reply.record.offset} where {len(values)} was due")
        values.append(reply.record.value)
        if len(values) == end:
            break
    call.cancel()
    return values


def seeded(seed, *names):
    return random.Random("/".join(str(part) for part in (seed, *names)))
