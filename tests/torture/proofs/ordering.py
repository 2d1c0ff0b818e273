"""The order of writes, syncs and replies of the running server, as strace saw it: first of what
`log.v1` acknowledges and delivers, then of all that `varve.v1` says of the end of a log."""

import copy

import batches
import levels
import load
import replies
import trace
from order import Order
from proofs import History, Skipped, Violation, check, check_history, check_load
from server import Site

# How long a consumer may take that was at the tail to see the last records.
CATCH_UP_SECONDS_MAX = 30


def run(ground):
    if not trace.is_available():
        raise Skipped("strace is not installed")
    site, history = Site(ground.folder), History()
    order, live = of_records(ground, site, history)
    told = of_levels(ground, site, history)
    counts = ", ".join(f"{len(told.told(what))} x {what}" for what in (
        replies.ACKNOWLEDGED, replies.WRITTEN, replies.SENT, replies.END))
    return (f"cases: {len(order.acks())} acknowledgements and {live} deliveries to a live consumer"
            f" behind {order.store_syncs()} syncs over {len(order.segments)} segments; then over"
            f" varve.v1 {counts}, behind {told.store_syncs()} syncs (R1 R2 R3 R8 R13)")


def of_records(ground, site, history):
    """Of single records: the order, and how many the consumer saw while they came."""
    wanted, output = ground.cycles, ground.folder / "strace.out"
    server = site.serve(trace.strace(output))
    burden = load.Load(server, history, ground.rng(), streams=2, callers=2, consumers=1)
    enough = burden.wait_for_acks(wanted, seconds=120 + wanted / 20)
    live = count_live(burden.consumers[0].sight.values, wanted)
    burden.stop()
    check_load(burden)
    held = check_history(server, history)
    code, _ = server.stop()
    check(enough, f"only {burden.acknowledged()} of {wanted} records were acknowledged in time")
    check(code == 0, f"exit {code} on SIGTERM")
    events = trace.read(output).events
    order = Order(events)
    check(len(order.acks()) >= history.acknowledged(), "the trace lacks acknowledgements that came")
    # The last look reads all of them once more.
    sent = len(order.told(replies.SENT))
    check(sent >= live + held.end(), f"{live} and {held.end()} records came, {sent} are traced")
    check_order(order)
    check(len(order.segments) > 2, "the segments did not roll")
    check_that_breaches_are_found(events)
    return order, live


def count_live(values, wanted):
    """How many records a consumer at the tail has seen, once it has seen so many."""
    load.wait_until(lambda: len(values) >= wanted, CATCH_UP_SECONDS_MAX)
    live = len(values)
    check(live >= wanted, f"{wanted} records were acknowledged, and a consumer saw {live} of them")
    return live


def of_levels(ground, site, history):
    """Of batches, as written and as synced, of batches that are sent again, and of ends."""
    output, held = ground.folder / "strace-levels.out", history.settled.end()
    server = site.serve(trace.strace(output))
    askers = [levels.Asker(server, batches.SINGLE, history) for _ in range(2)]
    fresh = batches.Batches(history, numbered=False)
    follower = batches.Follower(server, batches.SINGLE, history, held)
    workers = [*askers, batches.BatchProducer(server, batches.SINGLE, fresh, window=4), follower]
    for worker in workers:
        worker.start()
    wanted = max(ground.cycles // 10, 20)
    enough = load.wait_until(lambda: min(asker.again for asker in askers) >= wanted,
                             60 + wanted)
    records = sum(ack.records for ack in fresh.stream.acks)
    count_live(follower.sight.values, records)
    for worker in workers:
        worker.stop()
        worker.end()
    wrong = [fault for worker in workers for fault in worker.wrong]
    wrong += [f"{type(worker).__name__} ended with {worker.status}" for worker in workers[:-1]
              if worker.status]
    check(not wrong, "; ".join(wrong[:5]))
    check(enough, f"only {[asker.again for asker in askers]} of {wanted} batches were answered")
    code, _ = server.stop()
    check(code == 0, f"exit {code} on SIGTERM")
    order = Order(trace.read(output).events, held, replies.of_varve_v1)
    heard = {replies.WRITTEN: sum(asker.written for asker in askers),
             replies.ACKNOWLEDGED: sum(asker.synced for asker in askers) + fresh.answered,
             replies.SENT: 1, replies.END: sum(asker.ends for asker in askers)}
    for what, count in heard.items():
        sent = len(order.told(what))
        check(sent >= count > 0, f"{count} records were {what}, {sent} are traced")
    check_order(order)
    check_that_early_replies_are_found(order)
    server = site.serve()
    check_history(server, history)
    server.kill()
    return order


def check_order(order):
    found = order.violations()
    check(not found, f"{len(found)} breaches of the order, the first: {'; '.join(found[:5])}")


def check_that_early_replies_are_found(order):
    """As if one of each kind had been on its way before what it tells was there."""
    early = copy.copy(order)
    for what in (replies.ACKNOWLEDGED, replies.WRITTEN, replies.SENT, replies.END):
        reply = max(order.told(what), key=lambda reply: reply.offset)
        _, write = order.frame_of(reply)
        early.replies = [replies.Reply(reply.offset, what, write.returned)]
        if not early.violations():
            raise Violation(f"the check itself is blind: an offset is {what} early, and it finds"
                            " nothing")


def check_that_breaches_are_found(events):
    """The check is worth what it finds: each of these traces breaks one rule."""
    def without(drop):
        return [event for event in events if not drop(event)]

    order = Order(events)
    ack = order.acks()[-1]
    segment, write = order.frame_of(ack)
    covering = [sync for sync in segment.syncs
                if sync.entered > write.returned and sync.returned < ack.at]

    def early_send(event):
        # As if the reply had been on its way before the sync returned.
        if event.call == "sendmsg" and event.entered == ack.at:
            event = copy.copy(event)
            event.entered = write.returned
        return event

    broken = {
        "a sync is missing": without(lambda event: any(event is sync for sync in covering)),
        "a reply leaves early": [early_send(event) for event in events],
        "a directory is not synced": without(
            lambda event: any(event is sync for sync in order.directory_syncs)),
        "a footer is not written": without(
            lambda event: any(event is s.footer for s in order.segments.values())),
    }
    for what, doctored in broken.items():
        if not Order(doctored).violations():
            raise Violation(f"the check itself is blind: {what}, and it finds nothing")
