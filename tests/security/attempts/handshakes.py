"""Bad handshakes. Each client names the subject `root`, who may do everything, and appends a record
to the log `default` with its first bytes: a handler that ran would leave the record there."""

import contextlib
import ipaddress
import re
import ssl
import subprocess
import time

import grpc
import wire
from attempts import hellos, swapped
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from ground import Place, context, dial, refusal, tls, until
from log_pb2 import ProduceRequest, ProduceResponse, Record
from proofs import check

import pki

PRODUCE = "/log.v1.Log/Produce"
RECORD = ProduceRequest(record=Record(value=b"from a bad handshake")).SerializeToString()
GOOD = ProduceRequest(record=Record(value=b"good")).SerializeToString()
# What a handler or the checker before it would write.
OF_A_CALL = re.compile(r"event=denied|event=call_refused|event=log_")
WORDS_OF_CORE = re.compile(
    r'text="(?:Handshake failed with fatal error \w+: )?(?:error:\w+:)?(.*?)\.?"')
# The server closes what has not finished its handshake after 5 s.
CLOSED_S_MAX = 8
# What the core says of a certificate that its OpenSSL does not take. Which of its rules that was it
# never says, so each that comes by way of another CA has its like in `taken`.
UNVERIFIED = "certificate verify failed"
# Of a signature by another key it says what came out of it, which is chance.
WORDS = {"no certificate": "peer did not return a certificate",
         "a CA of the same name with another key": "routines",
         "a signature with a flipped bit": "routines"}


def run(ground):
    place = Place(ground.folder / "place", "p, root, *, *\np, good, default, produce\n")
    place.serve()
    check(good(place) == 0, "the log is not empty")
    # The same bytes by a good handshake are taken, so that what is refused is the handshake.
    peer = wire.Peer(tls(place, context(place, place.client("root"))))
    check(append(peer) == ("0", ""), f"a good handshake is refused: {peer.statuses} {peer.error}")
    peer.close()
    check(good(place) == 2, "the record of the good handshake is not there")
    accepted = 0
    for name, made in taken(place):
        appended, how = good(place), shown(place, made)
        check(not how, f"{name}: a good handshake is {how}")
        check(good(place) == appended + 2, f"{name}: the record of the good handshake is not there")
        ground.say(f"{name}: taken")
        accepted += 1
    tried = 0
    for name, attempt in kinds(place):
        refused(place, ground, name, attempt)
        tried += 1
    place.stop()
    return [f"cases: {tried} kinds of bad handshake, each refused before any handler, and a good"
            f" client served after each; {accepted} good ones that are like them are taken",
            aborting(ground)]


def refused(place, ground, name, attempt):
    """Tries one that must fail, and looks for what it left."""
    told, appended = len(place.lines()), good(place)
    how = attempt()
    time.sleep(0.05)
    check(how, f"{name}: the handshake was taken")
    check(good(place) == appended + 1, f"{name}: a record of it is in the log")
    new = place.lines()[told:]
    ran = [line for line in new if OF_A_CALL.search(line)]
    check(not ran, f"{name}: a handler or the checker ran: {ran}")
    ground.say(f"{name}: {how}; the server: {why(new)}")


def why(lines):
    """What the core wrote about it, if it did."""
    found = WORDS_OF_CORE.findall("\n".join(lines))
    return "; ".join(dict.fromkeys(found)) or "nothing"


def good(place):
    """Appends as a good client with a handshake of its own; the record's offset."""
    return ProduceResponse.FromString(place.call("good", PRODUCE, GOOD, timeout=10)).offset


def append(peer):
    """Asks for the record and says what came; None if the connection closed."""
    peer.send(wire.call(1, wire.block(PRODUCE), RECORD))
    return peer.wait_status(1, CLOSED_S_MAX)


def kinds(place):
    """Each kind of handshake with what says how it was refused, or nothing if it was not."""
    for name, holder in holders(place):
        yield name, lambda name=name, holder=holder: said(
            place, name, context(place, holder))
        if name == "expired":
            # Also by the older protocol, whose server looks before the client is done.
            versions = (ssl.TLSVersion.TLSv1_2,) * 2
            yield name + ", TLS 1.2", lambda holder=holder, versions=versions: said(
                place, "expired", context(place, holder, versions=versions))
    for name, holder in malformed(place):
        yield name, lambda holder=holder: called(place, holder)
    root = place.client("root")
    yield "another's certificate without its key", lambda: swapped.shown(place, root)
    yield "a signature by the wrong key", lambda: swapped.shown(place, root, own_name=True)
    for name, alpn in (("no ALPN", ()), ("ALPN http/1.1", ("http/1.1",)),
                       ("ALPN h2c and grpc-exp", ("h2c", "grpc-exp2"))):
        yield name, lambda alpn=alpn: shown(place, context(place, root, alpn))
    for name, version in (("TLS 1.0", ssl.TLSVersion.TLSv1), ("TLS 1.1", ssl.TLSVersion.TLSv1_1)):
        yield name, lambda version=version: shown(
            place, context(place, root, versions=(version, version)))
    for suite in ("NULL-SHA256", "AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA",
                  "DHE-RSA-AES128-GCM-SHA256", "AECDH-AES128-SHA"):
        yield f"suite {suite}", lambda suite=suite: shown(place, context(
            place, root, ciphers=f"{suite}:@SECLEVEL=0", versions=(ssl.TLSVersion.TLSv1_2,) * 2))
    yield "renegotiation", lambda: renegotiated(place, root)
    for name, hello in hellos.ALL.items():
        yield name, lambda hello=hello: answered(place, hello)


