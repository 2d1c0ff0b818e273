"""The four calls, as any client makes them."""

import random
import threading

from log.v1 import log_pb2
from rig import PATIENCE_S, ServerCase, append, cases, end_of, produce_request


def values(count, seed):
    """Random values of all kinds of bytes; some are empty."""
    draw = random.Random(seed)
    return [draw.randbytes(draw.choice((0, 1, 10, 100, 1000))) for _ in range(count)]


class Calls(ServerCase):
    def test_what_is_produced_is_consumed_unaltered(self):
        client = self.client()
        tried = [b"hello world", b"", bytes(range(256)), "träge".encode(), bytes(1 << 20)]
        for value in tried:
            (offset,) = append(client, value)
            request = log_pb2.ConsumeRequest(offset=offset)
            response = client.Consume(request, timeout=PATIENCE_S)
            expected = log_pb2.ConsumeResponse(record=log_pb2.Record(value=value, offset=offset))
            self.assertEqual(response, expected)
        cases(len(tried), "values there and back, one call each")

    def test_an_offset_in_a_request_is_the_servers_to_assign(self):
        client = self.client()
        (first,) = append(client, b"one")
        record = log_pb2.Record(value=b"two", offset=1 << 40)
        response = client.Produce(log_pb2.ProduceRequest(record=record), timeout=PATIENCE_S)
        self.assertEqual(response.offset, first + 1)

    def test_r13_a_produce_stream_with_many_in_flight_is_answered_in_order(self):
        client, count = self.client(), 20_000
        sent, received, in_flight_most = 0, 0, 0
        tried = values(count, seed=1)

        def requests():
            nonlocal sent
            for value in tried:
                sent += 1
                yield produce_request(value)

        first = end_of(client)
        for response in client.ProduceStream(requests(), timeout=5 * PATIENCE_S):
            in_flight_most = max(in_flight_most, sent - received)
            self.assertEqual(response.offset, first + received)
            received += 1
        self.assertEqual(received, count)
        self.assertGreater(in_flight_most, 16)
        stored = client.ConsumeStream(
            log_pb2.ConsumeRequest(offset=first), timeout=5 * PATIENCE_S
        )
        for number, value in enumerate(tried):
            self.assertEqual(
                next(stored).record, log_pb2.Record(value=value, offset=first + number)
            )
        stored.cancel()
        cases(count, f"records over one produce stream, up to {in_flight_most} in flight (R13)")

    def test_each_request_of_a_dialogue_is_answered_before_the_next_is_sent(self):
        client, count = self.client(), 200
        may_send = threading.Semaphore(1)

        def requests():
            for number in range(count):
                assert may_send.acquire(timeout=PATIENCE_S)
                yield produce_request(b"%d" % number)

        answered = 0
        for _ in client.ProduceStream(requests(), timeout=5 * PATIENCE_S):
            answered += 1
            may_send.release()
        self.assertEqual(answered, count)

    def test_r2_a_consume_stream_waits_at_the_tail_and_brings_what_comes(self):
        client, producer, count = self.client(), self.client(), 100
        end = end_of(client)
        stream = client.ConsumeStream(log_pb2.ConsumeRequest(offset=end), timeout=5 * PATIENCE_S)
        for number in range(count):
            value = b"tail %d" % number
            append(producer, value)
            self.assertEqual(
                next(stream).record, log_pb2.Record(value=value, offset=end + number)
            )
        stream.cancel()
        cases(count, "records that a consumer waited for at the tail (R2)")

    def test_several_consumers_and_producers_see_one_order(self):
        client, streams, each = self.client(), 4, 500
        first = end_of(client)
        offsets = [[] for _ in range(streams)]

        def produce(mine):
            stub = self.client()
            requests = (produce_request(b"%d %d" % (mine, n)) for n in range(each))
            for response in stub.ProduceStream(requests, timeout=5 * PATIENCE_S):
                offsets[mine].append(response.offset)

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        total = streams * each
        self.assertEqual(sorted(sum(offsets, [])), list(range(first, first + total)))
        views = []
        for _ in range(2):
            stream = self.client().ConsumeStream(
                log_pb2.ConsumeRequest(offset=first), timeout=5 * PATIENCE_S
            )
            views.append([next(stream).record for _ in range(total)])
            stream.cancel()
        self.assertEqual(views[0], views[1])
        for mine, own in enumerate(offsets):
            self.assertEqual(own, sorted(own))
            for number, offset in enumerate(own):
                self.assertEqual(views[0][offset - first].value, b"%d %d" % (mine, number))
        cases(total, f"records of {streams} producers at once, in one order")
