"""An authority whose certificates name a responder, and that responder."""

import datetime
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from harness.pki import Pair

HOUR = datetime.timedelta(hours=1)
GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


class Responder:
    """Answers for all that `authority` issued; counts what it is asked."""

    def __init__(self, *, delegated=False):
        self.authority = Authority(self)
        self.signer = self.authority.delegate() if delegated else (self.authority.certificate, self.authority.key)
        self.status = {}
        self.silent = False
        self.asked = []
        responder = self

        class Handler(BaseHTTPRequestHandler):
            """POST alone, as RFC 6960 appendix A says it."""

            def do_POST(self):
                """Answers about the one certificate of the request."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/ocsp-request"
                serial = ocsp.load_der_ocsp_request(body).serial_number
                responder.asked.append(serial)
                if responder.silent:
                    self.send_error(503)
                    return
                answer = responder.answer(serial)
                self.send_response(200)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                """Says nothing."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.server.server_port}/ocsp"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, serial):
        """What it says about that certificate, signed, for an hour."""
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        status = self.status.get(serial, GOOD)
        revoked = now - HOUR if status == REVOKED else None
        (certificate, key), issuer = self.signer, self.authority.certificate
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=self.authority.issued[serial], issuer=issuer, algorithm=hashes.SHA1(), cert_status=status, this_update=now,
            next_update=now + HOUR, revocation_time=revoked, revocation_reason=None)
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        if certificate is not issuer:
            builder = builder.certificates([certificate])
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def stop(self):
        """It is there no more."""
        self.server.shutdown()
        self.server.server_close()


class Authority:
    """Issues certificates that name the responder."""

    def __init__(self, responder):
        self._responder = responder
        self.issued = {}
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign("authority of the responder", self.key, [(x509.BasicConstraints(ca=True, path_length=None), True)])
        self.pem = _pem(self.certificate)

    def issue(self, *names, kind="ECDSA"):
        """A server's certificate with its chain, and its key."""
        key = rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())
        named = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(self._responder.url))
        made = self._sign(names[0], key, [(named, False), (x509.AuthorityInformationAccess([access]), False)])
        self.issued[made.serial_number] = made
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Pair(_pem(made) + self.pem, private.decode())

    def delegate(self):
        """Somebody who may answer for it, and its key."""
        key = rsa.generate_private_key(65537, 2048)
        return self._sign("delegate", key, [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)]), key

    def _sign(self, name, key, extensions):
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = self.certificate.subject if hasattr(self, "certificate") else subject
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), now - HOUR, now + 24 * HOUR)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())


def serial(pair):
    """The serial number of a pair's certificate."""
    return x509.load_pem_x509_certificate(pair.leaf.encode()).serial_number


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
