"""The order of writes, syncs and replies of the running server, as strace saw it."""

import copy

import load
import trace
from order import Order
from proofs import History, Skipped, Violation, check, check_history, check_load
from server import Site


def run(ground):
    if not trace.is_available():
        raise Skipped("strace is not installed")
    site, history = Site(ground.folder), History()
    wanted = ground.cycles
    output = ground.folder / "strace.out"
    server = site.serve(trace.strace(output))
    burden = load.Load(server, history, ground.rng(), streams=2, callers=2, consumers=1)
    enough = burden.wait_for_acks(wanted, seconds=120 + wanted / 20)
    burden.stop()
    check_load(burden)
    check_history(server, history)
    code, _ = server.stop()
    check(enough, f"only {burden.acknowledged()} of {wanted} records were acknowledged in time")
    check(code == 0, f"exit {code} on SIGTERM")
    events = trace.read(output).events
    order = Order(events)
    check(len(order.acks()) >= history.acknowledged(), "the trace lacks acknowledgements that came")
    found = order.violations()
    check(not found, f"{len(found)} breaches of the order, the first: {'; '.join(found[:5])}")
    check(len(order.segments) > 2, "the segments did not roll")
    check_that_breaches_are_found(events)
    sent = len(order.replies) - len(order.acks())
    return (f"cases: {len(order.acks())} acknowledgements and {sent} deliveries behind"
            f" {order.store_syncs()} syncs over {len(order.segments)} segments"
            " (R1 R2 R8 R13)")


def check_that_breaches_are_found(events):
    """The check is worth what it finds: each of these traces breaks one rule."""
    def without(drop):
        return [event for event in events if not drop(event)]

    order = Order(events)
    ack = order.acks()[-1]
    segment, write = order.frames[ack.offset]
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
