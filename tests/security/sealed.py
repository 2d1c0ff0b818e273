"""TLS for two threads: one that reads and one that writes.

OpenSSL allows one at a time on a connection, and a reader waits; so reading waits outside of
OpenSSL, at the socket.
"""

import ssl
import threading

CHUNK = 1 << 16


class Sealed:
    """A socket with TLS on it, as far as `wire.Peer` needs one."""

    def __init__(self, raw, context):
        self.raw = raw
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._lock, self._sending = threading.Lock(), threading.Lock()
        while not self._step(self._tls.do_handshake):
            self._pull()

    def _step(self, what):
        """Tries something that may need bytes from the other side first."""
        try:
            what()
            return True
        except ssl.SSLWantReadError:
            return False
        finally:
            # Also an alert, before the error goes on.
            self.raw.sendall(self._outgoing.read())

    def _pull(self):
        received = self.raw.recv(CHUNK)
        if not received:
            raise ConnectionError("closed in the handshake")
        self._incoming.write(received)

    def sendall(self, data):
        with self._sending:
            for at in range(0, len(data), CHUNK):
                with self._lock:
                    self._tls.write(data[at:at + CHUNK])
                    out = self._outgoing.read()
                self.raw.sendall(out)

    def recv(self, size):
        """Some bytes; none once the other side has closed."""
        while True:
            with self._lock:
                try:
                    return self._tls.read(size)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:
                    return b""
            received = self.raw.recv(CHUNK)
            if not received:
                return b""
            with self._lock:
                self._incoming.write(received)

    def settimeout(self, seconds):
        self.raw.settimeout(seconds)

    def shutdown(self, how):
        self.raw.shutdown(how)

    def close(self):
        self.raw.close()

    def version(self):
        return self._tls.version()

    def cipher(self):
        return self._tls.cipher()