def taken(place):
    """What must be taken. Each differs from a kind of bad handshake by what is bad about that."""
    ca = place.authority
    for name, holder in {
            "a path as long as its CA allows": below(ca, path_length=1).client("root"),
            "an intermediate that is there": below(ca).client("root"),
            "a name that its CA may give": narrow(ca).client(
                "root", alternatives=[x509.DNSName("inside.example")]),
            "RSA of 2048 bits": ca.client("root", key=pki.rsa_key()),
            "a signature made anew": ca.resigned(ca.client("root"), lambda tbs: tbs),
            "alternative names": ca.client("root", alternatives=[x509.DNSName("fiver")])}.items():
        yield name, context(place, holder)
    yield "TLS 1.2", context(place, place.client("root"), versions=(ssl.TLSVersion.TLSv1_2,) * 2)
    yield "suite ECDHE-RSA-AES128-GCM-SHA256", context(
        place, place.client("root"), ciphers="ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0",
        versions=(ssl.TLSVersion.TLSv1_2,) * 2)


def below(ca, path_length=None):
    """A CA two below the root, under one that allows so many CAs between itself and a client."""
    above = ca.issue(pki.Wish(pki.name("Above"), usages=(), is_ca=True, path_length=path_length,
                              key=pki.rsa_key()))
    return above.issue(pki.Wish(pki.name("Below"), usages=(), is_ca=True, key=pki.rsa_key()))


def narrow(ca):
    """A CA that may give names below one alone."""
    return ca.issue(pki.Wish(pki.name("Narrow CA"), usages=(), is_ca=True, key=pki.rsa_key(),
                             permitted=[x509.DNSName("inside.example")]))


def holders(place):
    """Certificates that a client may show and that no server should take."""
    ca, other = place.authority, pki.root("Other CA")
    namesake = pki.root("Security CA")
    root = ca.client("root")
    yield "no certificate", None
    yield "self-signed", pki.root("root")
    yield "self-signed, for clients", pki.self_signed(pki.Wish(pki.name("root"), key=pki.ec_key()))
    yield "another CA", other.client("root")
    yield "a CA of the same name with another key", namesake.client("root")
    yield "expired", ca.client("root", begins=pki.NOW - 9 * pki.DAY, ends=pki.NOW - pki.DAY)
    yield "expired a moment ago", ca.client("root", ends=pki.NOW)
    yield "not yet valid", ca.client("root", begins=pki.NOW + pki.DAY)
    yield "for servers only", ca.client("root", usages=(pki.SERVER,))
    yield "a key that may not sign handshakes", ca.client("root", signs=False)
    between = pki.Wish(pki.name("root"), usages=(), is_ca=True, key=pki.rsa_key())
    yield "a CA's certificate as a client's", pki.leaf(ca.issue(between))
    yield "a path longer than its CA allows", below(ca, path_length=0).client("root")
    cut = below(ca).client("root")
    yield "an intermediate that is missing", pki.Holder(cut.certificate, cut.key)
    yield "signed by a client's certificate", pki.leaf(root.issue(pki.Wish(pki.name("root"))))
    yield "a name that its CA may not give", narrow(ca).client(
        "root", alternatives=[x509.DNSName("outside.example")])
    yield "a signature with a flipped bit", pki.Holder(
        root.certificate, root.key, (), root.der()[:-1] + bytes([root.der()[-1] ^ 1]))
    yield "RSA of 1024 bits", ca.client("root", key=pki.rsa_key(1024))
    yield "a signature with MD5", ca.resigned(root, lambda tbs: tbs, hashes.MD5)
    yield "a signature with SHA-1", ca.resigned(root, lambda tbs: tbs, hashes.SHA1)
    named = ca.client("root", alternatives=[x509.DNSName("fiver")])
    yield "an unknown critical extension", ca.resigned(root, critical_usage)


def malformed(place):
    """Certificates that only the server reads closely: this side's OpenSSL does not load them."""
    named = place.authority.client("root", alternatives=[x509.DNSName("fiver")])
    for name, instead in (("end too late", b"\x82\x09fiver"),
                          ("have an unknown form", b"\x9f\x05fiver"),
                          ("are none", b"\x02\x05fiver")):
        yield f"alternative names that {name}", place.authority.resigned(
            named, lambda tbs, instead=instead: tbs.replace(b"\x82\x05fiver", instead))


def critical_usage(tbs):
    """Makes the last arc of the extension's identifier one that nobody knows, and it critical."""
    old = bytes.fromhex("0603551d25")
    at = tbs.index(old)
    # The key usage before it is critical already; that identifier becomes the unknown one.
    usage = bytes.fromhex("0603551d0f")
    check(usage in tbs and at > 0, "the certificate has another form")
    return tbs.replace(usage, bytes.fromhex("0603551d7e"))


