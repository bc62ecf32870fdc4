"""The vendor's own client, huaweicloudsdkelb, made ready for a process under test."""

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.signer.signer import Signer
from huaweicloudsdkelb import v3


def _with_token():
    class Token(BasicCredentials):
        """Sends a token in place of a signature."""

        def __init__(self, token, project_id):
            super().__init__("unused", "unused", project_id)
            self.token = token

        def sign_request(self, request):
            request.header_params["X-Auth-Token"] = self.token
            Signer.process_request_uri(request)
            return request
    Token.__name__ = BasicCredentials.__name__  # the client's builder looks at the name
    return Token


TokenCredentials = _with_token()


def client(endpoint, credentials):
    """An ElbClient for that endpoint."""
    config = HttpConfig.get_default_config()
    config.timeout = (5, 30)
    return v3.ElbClient.new_builder().with_http_config(config).with_credentials(credentials).with_endpoint(endpoint).build()


def by_key(fulcrum):
    """The first admin, signing with its access key."""
    found = fulcrum.credentials
    return Elb(client(fulcrum.endpoint, BasicCredentials(found["access_key"], found["secret_key"], found["project_id"])))


def by_token(fulcrum, api):
    """The caller of `api`, by its token."""
    return Elb(client(fulcrum.endpoint, TokenCredentials(api.token, api.project_id)))


def refused_with(status, code, call, *arguments, **options):
    """The call must be refused with that status and code; answers the error."""
    with pytest.raises(ClientRequestException) as refused:
        call(*arguments, **options)
    assert (refused.value.status_code, refused.value.error_code) == (status, code), refused.value.error_msg
    return refused.value


class Elb:
    """The client's operations by noun; every request goes through the vendor's request and option classes.

    Nouns: the keys of WRAPPERS. `of` is the pool of a member, the policy of a rule.
    """

    WRAPPERS = {"LoadBalancer": "loadbalancer", "Listener": "listener", "Pool": "pool", "Member": "member", "HealthMonitor": "healthmonitor",
                "L7Policy": "l7policy", "L7Rule": "rule", "Certificate": "certificate", "SecurityPolicy": "security_policy", "IpGroup": "ipgroup",
                "Logtank": "logtank"}
    # What a noun belongs to, in its path; and option classes that are named otherwise.
    PARENTS = {"Member": "pool_id", "L7Rule": "l7policy_id"}
    OPTIONS = {"CreateL7Rule": "CreateRuleOption"}

    def __init__(self, vendor):
        self.vendor = vendor

    def create(self, noun, *, of=None, **fields):
        """Create; answers the object."""
        return self._write("Create", noun, fields, **({self.PARENTS[noun]: of} if of else {}))

    def update(self, noun, id, *, of=None, **fields):
        """Update; answers the object."""
        return self._write("Update", noun, fields, **self._path(noun, id, of))

    def show(self, noun, id, *, of=None):
        """Show; answers the object."""
        return getattr(self.call("Show" + noun, **self._path(noun, id, of)), self.WRAPPERS[noun])

    def delete(self, noun, id, *, of=None):
        """Delete."""
        return self.call("Delete" + noun, **self._path(noun, id, of))

    def list(self, operation, **query):
        """A list operation by its name (ListPools …); answers the response object."""
        return self.call(operation, **query)

    def call(self, operation, **fields):
        """Any operation by its documented name, fields as of its request class."""
        request = getattr(v3, operation + "Request")(**fields)
        return getattr(self.vendor, _snake(operation))(request)

    def _write(self, verb, noun, fields, **path):
        wrapper = self.WRAPPERS[noun]
        option = getattr(v3, self.OPTIONS.get(verb + noun, f"{verb}{noun}Option"))(**fields)
        body = getattr(v3, f"{verb}{noun}RequestBody")(**{wrapper: option})
        return getattr(self.call(verb + noun, body=body, **path), wrapper)

    def _path(self, noun, id, of):
        found = {"l7rule_id" if noun == "L7Rule" else self.WRAPPERS[noun] + "_id": id}
        return {**found, self.PARENTS[noun]: of} if noun in self.PARENTS else found


def _snake(name):
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return words.lstrip("_")
