"""SDK-HMAC-SHA256, written from the description of the signature, so that single parts of a signed request can be wrong."""

import hashlib
import hmac
from datetime import datetime, timezone
from urllib.parse import quote, unquote

ALGORITHM = "SDK-HMAC-SHA256"


def encode(text):
    """RFC 3986: letters, digits and -_.~ stay."""
    return quote(text, safe="~")


def query_string(query):
    """Sorted and encoded; also what goes over the wire."""
    return "&".join(f"{encode(key)}={encode(value)}" for key, value in sorted(query))


def canonical_request(method, path, query, headers, signed, body):
    """What is hashed. `headers` by lower-case name; `signed` the names in order."""
    uri = "/".join(encode(part) for part in unquote(path).split("/"))
    uri += "" if uri.endswith("/") else "/"
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in signed)
    payload = hashlib.sha256(body).hexdigest()
    return "\n".join([method, uri, query_string(query), lines, ";".join(signed), payload])


def sign(method, path, query, headers, body, *, access_key, secret_key, at=None):
    """The headers to send, `Authorization` among them. `query`: list of pairs; `at`: when it claims to be made (UTC)."""
    at = at or datetime.now(timezone.utc)
    headers = {**headers, "X-Sdk-Date": at.strftime("%Y%m%dT%H%M%SZ")}
    lower = {name.lower(): value for name, value in headers.items()}
    signed = sorted(name for name in lower if "_" not in name)
    canonical = canonical_request(method, path, query, lower, signed, body)
    to_sign = "\n".join([ALGORITHM, headers["X-Sdk-Date"], hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(secret_key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = f"{ALGORITHM} Access={access_key}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    return headers
