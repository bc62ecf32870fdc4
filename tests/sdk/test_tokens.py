"""Tokens and the little of identity that SDKs and CLIs call."""

import re

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkelb import v3

from harness import config
from harness.api import Api, password_login


@pytest.fixture
def login(fulcrum):
    """A POST /v3/auth/tokens with parts of the body changed."""
    found = fulcrum.credentials
    api = Api(fulcrum.endpoint, found["project_id"])

    def send(change=lambda auth: None, query=()):
        body = password_login(found["user_name"], found["password"], found["domain_name"], found["project_name"])
        change(body["auth"])
        return api.request("POST", "/v3/auth/tokens", body, query=query)
    return send


def test_a_token_tells_who_it_is_for(fulcrum, login):
    reply = login()
    assert reply.status == 201, reply.text
    token, found = reply.json["token"], fulcrum.credentials
    assert reply.headers["X-Subject-Token"]
    assert (token["user"]["id"], token["user"]["name"], token["user"]["domain"]["id"]) == (found["user_id"], found["user_name"], found["domain_id"])
    assert (token["project"]["id"], token["project"]["name"]) == (found["project_id"], found["project_name"])
    assert token["methods"] == ["password"] and [role["name"] for role in token["roles"]]
    for time in (token["issued_at"], token["expires_at"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time)
    kinds = {service["type"]: service["endpoints"] for service in token["catalog"]}
    assert {"elb", "identity", "vpc"} <= set(kinds)
    assert all(endpoint["url"].startswith(fulcrum.endpoint) for endpoints in kinds.values() for endpoint in endpoints)


def test_nocatalog_leaves_the_catalog_away(login):
    assert not login(query={"nocatalog": "true"}).json["token"].get("catalog")


SCOPES = [("project by id", lambda found: {"project": {"id": found["project_id"]}}), ("domain by name", lambda found: {"domain": {"name": found["domain_name"]}}),
          ("domain by id", lambda found: {"domain": {"id": found["domain_id"]}})]


@pytest.mark.parametrize("why, scope", SCOPES, ids=[row[0] for row in SCOPES])
def test_scopes(fulcrum, login, why, scope):
    wanted = scope(fulcrum.credentials)
    reply = login(lambda auth: auth.update(scope=wanted))
    assert reply.status == 201, reply.text
    assert ("project" in reply.json["token"]) == ("project" in wanted)


def wrong_logins():
    """Logins that must not succeed, with the status."""
    def password(auth): auth["identity"]["password"]["user"]["password"] = "wrong"
    def user(auth): auth["identity"]["password"]["user"]["name"] = "nobody"
    def domain(auth): auth["identity"]["password"]["user"]["domain"]["name"] = "nowhere"
    def project(auth): auth["scope"]["project"]["name"] = "nothing"
    def no_password(auth): del auth["identity"]["password"]["user"]["password"]
    def no_identity(auth): del auth["identity"]
    def unknown_method(auth): auth["identity"]["methods"] = ["telepathy"]
    return [(password, 401), (user, 401), (domain, 401), (project, 401), (no_password, 400), (no_identity, 400), (unknown_method, (400, 401))]


@pytest.mark.parametrize("change, status", wrong_logins(), ids=lambda value: getattr(value, "__name__", ""))
def test_wrong_logins_get_no_token(login, change, status):
    reply = login(change)
    assert reply.status in (status if isinstance(status, tuple) else (status,)), reply.text
    assert "X-Subject-Token" not in reply.headers


def test_wrong_user_and_wrong_password_look_the_same(login):
    (user, _), (password, _) = wrong_logins()[1], wrong_logins()[0]
    first, second = login(user).json, login(password).json
    for body in (first, second):
        body.pop("request_id", None)
    assert first == second


def test_a_token_can_be_checked(fulcrum, login):
    made = login()
    token = made.headers["X-Subject-Token"]
    api = Api(fulcrum.endpoint, None)
    reply = api.request("GET", "/v3/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token})
    assert reply.status == 200 and reply.json["token"]["user"] == made.json["token"]["user"]
    assert reply.json["token"]["expires_at"] == made.json["token"]["expires_at"]
    assert api.request("GET", "/v3/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token[:-4] + "AAAA"}).status == 404
    assert api.request("GET", "/v3/auth/tokens", headers={"X-Subject-Token": token}).status == 401


@pytest.mark.parametrize("spoil", [lambda t: t[:-2], lambda t: t[:8] + ("A" if t[8] != "A" else "B") + t[9:], lambda t: "x", lambda t: t + "A"])
def test_a_spoilt_token_opens_nothing(fulcrum, login, spoil):
    found = fulcrum.credentials
    api = Api(fulcrum.endpoint, found["project_id"], token=spoil(login().headers["X-Subject-Token"]))
    reply = api.elb("GET", "loadbalancers")
    assert (reply.status, reply.code) == (401, "APIGW.0301"), reply.text


def test_a_token_lives_over_a_restart(start):
    process = start()
    api = Api.admin(process)
    process.kill()
    process.start()
    api.endpoint = process.endpoint
    assert api.elb("GET", "loadbalancers").status == 200


def test_methods_token_and_hw_ak_sk(fulcrum, login):
    found = fulcrum.credentials
    api = Api(fulcrum.endpoint, None)
    scope = {"project": {"id": found["project_id"]}}
    old = login().headers["X-Subject-Token"]
    by_token = api.request("POST", "/v3/auth/tokens", {"auth": {"identity": {"methods": ["token"], "token": {"id": old}}, "scope": scope}})
    assert by_token.status == 201, by_token.text
    keys = {"access": {"key": found["access_key"]}, "secret": {"key": found["secret_key"]}}
    by_key = api.request("POST", "/v3/auth/tokens", {"auth": {"identity": {"methods": ["hw_ak_sk"], "hw_ak_sk": keys}, "scope": scope}})
    assert by_key.status == 201, by_key.text
    keys["secret"]["key"] = "wrong"
    refused = api.request("POST", "/v3/auth/tokens", {"auth": {"identity": {"methods": ["hw_ak_sk"], "hw_ak_sk": keys}, "scope": scope}})
    assert refused.status == 401


def test_projects_and_domains(fulcrum):
    found = fulcrum.credentials
    for by in ("token", "key"):
        api = Api.admin(fulcrum, by=by)
        projects = api.request("GET", "/v3/projects", query={"name": found["project_name"]}).json
        assert [project["id"] for project in projects["projects"]] == [found["project_id"]]
        assert projects["projects"][0]["domain_id"] == found["domain_id"] and projects["projects"][0]["enabled"] is True
        assert api.request("GET", "/v3/projects", query={"name": "nothing"}).json["projects"] == []
        assert found["project_id"] in [project["id"] for project in api.request("GET", "/v3/auth/projects").json["projects"]]
        domains = api.request("GET", "/v3/auth/domains").json["domains"]
        assert [(domain["id"], domain["name"]) for domain in domains] == [(found["domain_id"], found["domain_name"])]
    assert Api(fulcrum.endpoint, None).request("GET", "/v3/projects").status == 401


def test_discovery_needs_no_credentials(fulcrum):
    reply = Api(fulcrum.endpoint, None).request("GET", "/v3")
    assert reply.status == 200
    version = reply.json["version"]
    assert version["id"].startswith("v3") and version["status"] == "stable"


def test_the_vendors_client_finds_its_project_by_region(fulcrum):
    found = fulcrum.credentials
    keys = BasicCredentials(found["access_key"], found["secret_key"]).with_iam_endpoint(fulcrum.endpoint)
    elb = v3.ElbClient.new_builder().with_credentials(keys).with_region(Region(found["region"], fulcrum.endpoint)).build()
    assert keys.project_id == found["project_id"], "the default project is called like the region"
    assert elb.list_load_balancers(v3.ListLoadBalancersRequest()).page_info.current_count >= 0


def test_the_vendors_client_finds_its_domain(fulcrum):
    found = fulcrum.credentials
    keys = GlobalCredentials(found["access_key"], found["secret_key"]).with_iam_endpoint(fulcrum.endpoint)
    from huaweicloudsdkcore.http.http_client import HttpClient
    from huaweicloudsdkcore.http.http_config import HttpConfig
    from huaweicloudsdkcore.http.http_handler import HttpHandler
    from huaweicloudsdkcore.exceptions.exception_handler import DefaultExceptionHandler
    import logging
    http = HttpClient(HttpConfig.get_default_config(), HttpHandler(), DefaultExceptionHandler(), logging.getLogger("sdk"))
    keys.process_auth_params(http, found["region"])
    assert keys.domain_id == found["domain_id"]


def test_a_valid_signature_wins_over_a_bad_token(fulcrum):
    api = Api.admin(fulcrum, by="key")
    assert api.elb("GET", "loadbalancers", headers={"X-Auth-Token": "nonsense"}).status == 200


def test_a_reader_gets_a_token_with_its_role(fulcrum):
    found = fulcrum.credentials
    api = Api(fulcrum.endpoint, found["project_id"])
    account = config.READER
    reply = api.login(account["name"], account["password"], found["domain_name"], found["project_name"])
    assert [role["name"] for role in reply.json["token"]["roles"]] == ["reader"]
    assert api.elb("GET", "loadbalancers").status == 200
