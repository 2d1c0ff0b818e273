"""Every identity, by every method, on every log, beside a table that is worked out from the
policy's text alone."""

import warnings

import calls
import rules
from cryptography import x509
from cryptography.x509.oid import NameOID
from ground import Place
from proofs import check
from varve.v1 import admin_service_pb2

import pki

POLICY = """\
# Roles, denials, prefixes, and names that look like others.
p, root, *, *
p, alice, orders.*, produce
p, alice, orders, consume
p, writers, orders*, produce
p, writers, default, produce
p, auditors, *, consume
p, auditors, orders.eu.audit, consume, deny
p, spiffe://example.org/admin, *, admin
p, spiffe://example.org/admin, orders, admin, deny
p, CN=root, *, *
p, shut-out, *, *
p, shut-out, *, *, deny
p, every-log, order, *
g, spiffe://example.org/shop, writers
g, bob, staff
g, staff, auditors
g, bob, writers
"""
EXISTING = ("default", "orders", "orders.eu", "orders.eu.audit", "order")
ABSENT = ("orders.absent", "absent")


def run(ground):
    table = rules.Rules(POLICY)
    place = Place(ground.folder / "place", POLICY)
    place.serve()
    with place.channel("root") as root:
        for log in EXISTING[1:]:
            calls.ask(root, "/varve.v1.Admin/CreateLog", calls.field(1, log))
        for log in EXISTING:
            calls.ask(root, "/varve.v1.Log/Produce", calls.request("/varve.v1.Log/Produce", log))
        methods = calls.reflected(root)
        check(methods == calls.ALL, f"the server's methods are others: {methods ^ calls.ALL}")
        people = identities(place)
        appended = dict.fromkeys(EXISTING, 1)
        cells = alike = 0
        for name, (subject, holder) in people.items():
            with place.channel(holder) as channel:
                matrix = Matrix(name, subject, table, channel, root, appended)
                cells += matrix.run()
                alike += matrix.alike
        ends = ends_of(root)
        check(ends == appended, f"the logs end at {ends}, and what was allowed makes {appended}")
    check(cells >= 1000, f"only {cells} cells")
    place.stop()
    return [f"cases: {cells} questions, {len(people)} identities by {len(methods)} methods on"
            f" {len(EXISTING + ABSENT)} logs, each answered as the policy's text says; {alike}"
            " denials look the same for a log that is there and one that is not"]


class Matrix:
    """All that one identity may ask."""

    def __init__(self, name, subject, table, channel, root, appended):
        self.name, self.subject, self.table = name, subject, table
        self.channel, self.root, self.appended = channel, root, appended
        self.denials = {}
        self.cells = self.alike = 0

    def run(self):
        for path, action in calls.ACTIONS.items():
            for log in EXISTING + ABSENT:
                self.about(path, action, log)
        for path, action in calls.OF_DEFAULT.items():
            self.about(path, action, "default")
        self.others()
        for path in calls.ACTIONS:
            self.compare(path)
        return self.cells

    def about(self, path, action, log):
        answer = calls.ask(self.channel, path, calls.request(path, log, "reader-of-mine"))
        code, message, details = calls.verdict(answer)
        where = f"{self.name}: {path} on {log}: {code}, {message}"
        self.cells += 1
        if not self.table.permits(self.subject, action, log):
            self.denied(where, code, message, f"not permitted to {action} to {log}")
            self.denials[path, log] = [text.replace(log, "LOG") for text in (
                message, details.decode("latin-1"))]
            return
        creates = path.endswith("CreateLog")
        if log in ABSENT:
            check(code == ("OK" if creates else "NOT_FOUND"), where)
            if creates:
                # So that it is absent for the next one too.
                gone = calls.ask(self.root, "/varve.v1.Admin/DeleteLog",
                                 calls.field(1, log) + calls.field(2, 0))
                check(gone == b"", f"{log} cannot be deleted again: {gone}")
            return
        # Allowed: what comes is about the request, no longer about who asks.
        expected = {"DeleteLog": ("FAILED_PRECONDITION",), "CreateLog": ("ALREADY_EXISTS",),
                    "GetReader": ("OK", "NOT_FOUND"), "BackUp": ("INVALID_ARGUMENT",)}
        check(code in expected.get(path.rpartition("/")[2], ("OK",)), where)
        if code == "OK" and action == "produce":
            self.appended[log] += 1

    def denied(self, where, code, message, why):
        if self.subject is None:
            why = "names no usable subject"
        else:
            why = f"{self.subject} {why}"
        check(code == "PERMISSION_DENIED" and why in message, f"{where}; expected: {why}")

    def others(self):
        """Methods about no log, or about all of them."""
        for path in sorted({*calls.OPEN, calls.LIST_LOGS, calls.SERVER_INFO}):
            answer = calls.ask(self.channel, path, calls.request(path))
            code, message, _ = calls.verdict(answer)
            where = f"{self.name}: {path}: {code}, {message}"
            self.cells += 1
            everywhere = self.table.permits(self.subject, "admin", "*")
            if self.subject is None or path == calls.SERVER_INFO and not everywhere:
                self.denied(where, code, message, "not permitted to admin to *")
                continue
            check(code == "OK", where)
            if path == calls.LIST_LOGS:
                expected = {log for log in EXISTING if any(
                    self.table.permits(self.subject, action, log)
                    for action in ("produce", "consume", "admin"))}
                check(logs_in(answer) == expected, f"{where}: {logs_in(answer)}, not {expected}")

    def compare(self, path):
        """A denial does not tell whether the log is there."""
        looks = {log: self.denials[path, log] for log in EXISTING + ABSENT
                 if (path, log) in self.denials}
        there = [look for log, look in looks.items() if log in EXISTING]
        for log in ABSENT:
            if log in looks and there:
                check(all(look == looks[log] for look in there if self.subject is None
                          or _lengths_aside(look) == _lengths_aside(looks[log])),
                      f"{self.name}: {path}: a denial tells {log} from a log that is there:"
                      f" {looks[log]} and {there}")
                self.alike += 1


