"""Plants each kind of violation in a made-up history, and demands that the check finds it."""

from history import Ack, Held, History, Sight, value_of


def sound():
    """Two streams whose records alternate, the last two of them unanswered, a batch, and a
    consumer."""
    history, log = History(), []
    one, two = history.new_stream(True), history.new_stream(True)
    for n in range(12):
        stream = (one, two)[n % 2]
        if 2 <= n < 10:
            stream.acks.append(Ack(stream.sent, n, 10 * n, 10 * n + 5))
        log.append(value_of(stream.number, stream.sent))
        stream.sent += 1
    many = history.new_stream(True)
    many.batches, many.sent = [0, 3], 5
    log += [value_of(many.number, sequence) for sequence in range(5)]
    history.sights = [Sight(3, log[3:9])]
    history.settled = Held(0, log[:2])
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
    history.sights, history.settled = [], Held(0, [])
    log[4], log[5] = log[5], log[4]


def make_one_up(_, log):
    log.append(value_of(0, 99))


def leave_one_out(history, log):
    history.streams[0].sent += 2
    log.append(value_of(0, 7))


def keep_half_a_batch(_, log):
    del log[16:]


def break_a_batch_apart(_, log):
    log[12:14] = []
    log[10:10] = [value_of(2, 0), value_of(2, 1)]


def forget_what_was_consumed(history, log):
    history.streams[1].acks = history.streams[1].acks[:1]
    history.streams[0].acks = history.streams[0].acks[:1]
    del log[8:]


def forget_what_was_settled(history, log):
    history.settled = Held(0, log + [value_of(1, 6)])


def forget_an_answer_to_a_batch(history, log):
    history.streams[2].acks = [Ack(0, 12, 200, 205, records=3)]
    del log[12:]


def answer_out_of_order(history, _):
    history.streams[1].acks[0].sent_ns = 80
    history.streams[1].acks[0].answered_ns = 85


def answer_below_what_was_settled(history, log):
    history.settled = Held(0, log[:12])
    history.streams[0].acks = [Ack(0, 0, 300, 305)]


def keep_what_was_refused(history, _):
    history.streams[1].refused = [5]


def tell_of_a_gap_that_is_none(history, _):
    history.gaps = [4]


PLANTED = [lose_the_end, lose_one, flip_a_bit, alter_a_byte, swap, double, exchange, make_one_up,
           leave_one_out, keep_half_a_batch, break_a_batch_apart, keep_what_was_refused,
           forget_what_was_consumed, forget_what_was_settled, forget_an_answer_to_a_batch,
           answer_out_of_order, answer_below_what_was_settled, tell_of_a_gap_that_is_none]


def expect_nothing(what, history, held):
    found = history.violations(held)
    if found:
        raise AssertionError(f"{what} is refused: {found}")


def run():
    history, log = sound()
    expect_nothing("a sound history", history, Held(0, log))
    expect_nothing("the loss of what nobody was told of", history, Held(0, log[:10]))
    dropped = Held(4, log[4:])
    if not history.violations(dropped):
        raise AssertionError("a log without retention may begin at 4")
    history.kept_bytes_min = sum(len(value) for value in dropped.values)
    expect_nothing("that retention drops the oldest records", history, dropped)
    history.gaps = [2, 4]
    expect_nothing("that consumers are told what was dropped", history, dropped)
    history.gaps = [5]
    if not history.violations(dropped):
        raise AssertionError("more was said to be dropped than was")
    history.gaps = []
    history.kept_bytes_min += 1
    if not history.violations(dropped):
        raise AssertionError("more was dropped than the retention asks for")
    for plant in PLANTED:
        history, log = sound()
        plant(history, log)
        if not history.violations(Held(0, log)):
            raise AssertionError(f"the check finds nothing after {plant.__name__}")
    return f"cases: {len(PLANTED)} planted violations, all found by the history's check (R5)"
