"""TLS clients: contexts for any version and suite, an HTTP/1.1 connection over TLS, and `openssl s_client`."""

import ssl
import subprocess

from harness import pki
from harness.http1 import Connection

VERSIONS = {"TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
SITE = "site.example.com"
REFUSALS = (ssl.SSLError, ConnectionError)


def context(*, version=None, suites=None, alpn=None, client=None, verify=True):
    """A client that trusts the tests' authority.

    `version`: that one only; `suites`: OpenSSL's names, of TLS 1.2 and before, in the client's order; `client`: its own pki.Pair. What
    is old is allowed, so that the load balancer alone decides.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    pki.authority().trust(made)
    if version:
        if version in ("TLSv1", "TLSv1.1"):
            made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = made.maximum_version = VERSIONS[version]
    if suites:
        made.set_ciphers(":".join([*suites, "@SECLEVEL=0"]))
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if client:
        pki.load(made, client)
    return made


class Secure(Connection):
    """HTTP/1.1 over TLS."""

    def __init__(self, where, *, context=None, name=SITE, session=None, **options):
        super().__init__(where, **options)
        try:
            self.socket = (context or _plain()).wrap_socket(self.socket, server_hostname=name, session=session)
        except BaseException:
            self.close()
            raise

    @property
    def certificate(self):
        """The server's, as DER."""
        return self.socket.getpeercert(binary_form=True)

    @property
    def suite(self):
        """OpenSSL's name of the suite."""
        return self.socket.cipher()[0]


def _plain():
    return context()


def get(where, target="/", *, source=None, context=None, name=SITE, headers=(), **options):
    """One request on a connection of its own."""
    with Secure(where, context=context, name=name, source=source) as client:
        return client.ask(target, headers=[*headers, ("Connection", "close")], **options)


def suite_with(where, **terms):
    """The suite that a client with those terms (see `context`) gets; None when it is refused."""
    try:
        with Secure(where, context=context(**terms)) as client:
            return client.suite
    except REFUSALS:
        return None


def s_client(where, *arguments, stdin=b"", name=SITE, seconds=20):
    """`openssl s_client`; its output as text."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"{where[0]}:{where[1]}", "-servername", name, *map(str, arguments)],
                          input=stdin, capture_output=True, timeout=seconds)
    return (done.stdout + done.stderr).decode(errors="replace")
