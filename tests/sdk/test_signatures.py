"""AK/SK: what is let in, and that every part of a signed request is covered by the signature."""

import hashlib
import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from harness import signing
from harness.api import JSON, Api
from harness.contract import DATA
from harness.sdk import Elb, client

EXAMPLE = json.loads((DATA / "signature.json").read_text())


def test_the_worked_example_comes_out_of_both_signers():
    at = datetime.strptime(EXAMPLE["date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    query = [tuple(pair) for pair in EXAMPLE["query"]]
    ours = signing.sign(EXAMPLE["method"], EXAMPLE["path"], query, EXAMPLE["headers"], b"", access_key=EXAMPLE["access_key"],
                        secret_key=EXAMPLE["secret_key"], at=at)
    assert ours["Authorization"].endswith("Signature=" + EXAMPLE["signature"])
    lower = {name.lower(): value for name, value in ours.items() if name != "Authorization"}
    canonical = signing.canonical_request(EXAMPLE["method"], EXAMPLE["path"], query, lower, sorted(lower), b"")
    assert hashlib.sha256(canonical.encode()).hexdigest() == EXAMPLE["canonical_sha256"]
    theirs = SdkRequest(method=EXAMPLE["method"], schema="http", host=EXAMPLE["headers"]["Host"], resource_path=EXAMPLE["path"], query_params=query,
                        header_params={**EXAMPLE["headers"], "X-Sdk-Date": EXAMPLE["date"]}, body="")
    Signer(SimpleNamespace(ak=EXAMPLE["access_key"], sk=EXAMPLE["secret_key"])).sign(theirs)
    assert theirs.header_params["Authorization"] == ours["Authorization"]
    assert theirs.uri == EXAMPLE["target"]


class Signed:
    """A signed request whose parts can be changed after signing."""

    def __init__(self, fulcrum, *, method="GET", path="elb/loadbalancers", query=(), body=b"", at=None, headers=None, **credentials):
        found = fulcrum.credentials
        self.api = Api(fulcrum.endpoint, found["project_id"])
        self.method, self.body, self.query = method, body, list(query)
        self.path = f"/v3/{found['project_id']}/{path}"
        base = {"Content-Type": JSON, "Host": urlsplit(fulcrum.endpoint).netloc, **(headers or {})}
        keys = {"access_key": found["access_key"], "secret_key": found["secret_key"], **credentials}
        self.headers = signing.sign(method, self.path, self.query, base, body, at=at, **keys)

    def send(self):
        return self.api.request(self.method, self.path, raw=self.body, query=self.query, headers=self.headers)


@pytest.mark.parametrize("query", [[], [("limit", "2"), ("name", "a b"), ("name", "ü")], [("name", "")], [("name", "a+b&c=d/e?~")], [("name", "z"), ("name", "a")]])
def test_any_query_is_signed_right(fulcrum, query):
    assert Signed(fulcrum, query=query).send().status == 200


def test_a_body_is_signed_right_and_one_on_get_is_taken(fulcrum):
    assert Signed(fulcrum, body=b'{"x": 1}').send().status == 200
    assert Signed(fulcrum, headers={"X-Project-Id": fulcrum.credentials["project_id"]}).send().status == 200


def tampered():
    """Each way of changing a request after it was signed."""
    def body(r): r.body = b'{"loadbalancer": {"name": "other"}}'
    def query(r): r.query.append(("limit", "1"))
    def path(r): r.path = r.path.replace("loadbalancers", "listeners")
    def method(r): r.method = "DELETE"
    def header(r): r.headers["Content-Type"] = "application/json"
    def date(r): r.headers["X-Sdk-Date"] = "20240102T030405Z"
    def signature(r): r.headers["Authorization"] = r.headers["Authorization"][:-1] + ("0" if r.headers["Authorization"][-1] != "0" else "1")
    def short(r): r.headers["Authorization"] = r.headers["Authorization"][:-10]
    def no_signature(r): r.headers["Authorization"] = r.headers["Authorization"].split(", Signature")[0]
    def unknown_scheme(r): r.headers["Authorization"] = r.headers["Authorization"].replace("SDK-HMAC-SHA256", "SDK-HMAC-SM3")
    def garbage(r): r.headers["Authorization"] = "SDK-HMAC-SHA256 nonsense"
    def basic(r): r.headers["Authorization"] = "Basic dXNlcjpwYXNz"
    def no_date(r): del r.headers["X-Sdk-Date"]
    def host_unsigned(r): r.headers["Authorization"] = r.headers["Authorization"].replace("host;", "")
    return [body, query, path, method, header, date, signature, short, no_signature, unknown_scheme, garbage, basic, no_date, host_unsigned]


@pytest.mark.parametrize("change", tampered(), ids=lambda change: change.__name__)
def test_a_request_that_was_changed_after_signing_is_refused(fulcrum, change):
    request = Signed(fulcrum)
    assert request.send().status == 200
    change(request)
    reply = request.send()
    assert reply.status == 401, reply.text
    assert reply.code == "APIGW.0301" and reply.json["request_id"] == reply.headers["X-Request-Id"]


@pytest.mark.parametrize("minutes, status", [(0, 200), (14, 200), (-14, 200), (16, 401), (-16, 401), (60 * 24 * 365, 401)])
def test_the_clock_may_be_fifteen_minutes_off(fulcrum, minutes, status):
    reply = Signed(fulcrum, at=datetime.now(timezone.utc) + timedelta(minutes=minutes)).send()
    assert reply.status == status
    assert status == 200 or reply.code == "APIGW.0301"


@pytest.mark.parametrize("credentials", [{"access_key": "NOBODY"}, {"secret_key": "wrong"}, {"access_key": ""}])
def test_unknown_key_and_wrong_secret_look_the_same(fulcrum, credentials):
    reply = Signed(fulcrum, **credentials).send()
    assert (reply.status, reply.code) == (401, "APIGW.0301")
    assert "NOBODY" not in reply.message, "no hint about which keys there are"


def test_the_vendors_client_sees_the_documented_error(fulcrum):
    found = fulcrum.credentials
    elb = Elb(client(fulcrum.endpoint, BasicCredentials(found["access_key"], "wrong", found["project_id"])))
    with pytest.raises(ClientRequestException) as refused:
        elb.list("ListLoadBalancers")
    assert (refused.value.status_code, refused.value.error_code) == (401, "APIGW.0301")
    assert refused.value.request_id and refused.value.error_msg


def test_no_credentials_at_all(fulcrum):
    reply = Api(fulcrum.endpoint, fulcrum.credentials["project_id"]).elb("GET", "loadbalancers")
    assert reply.status == 401 and reply.code in ("SYS.0401", "APIGW.0301", "APIGW.0302", "ELB.1102")


def test_a_replayed_write_is_not_signed_for_another_object(fulcrum, stage):
    lb = stage.load_balancer()
    request = Signed(fulcrum, method="DELETE", path="elb/loadbalancers/" + "0" * 8)
    request.path = request.path.replace("0" * 8, lb["id"])
    assert request.send().status == 401
    assert stage.api.show(f"loadbalancers/{lb['id']}", "loadbalancer")["id"] == lb["id"]