def _lengths_aside(look):
    """The details without the bytes that say how long the name is."""
    return [look[0], "".join(char for char in look[1] if " " <= char <= "~")]


def logs_in(reply):
    logs = {log.log for log in admin_service_pb2.ListLogsResponse.FromString(reply).logs}
    return logs - {calls.AUDIT_LOG}


def ends_of(channel):
    reply = calls.ask(channel, calls.LIST_LOGS, b"")
    return {log.log: log.end_offset
            for log in admin_service_pb2.ListLogsResponse.FromString(reply).logs
            if log.log != calls.AUDIT_LOG}


def raw(text, kind=x509.name._ASN1Type.UTF8String):
    """A common name that the package would rather not make."""
    with warnings.catch_warnings(action="ignore"):
        return x509.NameAttribute(NameOID.COMMON_NAME, text, kind, _validate=False)


def identities(place):
    """Name, what docs/ACL.md and docs/OPERATIONS.md make of the certificate (`None` for nobody),
    and the certificate."""
    uri, dns = x509.UniformResourceIdentifier, x509.DNSName
    shop, admin = "spiffe://example.org/shop", "spiffe://example.org/admin"
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "root")

    def client(subject, *names, alternatives=()):
        return subject, place.authority.client(*names, alternatives=list(alternatives))

    return {
        "who may do everything": client("root", "root"),
        "a name with rules of its own": client("alice", "alice"),
        "that name in another case": client("Alice", "Alice"),
        "a member of a role's role": client("bob", "bob"),
        "a client that no rule names": client("nobody-knows", "nobody-knows"),
        "a name that is a role's": client("writers", "writers"),
        "a prefix of a name": client("roo", "roo"),
        "a name with more after it": client("root.", "root."),
        "a name with a blank after it": client("root ", "root "),
        "a wildcard for a name": client("*", "*"),
        "a pattern for a name": client("ro*", "ro*"),
        "a name like a subject's form": client("CN=root", "CN=root"),
        "who is allowed and denied all": client("shut-out", "shut-out"),
        "who may use the log `order` alone": client("every-log", "every-log"),
        "a SPIFFE name that disagrees with the common name": client(
            shop, "root", alternatives=[uri(shop)]),
        "a SPIFFE name without a common name": client(
            admin, organization, alternatives=[uri(admin)]),
        "a common name beside DNS and mail names": client("alice", "alice", alternatives=[
            dns("root"), x509.RFC822Name("root@example.org")]),
        "two SPIFFE names": client(None, "root", alternatives=[uri(shop), uri(admin)]),
        "a SPIFFE name and another URI": client(None, "root", alternatives=[
            uri(shop), uri("https://example.org/root")]),
        "another URI": client(None, "root", alternatives=[uri("https://example.org/root")]),
        "only the scheme of a SPIFFE name": client(None, "root", alternatives=[uri("spiffe://")]),
        "an empty common name": client(None, raw("")),
        "no common name": client(None, organization),
        "two common names": client(None, "root", "alice"),
        "a common name in UTF-8": client(None, "röot"),
        "a common name that looks like another": client(None, "r\u043e\u043et"),
        "a common name with a NUL": client(None, raw("root\0evil")),
        "a common name with a line's end": client(None, raw("root\nevent=forged")),
        "a common name in wide characters": client(None, raw(
            "root", x509.name._ASN1Type.BMPString)),
        "a common name of 256 characters": client(None, raw("r" * 256)),
    }
