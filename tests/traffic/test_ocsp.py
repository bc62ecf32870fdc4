"""OCSP stapling, with a responder on this machine; OpenSSL's client and curl judge what is stapled."""

import re
import subprocess

import pytest

from harness import config
from harness.fulcrum import Fulcrum
from harness.http1 import Connection
from harness.metrics import scrape
from harness.ocsp import REVOKED, Responder, serial
from harness.stage import Stage
from harness.tls import SITE, s_client
from harness.wait import eventually, holds

LOCAL = {"tls": {"ocsp_local_responders": True}}
VALID_UNTIL, FAILURES = "fulcrum_certificate_ocsp_staple_valid_until_seconds", "fulcrum_certificate_ocsp_failures_total"


@pytest.fixture(scope="module")
def fulcrum(tmp_path_factory):
    """A process that may ask responders on this machine."""
    process = Fulcrum(tmp_path_factory.mktemp("fulcrum"), config=LOCAL)
    yield process.start()
    process.stop()


@pytest.fixture
def responder():
    """Makes responders that end with the test."""
    made = []

    def make(**options):
        made.append(Responder(**options))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def staple(where, *arguments):
    """(status, serial number) of the answer that a client gets that asks; None: it got none."""
    said = s_client(where, "-status", *arguments)
    if "OCSP response: no response sent" in said:
        return None
    assert "OCSP Response Status: successful" in said, said
    return re.search(r"Cert Status: (\w+)", said)[1], int(re.search(r"Serial Number: (\w+)", said)[1], 16)


def figure(process, certificate, name):
    """A certificate's figure in /metrics; None when it is not there."""
    return next((value for (found, labels), value in scrape(process).items()
                 if found == name and dict(labels)["certificate"] == certificate["id"]), None)


def given(stage, pair):
    """The pair as a certificate of the API."""
    return stage.beside("certificates", "certificate", certificate=pair.chain, private_key=pair.key)


@pytest.mark.parametrize("delegated", [False, True], ids=["issuer", "delegate"])
def test_clients_of_every_version_get_the_answer_stapled(delegated, member, responder, stage, tmp_path):
    answers = responder(delegated=delegated)
    pair = answers.authority.issue(SITE, kind="RSA")
    certificate = given(stage, pair)
    front = stage.secure([member("a")], certificate=certificate, listener={"tls_ciphers_policy": "tls-1-0-with-1-3"})
    expect = ("good", serial(pair))
    eventually(lambda: staple(front.where) == expect, what="a staple")
    for version in (["-tls1_3"], ["-tls1_2"], ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], ["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"]):
        assert staple(front.where, *version) == expect, version
    assert answers.asked == [serial(pair)], "one question for all listeners and workers"
    assert "CertificateStatus" in s_client(front.where, "-tls1_2", "-status", "-msg")
    for suites in ("DEFAULT", "AES128-SHA"):
        assert "CertificateStatus" not in s_client(front.where, "-tls1_2", "-msg", "-cipher", suites), "nobody asked"

    authority = tmp_path / "authority.pem"
    authority.write_text(answers.authority.pem)
    curl = subprocess.run(["curl", "--silent", "--show-error", "--cert-status", "--cacert", authority, "--noproxy", "*", "--max-time", "20",
                           "--connect-to", f"{SITE}:443:{front.url}", f"https://{SITE}/"], capture_output=True, timeout=30)
    assert (curl.returncode, curl.stdout) == (0, b"a"), curl.stderr
    assert figure(stage.fulcrum, certificate, VALID_UNTIL) > 1_700_000_000
    assert figure(stage.fulcrum, certificate, FAILURES) == 0


def test_a_replaced_certificate_gets_an_answer_of_its_own(member, responder, stage):
    answers = responder()
    before, after = (answers.authority.issue(SITE) for _ in range(2))
    certificate = given(stage, before)
    front = stage.secure([member("a")], certificate=certificate)
    eventually(lambda: staple(front.where) == ("good", serial(before)), what="a staple")
    stage.api.update(f"certificates/{certificate['id']}", "certificate", certificate=after.chain, private_key=after.key)
    seen = []

    def renewed():
        seen.append(staple(front.where))
        return seen[-1] == ("good", serial(after))
    eventually(renewed, what="the new staple")
    assert ("good", serial(before)) not in seen, "the answer about the former certificate"


def test_a_revoked_certificate_is_said_to_be(member, responder, stage):
    answers = responder()
    pair = answers.authority.issue(SITE)
    answers.status[serial(pair)] = REVOKED
    front = stage.secure([member("a")], certificate=given(stage, pair))
    eventually(lambda: staple(front.where) == ("revoked", serial(pair)), what="a staple")
    assert "ocsp_revoked" in stage.fulcrum.tail(400)


@pytest.mark.parametrize("why", ["down", "unwilling", "gone"])
def test_without_an_answer_traffic_goes_on(why, member, responder, stage):
    answers = responder()
    pair = answers.authority.issue(SITE)
    answers.silent = why == "unwilling"
    if why == "gone":
        answers.server.shutdown()
        answers.server.server_close()
    if why == "down":
        # It takes connections and never says a word.
        answers.server.shutdown()
    certificate = given(stage, pair)
    front = stage.secure([member("a")], certificate=certificate)
    assert staple(front.where) is None
    if why != "down":
        eventually(lambda: figure(stage.fulcrum, certificate, FAILURES) == 1, what="a failure in /metrics")
        assert figure(stage.fulcrum, certificate, VALID_UNTIL) == 0
        reason = {"gone": "ocsp_connect", "unwilling": "ocsp_http_status"}[why]
        told = [line for line in stage.fulcrum.tail(400).splitlines() if certificate["id"] in line and reason in line]
        assert len(told) == 1 and answers.url in told[0], stage.fulcrum.tail()
    assert "Verify return code" in s_client(front.where)


def test_staples_are_there_again_after_a_restart(member, responder, start):
    process = start(config=LOCAL)
    stage, answers = Stage(process), responder()
    pair = answers.authority.issue(SITE)
    front = stage.secure([member("a")], certificate=given(stage, pair))
    eventually(lambda: staple(front.where) == ("good", serial(pair)), what="a staple")
    process.kill()
    process.start()
    eventually(lambda: staple(front.where) == ("good", serial(pair)), what="a staple after the restart")
    assert len(answers.asked) == 2


@pytest.mark.parametrize("settings", [{}, {"ocsp_stapling": False, "ocsp_local_responders": True}], ids=["default", "off"])
def test_a_responder_on_this_machine_is_asked_only_when_the_configuration_says_so(settings, member, responder, start):
    process = start(config=config.merged({"tls": settings}))
    stage, answers = Stage(process), responder()
    pair = answers.authority.issue(SITE)
    certificate = given(stage, pair)
    front = stage.secure([member("a")], certificate=certificate)
    if settings:
        holds(lambda: staple(front.where) is None, during=1)
        assert figure(process, certificate, FAILURES) is None
    else:
        eventually(lambda: figure(process, certificate, FAILURES) == 1, what="a failure in /metrics")
        assert "ocsp_forbidden_address" in process.tail(400)
        assert staple(front.where) is None
    assert answers.asked == []
    with Connection(front.where) as plain:
        assert plain.ask("/").status == 400, "it serves on"
