"""Certificates as they should be, and as nobody should take them.

Names, times and extensions come from the package `cryptography`. What that refuses to make is made
by changing bytes of a certificate and signing it again.
"""

import base64
import datetime
import ipaddress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
# sha256WithRSAEncryption, and what may stand in its place: all of one length.
_SHA256_RSA = bytes.fromhex("06092a864886f70d01010b")
_OTHER_RSA = {hashes.MD5: bytes.fromhex("06092a864886f70d010104"),
              hashes.SHA1: bytes.fromhex("06092a864886f70d010105")}


def ec_key():
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def name(*attributes):
    """A name of common names; a pair of a text and a type has an encoding of its own."""
    return x509.Name([attribute if isinstance(attribute, x509.NameAttribute)
                      else x509.NameAttribute(NameOID.COMMON_NAME, attribute)
                      for attribute in attributes])


@dataclass
class Wish:
    """What a certificate is to say; a good client's unless something is named."""

    subject: x509.Name
    alternatives: list = field(default_factory=list)
    usages: tuple = (CLIENT,)
    begins: datetime.datetime = NOW - DAY
    ends: datetime.datetime = NOW + 30 * DAY
    is_ca: bool = False
    path_length: int | None = None
    signs: bool = True
    permitted: list | None = None
    key: object = None


@dataclass
class Holder:
    """A certificate with its key, and those that lead to its root."""

    certificate: x509.Certificate
    key: object
    chain: tuple = ()
    # In place of the certificate's own bytes.
    changed: bytes | None = None

    def der(self):
        return self.changed or self.certificate.public_bytes(serialization.Encoding.DER)

    def pem(self):
        """With the chain after it."""
        return b"".join(to_pem(der) for der in [self.der(), *(one.der() for one in self.chain)])

    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM,
                                      serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())

    def issue(self, wish):
        """A certificate that this one signs."""
        key = wish.key or ec_key()
        certificate = _builder(wish, self.certificate.subject, key).sign(self.key, hashes.SHA256())
        return Holder(certificate, key, (self, *self.chain) if self.chain is not None else ())

    def client(self, *names, **more):
        return leaf(self.issue(Wish(name(*names), **more)))

    def resigned(self, holder, change, digest=hashes.SHA256):
        """`holder` with `change` done to the bytes that are signed, and signed anew."""
        signed = change(holder.certificate.tbs_certificate_bytes)
        algorithm = _SHA256_RSA
        if digest in _OTHER_RSA:
            algorithm = _OTHER_RSA[digest]
            signed = signed.replace(_SHA256_RSA, algorithm)
        signature = self.key.sign(signed, padding.PKCS1v15(), digest())
        whole = (signed + element(0x30, algorithm + b"\x05\x00")
                 + element(0x03, b"\x00" + signature))
        return Holder(holder.certificate, holder.key, holder.chain, element(0x30, whole))


def element(tag, content):
    """An element of DER."""
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def to_pem(der):
    digits = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + digits + b"-----END CERTIFICATE-----\n"


def leaf(holder):
    """Without the root, which nobody sends."""
    return Holder(holder.certificate, holder.key, tuple(
        one for one in holder.chain if one.certificate.issuer != one.certificate.subject),
        holder.changed)


def self_signed(wish):
    certificate = _builder(wish, wish.subject, wish.key).sign(wish.key, hashes.SHA256())
    return Holder(certificate, wish.key)


def root(common_name="Security CA", **more):
    return self_signed(Wish(name(common_name), usages=(), is_ca=True, key=rsa_key(), **more))


def server(authority, common_name="server"):
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    # RSA, so that suites without forward secrecy would be possible.
    return leaf(authority.issue(Wish(name(common_name), alternatives, usages=(SERVER,),
                                     key=rsa_key())))


def _builder(wish, issuer, key):
    builder = (x509.CertificateBuilder().subject_name(wish.subject).issuer_name(issuer)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(wish.begins).not_valid_after(wish.ends)
               .add_extension(x509.BasicConstraints(wish.is_ca, wish.path_length), critical=True)
               .add_extension(_key_usage(wish), critical=True))
    if wish.alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(wish.alternatives), False)
    if wish.usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(wish.usages), critical=False)
    if wish.permitted:
        builder = builder.add_extension(x509.NameConstraints(wish.permitted, None), critical=True)
    return builder


def _key_usage(wish):
    return x509.KeyUsage(
        digital_signature=wish.signs and not wish.is_ca, key_encipherment=not wish.is_ca,
        key_cert_sign=wish.is_ca, crl_sign=wish.is_ca, content_commitment=not wish.signs,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False)
