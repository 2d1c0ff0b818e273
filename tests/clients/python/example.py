"""A client of Varve in Python: appends records, reads them back, and reads what errors say.

Copy what you need. It stops at the first thing that is not as it should be.
"""

import os
import pathlib

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from varve.v1 import log_service_pb2 as log_pb2
from varve.v1 import log_service_pb2_grpc
from varve.v1.record_pb2 import Header, Record

LOG = "default"
# A deadline for calls that are answered at once; a call without one may wait for ever.
DEADLINE_S = 10


def connect():
    """A channel to VARVE_SERVER, over which the server and the client prove who they are."""

    def read(variable):
        return pathlib.Path(os.environ[variable]).read_bytes()

    credentials = grpc.ssl_channel_credentials(
        root_certificates=read("VARVE_CA"),
        private_key=read("VARVE_KEY"),
        certificate_chain=read("VARVE_CERT"),
    )
    options = [
        # Notices a server that is gone without a word. Varve allows a ping every 10 s.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    return grpc.secure_channel(os.environ["VARVE_SERVER"], credentials, options)


def error_info(error):
    """The reason of a refusal and its values. docs/ERRORS.md lists all of them."""
    for detail in rpc_status.from_call(error).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason, dict(info.metadata)
    raise AssertionError(f"no ErrorInfo in {error}")


def expect(what, found, wanted):
    if found != wanted:
        raise SystemExit(f"{what}: found {found!r}, wanted {wanted!r}")


def expect_refusal(what, call, code, reason, values):
    try:
        call()
    except grpc.RpcError as error:
        expect(what, (error.code(), *error_info(error)), (code, reason, values))
        print(f"{what}: {reason} {values}")
    else:
        raise SystemExit(f"{what}: was not refused")


def offsets_of(response):
    """The records of a response, each with its offset."""
    for batch in response.batches:
        # Offsets count on within a batch.
        yield from enumerate(batch.records, batch.base_offset)


def produce(log):
    """Appends one batch: all of it or nothing, also if the power fails. It is on disk when the
    call returns.
    """
    json = Header(name="content-type", value=b"application/json")
    records = [
        Record(key=b"order-1", value=b'{"item":"tea"}', headers=[json]),
        Record(key=b"order-2", value=b'{"item":"coffee"}', headers=[json]),
    ]
    reply = log.Produce(log_pb2.ProduceRequest(log=LOG, records=records), timeout=DEADLINE_S)
    expect("produce", reply.next_offset, reply.base_offset + len(records))
    expect("produce", reply.durability, log_pb2.DURABILITY_SYNCED)
    print(f"produce: offsets {reply.base_offset} to {reply.next_offset - 1}")
    return reply.base_offset, records


def produce_stream(log, end):
    """Appends many batches without waiting for each answer; the answers come in order."""
    batches = [
        [Record(key=b"sensor", value=b"reading %d.%d" % (n, part)) for part in range(2)]
        for n in range(100)
    ]
    requests = (log_pb2.ProduceRequest(log=LOG, records=batch) for batch in batches)
    answered = 0
    for reply in log.ProduceStream(requests, timeout=DEADLINE_S):
        # The answer to the batch `batches[answered]`.
        expect("produce stream", reply.base_offset, end)
        end = reply.next_offset
        answered += 1
    expect("produce stream", answered, len(batches))
    print(f"produce stream: {answered} batches, the log ends at {end}")
    return sum(batches, [])


def consume(log, first, wanted):
    """Reads once: what is there, as far as it fits into one answer."""
    request = log_pb2.ConsumeRequest(log=LOG, offset=first, max_records=len(wanted))
    response = log.Consume(request, timeout=DEADLINE_S)
    expect("consume", list(offsets_of(response)), list(enumerate(wanted, first)))
    # To go on reading, ask for this one.
    expect("consume", response.next_offset, first + len(wanted))
    print(f"consume: {[record.key for _, record in offsets_of(response)]}")


def consume_stream(log, first, wanted):
    """Reads on and on; here it ends after `max_records`."""
    request = log_pb2.ConsumeRequest(log=LOG, offset=first, max_records=len(wanted))
    found = []
    for response in log.ConsumeStream(request, timeout=DEADLINE_S):
        found.extend(offsets_of(response))
    expect("consume stream", found, list(enumerate(wanted, first)))
    print(f"consume stream: {len(found)} records in order")


def tail(log, end):
    """Waits at the end of the log for what is appended from now on."""
    request = log_pb2.ConsumeRequest(log=LOG, offset=end, heartbeat_ms=100)
    stream = log.ConsumeStream(request, timeout=DEADLINE_S)
    # A response without records is a heartbeat: nothing came, and the server is well.
    heartbeat = next(stream)
    expect("tail", (len(heartbeat.batches), heartbeat.high_watermark), (0, end))
    for number in range(3):
        record = Record(value=b"tail %d" % number)
        log.Produce(log_pb2.ProduceRequest(log=LOG, records=[record]), timeout=DEADLINE_S)
        response = next(response for response in stream if response.batches)
        expect("tail", list(offsets_of(response)), [(end + number, record)])
    stream.cancel()
    print("tail: 3 records as they came")
    return end + 3


def append_at(log, end):
    """Appends only if nobody else appended meanwhile, as for a counter or a lock."""
    request = log_pb2.ProduceRequest(log=LOG, records=[Record(value=b"only here")])
    request.expected_offset = end
    reply = log.Produce(request, timeout=DEADLINE_S)
    expect("append at", reply.base_offset, end)
    print(f"append at {end}: done")
    expect_refusal(
        f"append at {end} again",
        lambda: log.Produce(request, timeout=DEADLINE_S),
        grpc.StatusCode.FAILED_PRECONDITION,
        "NOT_AT_END",
        {"expected": str(end), "end": str(end + 1)},
    )
    return end + 1


def beyond_the_end(log, end):
    """Reads where there is nothing yet; the error says what there is."""
    request = log_pb2.ConsumeRequest(log=LOG, offset=end + 1000)
    expect_refusal(
        f"consume at {end + 1000}",
        lambda: log.Consume(request, timeout=DEADLINE_S),
        grpc.StatusCode.OUT_OF_RANGE,
        "OFFSET_OUT_OF_RANGE",
        {"offset": str(end + 1000), "start": "0", "end": str(end)},
    )


def main():
    with connect() as channel:
        log = log_service_pb2_grpc.LogStub(channel)
        first, records = produce(log)
        consume(log, first, records)
        records += produce_stream(log, first + len(records))
        consume_stream(log, first, records)
        end = tail(log, first + len(records))
        end = append_at(log, end)
        beyond_the_end(log, end)
    print("all is as it should be")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        raise SystemExit(f"a call failed: {error.code().name}: {error.details()}") from error
