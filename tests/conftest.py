"""Fixtures of all whole-system tests. One process serves a module; each test builds its own load balancers on it."""

import pytest

from harness import config
from harness.api import Api
from harness.fulcrum import Fulcrum
from harness.http_member import HttpMember
from harness.members import ScriptMember
from harness.sdk import by_key, by_token
from harness.stage import Stage

UNLIMITED = config.quotas(loadbalancer=-1, listener=-1, pool=-1, member=-1, members_per_pool=-1, l7policy=-1, certificate=-1, security_policy=-1,
                          ipgroup=-1)
TENANTS = config.users(config.SECOND_TENANT, config.READER, config.MEMBER_ROLE)


@pytest.fixture(scope="module")
def fulcrum(tmp_path_factory):
    """A running process, with further users and without limits on counts."""
    process = Fulcrum(tmp_path_factory.mktemp("fulcrum"), config=config.merged(UNLIMITED, TENANTS))
    yield process.start()
    process.stop()


@pytest.fixture
def start(tmp_path):
    """Starts processes of the test's own: `start(config=…)`; each gets its own directory unless given one."""
    started = []

    def begin(directory=None, **options):
        process = Fulcrum(directory or tmp_path / f"fulcrum-{len(started)}", **options)
        started.append(process)
        return process.start()
    yield begin
    for process in started:
        process.stop()


@pytest.fixture
def stage(fulcrum):
    """Where the test builds its load balancers."""
    built = Stage(fulcrum)
    yield built
    built.close()


@pytest.fixture(params=["key", "token"])
def elb(request, fulcrum):
    """The vendor's client, once with AK/SK and once with a token."""
    return by_key(fulcrum) if request.param == "key" else by_token(fulcrum, Api.admin(fulcrum))


@pytest.fixture
def api(stage):
    """The API as plain HTTP, as the first admin."""
    return stage.api


@pytest.fixture
def member():
    """Makes members that end with the test: `member("a")`, `member("a", kind=EchoMember)`."""
    made = []

    def make(name="member", kind=HttpMember, **options):
        made.append(kind(options.pop("script"), name, **options) if kind is ScriptMember else kind(name, **options))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of the log of every process that the test used."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Fulcrum) and value.starts:
                report.sections.append((f"log of {name}", value.tail()))
