"""Names that no log and no reader can have, through every method that takes one."""

import os

import calls
from ground import Place
from proofs import check
from varve.v1 import admin_service_pb2

CREATING = {"/varve.v1.Log/Produce", "/varve.v1.Log/ProduceStream", "/varve.v1.Admin/CreateLog"}
READERS = ("/varve.v1.Readers/CommitReader", "/varve.v1.Readers/GetReader",
           "/varve.v1.Readers/DeleteReader")
CREATE = "/varve.v1.Admin/CreateLog"


def run(ground):
    place = Place(ground.folder / "place", "p, root, *, *\np, few, orders.*, *\n",
                  "create_logs = true\n")
    (ground.folder / "outside").mkdir()
    (ground.folder / "outside" / "file").write_text("as it was")
    place.serve()
    plant_link(place, ground)
    tried = 0
    with place.channel("root") as root, place.channel("few") as few:
        calls.ask(root, "/varve.v1.Log/Produce", calls.request("/varve.v1.Log/Produce", b"good"))
        before = listing(ground.folder)
        for name in bad_names():
            for path in calls.ACTIONS:
                refused(root, path, name)
                tried += 1 + denied(few, path, name)
            for path in READERS:
                refused_reader(root, path, name)
                tried += 1
        after = listing(ground.folder)
        check(before == after, f"files came or went: {set(before) ^ set(after)}")
        check(logs(root) == {"default", "good"}, f"there are other logs: {logs(root)}")
        linked(root)
        check(listing(ground.folder) == after, "the link was followed")
        good = good_names()
        for name in good:
            check(calls.ask(root, CREATE, calls.field(1, name)) != b"", f"{name} is refused")
        check(logs(root) == {"default", "good", *good}, "a good name is refused")
    check((ground.folder / "outside" / "file").read_text() == "as it was", "a file was changed")
    place.stop()
    return [f"cases: {tried} calls with {len(bad_names())} bad names of logs and readers, each"
            " refused for its reason, and no file came or went"]


def plant_link(place, ground):
    """Where a log of that name would be, someone has put a link to another folder."""
    os.symlink(ground.folder / "outside", place.data / "logs" / "link")


def linked(root):
    code, message, _ = calls.verdict(calls.ask(root, CREATE, calls.field(1, "link")))
    check(code in ("UNAVAILABLE", "ALREADY_EXISTS"), f"a log over a link: {code}, {message}")
    code, message, _ = calls.verdict(calls.ask(root, "/varve.v1.Log/Produce", calls.request(
        "/varve.v1.Log/Produce", "link")))
    check(code in ("UNAVAILABLE", "NOT_FOUND"), f"a record over a link: {code}, {message}")


def refused(channel, path, name):
    code, message, details = calls.verdict(calls.ask(channel, path, calls.request(path, name)))
    reason, expected = "LOG_NOT_FOUND", "NOT_FOUND"
    if path in CREATING:
        reason, expected = "LOG_NAME_INVALID", "INVALID_ARGUMENT"
    if not is_text(name):
        # Where the name is a field of a message that is read as a whole, that message is malformed.
        reason, expected = ("TEXT_MALFORMED", "REQUEST_MALFORMED"), "INVALID_ARGUMENT"
    if not name:
        reason, expected = "LOG_NOT_NAMED", "INVALID_ARGUMENT"
    reasons = (reason,) if isinstance(reason, str) else reason
    check(code == expected and any(one.encode() in details for one in reasons),
          f"{path} with the log {name!r}: {code}, {message}, {details}; expected {reasons}")
    check(str.isprintable(message) or code == "NOT_FOUND" or path in CREATING,
          f"{path} with the log {name!r}: the message is {message!r}")


def denied(channel, path, name):
    """One who may use `orders.*` alone is told nothing else, whatever follows the prefix; whether
    that was tried."""
    if not is_text(name) or not name or name.startswith(b"orders."):
        return False
    code, message, _ = calls.verdict(calls.ask(channel, path, calls.request(path, name)))
    expected = ("PERMISSION_DENIED",)
    if path == CREATE:
        # The name is looked at first: it is the caller's own.
        expected = ("INVALID_ARGUMENT",)
    check(code in expected, f"{path} with the log {name!r}: {code}, {message}")
    return True


def refused_reader(channel, path, name):
    answer = calls.ask(channel, path, calls.request(path, b"good", name))
    code, message, details = calls.verdict(answer)
    reasons = (b"READER_NAME_INVALID", b"TEXT_MALFORMED", b"REQUEST_MALFORMED")
    check(code == "INVALID_ARGUMENT" and any(reason in details for reason in reasons),
          f"{path} with the reader {name!r}: {code}, {message}, {details}")


def is_text(name):
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def logs(channel):
    reply = calls.ask(channel, calls.LIST_LOGS, b"")
    listed = {log.log for log in admin_service_pb2.ListLogsResponse.FromString(reply).logs}
    return listed - {calls.AUDIT_LOG}


def listing(folder):
    """Every file and folder, but for what the server keeps for itself as time goes on."""
    found = []
    for where, folders, files in os.walk(folder):
        if os.path.basename(where) == calls.AUDIT_LOG:
            continue
        found += [os.path.join(where, name) for name in folders + files
                  if not name.endswith(".log") and name != "clock"]
    return sorted(found)


def bad_names():
    return [name if isinstance(name, bytes) else name.encode() for name in (
        "", ".", "..", "...", "a..b", "a..", "..a", "../x", "../../x", "../outside/file", "a/../b",
        "./x", "a/b", "a/", "/", "/etc/passwd", "/tmp/x", "//x", "\\", "..\\x", "a\\b", "c:x",
        "good/../good", "good/meta", "LOCK", "../LOCK", "../trash/x", "Good", "GOOD", "gooD",
        "CON", "NUL", "_internal", "-x", ".hidden", "good ", " good", "go od", "good\t", "good\n",
        "good\r\n", "\n", " ", "good\0", "\0", "\0good", "good\0/../x", "%2e%2e", "%2e%2e%2fx",
        "a%00b", "~", "~root", "$HOME", "$(id)", "`id`", "a;b", "a|b", "a&b", "a'b", 'a"b', "a*",
        "*", "orders.*", "orders./x", "orders.../x", "a?", "a[b]", "a{b}", "a<b", "a>b", "a:b",
        "a,b", "a=b", "a+b", "a@b", "a#b", "a!b", "\x1b[2J", "\x7f", "\x01", "\u202egood",
        "go\u200bod", "\ufeffgood", "g\u00f6od", "go\u0301od", "\uff0e\uff0e/x", "g\u043eod",
        "\U0001f600", "a" * 129, "a" * 255, "a" * 4096, "a" * 65536, "a" * 127 + "/",
        b"\xff", b"good\xff", b"\xc0\xae\xc0\xae/x", b"\xc0\x80", b"\xed\xa0\x80", b"\x80",
        b"\xf8\x88\x80\x80\x80",
    )]


def good_names():
    return ["logs", "a", "0", "a" * 128, "con", "a.b", "a.", "a-", "a_", "0.0", "etc", "lock"]