def shown(place, made):
    """Shakes hands and appends; how that was refused, or nothing."""
    try:
        sock = tls(place, made, CLOSED_S_MAX)
    except (ssl.SSLError, OSError) as error:
        return f"refused in the handshake, {reason(error)}"
    peer = wire.Peer(sock)
    try:
        status = append(peer)
        if status is None and peer.wait_closed(CLOSED_S_MAX):
            return "closed after the client's part of the handshake"
        return None
    finally:
        peer.close()


def said(place, name, made):
    """The same, where the server has to say of a refusal why."""
    told, words = len(place.lines()), WORDS.get(name, UNVERIFIED)
    how = shown(place, made)
    if how:
        until(lambda: words in why(place.lines()[told:]), f"the server to say `{words}` of a"
              f" handshake ({name}) that was {how}", CLOSED_S_MAX)
    return how


def called(place, holder):
    """The same with gRPC's client, which does not look at its own certificate."""
    code, _ = refusal(lambda: place.call(holder, PRODUCE, RECORD, timeout=CLOSED_S_MAX))
    return "closed after the client's part of the handshake" if code == "UNAVAILABLE" else None


def reason(error):
    return getattr(error, "reason", None) or type(error).__name__


def answered(place, hello):
    """Sends bytes that are no handshake; the server may answer with an alert, and closes."""
    with dial(place, CLOSED_S_MAX) as sock:
        began, answer = time.monotonic(), b""
        with contextlib.suppress(ConnectionError):
            sock.sendall(hello)
            while chunk := sock.recv(4096):
                answer += chunk
                # A handshake message: the server would go on.
                if answer[0] == 22:
                    return None
        alert = f"alert {answer[6]}" if answer[:1] == b"\x15" and len(answer) == 7 else "nothing"
        check(answer[:1] in (b"", b"\x15"), f"the server answers {answer[:40]!r}")
        return f"{alert}, closed after {time.monotonic() - began:.1f} s"


def renegotiated(place, holder):
    """A client that asks for another handshake inside a good one."""
    certificate, key = place.folder / "again.pem", place.folder / "again.key"
    certificate.write_bytes(holder.pem())
    key.write_bytes(holder.key_pem())
    client = subprocess.Popen(
        ["openssl", "s_client", "-tls1_2", "-alpn", "h2", "-connect", f"127.0.0.1:{place.port}",
         "-cert", certificate, "-key", key, "-CAfile", place.folder / "ca.pem"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with client:
        time.sleep(0.5)
        with contextlib.suppress(BrokenPipeError):
            client.stdin.write(b"R\n")
            client.stdin.flush()
        time.sleep(0.5)
        with contextlib.suppress(BrokenPipeError):
            client.stdin.close()
        try:
            output = client.stdout.read().decode(errors="replace")
        finally:
            client.kill()
    check("RENEGOTIATING" in output and "Verify return code: 0" in output,
          f"openssl did not come that far: {output[-500:]}")
    refused = re.search(r"no renegotiation|unexpected message|handshake failure", output)
    return f"refused: {refused[0]}" if refused else None


def aborting(ground):
    """Certificates by our own CA that the C core does not survive. The promise is that nothing
    acknowledged is lost and that the next start is soon."""
    place = Place(ground.folder / "aborting", "p, good, default, produce\n")
    named = place.authority.client("good", alternatives=[x509.DNSName("fiver")])
    changed = place.authority.resigned(
        named, lambda tbs: tbs.replace(b"\x82\x05fiver", b"\x87\x05fiver"))
    times = []
    rounds = ground.of(3, 10)
    for number in range(rounds):
        server = place.serve()
        check(good(place) == number, "an acknowledged record is lost")
        with contextlib.suppress(OSError, ssl.SSLError):
            peer = wire.Peer(tls(place, context(place, changed)))
            append(peer)
        code = server.wait(10)
        if code is None:
            check(good(place) == number + 1, "the record of the bad certificate is in the log")
            place.stop()
            return "cases: 1 IP address of 5 bytes in a certificate, refused without an abort"
        check(code == -6, f"the server ended with {code}: {server.log()[-600:]}")
        began = time.monotonic()
        again = place.serve()
        until(lambda: refusal(lambda: place.call("good", PRODUCE, b""))[0] == "INVALID_ARGUMENT",
              "a good client to be served")
        times.append(time.monotonic() - began)
        check(again.is_alive(), "the server ended again")
        again.kill()
    # One that is well-formed shows that only its length matters.
    fine = place.authority.client(
        "good", alternatives=[x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    place.serve()
    check(ProduceResponse.FromString(place.call(fine, PRODUCE, GOOD)).offset == rounds,
          "an acknowledged record is lost")
    place.stop()
    return (f"cases: {rounds} IP addresses of 5 bytes in certificates of our own CA, each ending"
            f" the server with SIGABRT, and nothing acknowledged lost; served again after at most"
            f" {max(times) * 1000:.0f} ms (R5)")


__all__ = ["grpc", "run"]
