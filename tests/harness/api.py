"""The API as plain HTTP: any method, path, body and header, with a token or a signature of our own."""

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from harness import signing

JSON = "application/json;charset=UTF-8"
NO_BODY = object()


class Refused(AssertionError):
    """An answer that the caller did not expect; carries it as `reply`."""

    def __init__(self, what, reply):
        super().__init__(f"{what}: {reply.status} {reply.text[:600]}")
        self.reply = reply


@dataclass
class Reply:
    """An answer of the API."""
    status: int
    headers: dict
    text: str

    @property
    def json(self):
        """The body."""
        return json.loads(self.text)

    @property
    def code(self):
        """error_code, None when there is none."""
        try:
            return self.json.get("error_code")
        except (ValueError, AttributeError):
            return None

    @property
    def message(self):
        """error_msg."""
        return self.json.get("error_msg", "")


class Api:
    """A caller of the API: by token, by key, or nobody."""

    def __init__(self, endpoint, project_id, *, token=None, access_key=None, secret_key=None):
        self.endpoint, self.project_id = endpoint, project_id
        self.token, self.access_key, self.secret_key = token, access_key, secret_key
        self.session = requests.Session()
        self.session.trust_env = False

    @classmethod
    def admin(cls, fulcrum, *, by="token"):
        """The first admin of that process."""
        found = fulcrum.credentials
        api = cls(fulcrum.endpoint, found["project_id"])
        if by == "token":
            api.login(found["user_name"], found["password"], found["domain_name"], found["project_name"])
        else:
            api.access_key, api.secret_key = found["access_key"], found["secret_key"]
        return api

    @classmethod
    def account(cls, fulcrum, account):
        """A further user of the configuration (harness.config), by token; the project is the token's."""
        found = fulcrum.credentials
        api = cls(fulcrum.endpoint, None)
        reply = api.login(account["name"], account["password"], found["domain_name"], account.get("project", found["project_name"]))
        api.project_id = reply.json["token"]["project"]["id"]
        return api

    def login(self, user, password, domain, project):
        """POST /v3/auth/tokens; keeps the token."""
        reply = self.request("POST", "/v3/auth/tokens", password_login(user, password, domain, project))
        if reply.status != 201:
            raise Refused("no token", reply)
        self.token = reply.headers["X-Subject-Token"]
        return reply

    def request(self, method, path, body=NO_BODY, *, query=(), headers=None, raw=None):
        """One request. `path` from the root; `body` is sent as JSON, `raw` as it is; `query`: pairs or a dict."""
        data = raw if raw is not None else b"" if body is NO_BODY else json.dumps(body).encode()
        query = list(query.items()) if isinstance(query, dict) else list(query)
        query = [(key, str(value)) for key, value in query]
        send = {"Content-Type": JSON, "Host": urlsplit(self.endpoint).netloc, **(headers or {})}
        if self.access_key:
            send = signing.sign(method, path, query, send, data, access_key=self.access_key, secret_key=self.secret_key)
        elif self.token:
            send.setdefault("X-Auth-Token", self.token)
        url = self.endpoint + path + ("?" + signing.query_string(query) if query else "")
        answer = self.session.request(method, url, data=data, headers=send, timeout=30, allow_redirects=False)
        return Reply(answer.status_code, answer.headers, answer.text)

    def elb(self, method, path, body=NO_BODY, **options):
        """One request under /v3/{project_id}/elb/."""
        return self.request(method, f"/v3/{self.project_id}/elb/{path}", body, **options)

    # -- the common forms: they answer the object and fail when refused

    def create(self, path, wrapper, **fields):
        """POST {wrapper: fields}."""
        return self._expect("POST", path, 201, {wrapper: fields})[wrapper]

    def update(self, path, wrapper, **fields):
        """PUT {wrapper: fields}."""
        return self._expect("PUT", path, 200, {wrapper: fields})[wrapper]

    def show(self, path, wrapper):
        """GET."""
        return self._expect("GET", path, 200)[wrapper]

    def list(self, path, plural, **query):
        """GET of a list; all pages fit one."""
        reply = self.elb("GET", path, query=query)
        if reply.status != 200:
            raise Refused(f"GET {path}", reply)
        return reply.json[plural]

    def delete(self, path):
        """DELETE."""
        reply = self.elb("DELETE", path)
        if reply.status != 204:
            raise Refused(f"DELETE {path}", reply)

    def _expect(self, method, path, status, body=NO_BODY):
        reply = self.elb(method, path, body)
        if reply.status != status:
            raise Refused(f"{method} {path} {'' if body is NO_BODY else json.dumps(body)}", reply)
        return reply.json


def password_login(user, password, domain, project):
    """The body of POST /v3/auth/tokens."""
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": user, "password": password, "domain": {"name": domain}}}},
                     "scope": {"project": {"name": project}}}}
