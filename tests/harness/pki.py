"""Certificates for tests: an authority, what it issues, and what is wrong on purpose."""

import datetime
import ssl
import tempfile
from dataclasses import dataclass
from functools import cache

import trustme
from cryptography.hazmat.primitives import serialization

KEYS = {"RSA": trustme.KeyType.RSA, "ECDSA": trustme.KeyType.ECDSA}


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, and its key, both as PEM text."""
    chain: str
    key: str

    @property
    def der(self):
        """The first certificate, as DER."""
        return ssl.PEM_cert_to_DER_cert(self.leaf)

    @property
    def leaf(self):
        """The first certificate alone."""
        end = "-----END CERTIFICATE-----\n"
        return self.chain[:self.chain.index(end) + len(end)]

    def key_under(self, password):
        """The key, encrypted."""
        key = serialization.load_pem_private_key(self.key.encode(), None)
        sealed = serialization.BestAvailableEncryption(password.encode())
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed).decode()


class Authority:
    """Issues certificates."""

    def __init__(self):
        self._ca = trustme.CA()
        self.pem = self._ca.cert_pem.bytes().decode()

    def issue(self, *names, kind="ECDSA", common_name=None, expired=False):
        """A certificate for those names."""
        ends = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1) if expired else None
        made = self._ca.issue_cert(*names, key_type=KEYS[kind], common_name=common_name, not_after=ends)
        return Pair("".join(one.bytes().decode() for one in made.cert_chain_pems), made.private_key_pem.bytes().decode())

    def trust(self, context):
        """Makes an ssl.SSLContext trust it."""
        self._ca.configure_trust(context)


def load(context, pair):
    """Makes an ssl.SSLContext present it."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pair.chain + pair.key)
        file.flush()
        context.load_cert_chain(file.name)


@cache
def authority():
    """The one that tests share."""
    return Authority()


def pair(*names, kind="ECDSA"):
    """A certificate of the shared authority, made once for those names."""
    return _pair(names, kind)


@cache
def _pair(names, kind):
    return authority().issue(*names, kind=kind, common_name=names[0])
