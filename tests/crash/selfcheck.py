"""Plants each kind of violation in a made-up history, and demands that the check finds it."""

from history import Ack, History, Sight, value_of


def sound():
    """Two streams whose records alternate, the last two of them unanswered, and a consumer."""
    history, log = History(), []
    one, two = history.new_stream(True), history.new_stream(True)
    for n in range(12):
        stream = (one, two)[n % 2]
        if n < 10:
            stream.acks.append(Ack(stream.sent, n, 10 * n, 10 * n + 5))
        log.append(value_of(stream.number, stream.sent))
        stream.sent += 1
    history.sights = [Sight(3, log[3:9])]
    history.settled = log[:2]
    return history, log


def lose_the_end(_, log):
    del log[9:]


def lose_one(_, log):
    del log[4]


def flip_a_bit(_, log):
    log[11] = bytes([log[11][0] ^ 1]) + log[11][1:]


def alter_a_byte(_, log):
    log[11] = log[11][:-1] + bytes([log[11][-1] ^ 0x80])


def swap(_, log):
    log[10], log[11] = log[8], log[9]


def double(_, log):
    log.append(log[11])


def exchange(history, log):
    history.sights, history.settled = [], []
    log[4], log[5] = log[5], log[4]


def make_one_up(_, log):
    log.append(value_of(0, 99))


def leave_one_out(history, log):
    history.streams[0].sent += 2
    log.append(value_of(0, 7))


def forget_what_was_consumed(history, log):
    history.streams[1].acks = history.streams[1].acks[:1]
    history.streams[0].acks = history.streams[0].acks[:1]
    del log[8:]


def forget_what_was_settled(history, log):
    history.settled = log + [value_of(1, 6)]


def answer_out_of_order(history, _):
    history.streams[1].acks[0].sent_ns = 80
    history.streams[1].acks[0].answered_ns = 85


def keep_what_was_refused(history, _):
    history.streams[1].refused = [5]


PLANTED = [lose_the_end, lose_one, flip_a_bit, alter_a_byte, swap, double, exchange, make_one_up,
           leave_one_out, keep_what_was_refused, forget_what_was_consumed, forget_what_was_settled,
           answer_out_of_order]


def run():
    history, log = sound()
    found = history.violations(log)
    if found:
        raise AssertionError(f"a sound history is refused: {found}")
    # What nobody was told of may be gone.
    found = history.violations(log[:10])
    if found:
        raise AssertionError(f"a lost tail that was not acknowledged is refused: {found}")
    for plant in PLANTED:
        history, log = sound()
        plant(history, log)
        if not history.violations(log):
            raise AssertionError(f"the check finds nothing after {plant.__name__}")
    return f"cases: {len(PLANTED)} planted violations, all found by the history's check (R5)"
