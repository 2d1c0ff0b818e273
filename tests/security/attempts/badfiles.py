"""Files with which no server should go on: certificates, keys, authorities and access lists."""

import shutil

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (BestAvailableEncryption, Encoding,
                                                          PrivateFormat)

import pki

CERTIFICATE, KEY, AUTHORITIES, POLICY = "server.pem", "server-key.pem", "ca.pem", "acl.csv"


def kinds(place):
    """Name, which file, and what to do to it."""
    for file in (CERTIFICATE, KEY, AUTHORITIES, POLICY):
        yield f"{file} missing", file, lambda path: path.unlink()
        yield f"{file} a folder", file, _folder
        if file != POLICY:
            yield f"{file} empty", file, written(b"")
        yield f"{file} with noise", file, written(bytes(range(256)) * 16)
        yield f"{file} cut in the middle", file, lambda path: path.write_bytes(
            path.read_bytes()[:len(path.read_bytes()) // 2].rstrip())
        yield f"{file} with a NUL", file, lambda path: path.write_bytes(
            path.read_bytes()[:40] + b"\0" + path.read_bytes()[40:])
    yield from certificates(place)
    yield from keys(place)
    yield from authorities(place)
    yield from policies()


def certificates(place):
    ca, key = place.authority, place.server_holder.key

    def server(**more):
        wish = pki.Wish(**{"subject": pki.name("server"), "usages": (pki.SERVER,), "key": key,
                           **more})
        return written(pki.leaf(ca.issue(wish)).pem())

    def changed(old, new):
        wish = pki.Wish(pki.name("server"), [x509.DNSName("fiver")], (pki.SERVER,), key=key)
        return written(pki.leaf(ca.resigned(
            ca.issue(wish), lambda tbs: tbs.replace(old, new))).pem())

    yield "a certificate that expired", CERTIFICATE, server(
        begins=pki.NOW - 9 * pki.DAY, ends=pki.NOW - pki.DAY)
    yield "a certificate that is not valid yet", CERTIFICATE, server(begins=pki.NOW + pki.DAY)
    yield "a client's certificate", CERTIFICATE, server(usages=(pki.CLIENT,))
    yield "a CA's certificate", CERTIFICATE, server(is_ca=True, usages=())
    yield "a certificate of another key", CERTIFICATE, server(key=pki.rsa_key())
    yield "a certificate whose key may not sign", CERTIFICATE, server(signs=False)
    # The core would abort on it.
    yield "a certificate with an IP address of 5 bytes", CERTIFICATE, changed(
        b"\x82\x05fiver", b"\x87\x05fiver")
    yield "a certificate whose names end too late", CERTIFICATE, changed(
        b"\x82\x05fiver", b"\x82\x09fiver")
    yield "a key in the certificate's place", CERTIFICATE, written(place.server_holder.key_pem())


def keys(place):
    key = place.server_holder.key
    yield "another key", KEY, written(pki.Holder(None, pki.rsa_key()).key_pem())
    yield "a key with a password", KEY, written(key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    yield "a key that everyone may read", KEY, lambda path: path.chmod(0o644)
    yield "a certificate in the key's place", KEY, written(place.server_holder.pem())


def authorities(place):
    ca = place.authority
    between = ca.issue(pki.Wish(pki.name("Between"), usages=(), is_ca=True, key=pki.rsa_key()))
    old = pki.root("Old CA", begins=pki.NOW - 9 * pki.DAY, ends=pki.NOW - pki.DAY)
    yield "a client's certificate for a CA", AUTHORITIES, written(ca.client("root").pem())
    yield "a CA that is no root", AUTHORITIES, written(pki.leaf(between).pem())
    yield "a CA that expired", AUTHORITIES, written(old.pem())
    yield "a good CA and one that expired", AUTHORITIES, written(ca.pem() + old.pem())
    yield "a CA with a weak key", AUTHORITIES, written(_weak().pem())


def _weak():
    wish = pki.Wish(pki.name("Weak CA"), usages=(), is_ca=True, key=pki.rsa_key(1024))
    return pki.self_signed(wish)


def policies():
    good = "p, good, default, produce\n"
    deep = "".join(f"g, r{number}, r{number + 1}\n" for number in range(9))
    for name, line in {
            "an unknown action": "p, good, default, write\n",
            "an unknown effect": "p, good, default, produce, maybe\n",
            "a star for a subject": "p, *, default, produce\n",
            "a star in a log's name": "p, good, or*rs, produce\n",
            "a log's name in capitals": "p, good, Orders, produce\n",
            "a circle of roles": "g, a, b\ng, b, a\n",
            "nine memberships in a row": deep,
            "an unknown kind of line": "q, good, default, produce\n",
            "a field too many": "p, good, default, produce, allow, more\n",
            "a field too few": "p, good, default\n",
            "an empty subject": "p, , default, produce\n",
            "a subject beyond ASCII": "p, röot, default, produce\n",
            "a quote that does not end": 'p, "good, default, produce\n',
    }.items():
        yield f"a policy with {name}", POLICY, written((good + line).encode())
    yield "a policy that is not UTF-8", POLICY, written(
        good.encode() + b"p, \xff, default, admin\n")


def written(content):
    return lambda path: path.write_bytes(content)


def _folder(path):
    path.unlink()
    path.mkdir()


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
