"""A client that shows a certificate whose key it does not have.

TLS 1.2 sends the client's certificate in the clear. So a client of our own with an honest
certificate shakes hands through this, which puts another of the same length in its place.
"""

import ssl

from ground import context, dial
from proofs import check


def shown(place, victim, own_name=False):
    """How the handshake is refused; nothing if it is not. The own certificate is of another
    subject, or of the same subject with another key."""
    own = like(place, victim, "root" if own_name else "evil")
    made = context(place, own, versions=(ssl.TLSVersion.TLSv1_2,) * 2)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = made.wrap_bio(incoming, outgoing, server_hostname="localhost")
    swapped = 0
    with dial(place, 8) as sock:
        while True:
            try:
                client.do_handshake()
                return None
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                check(swapped == 1, f"the certificate was swapped {swapped} times")
                return f"refused in the handshake, {error.reason}"
            sent = outgoing.read()
            swapped += sent.count(own.der())
            sock.sendall(sent.replace(own.der(), victim.der()))
            received = sock.recv(1 << 16)
            if not received:
                check(swapped == 1, f"the certificate was swapped {swapped} times")
                return "closed in the handshake"
            incoming.write(received)


def like(place, victim, name):
    """A certificate as long as the victim's: a serial number may be a byte shorter."""
    for _ in range(200):
        own = place.authority.client(name)
        if len(own.der()) == len(victim.der()):
            return own
    raise AssertionError("no certificate of that length")
