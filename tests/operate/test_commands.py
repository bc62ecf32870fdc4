"""`fulcrum check`, `get`, `version`."""

import json
import re

import pytest

from harness import config
from harness.api import Api
from harness.fulcrum import run
from harness.stage import Stage


def test_version():
    done = run("version")
    assert done.returncode == 0 and re.search(r"fulcrum \d+\.\d+\.\d+", done.stdout)


def test_check_accepts_what_up_runs_with(tmp_path):
    file = tmp_path / "good.toml"
    file.write_text(config.to_toml(config.merged(config.quotas(listener=-1), config.workers(1), config.users(config.READER))))
    done = run("check", "--config", file)
    assert done.returncode == 0, done.stderr


def test_check_accepts_an_empty_file(tmp_path):
    file = tmp_path / "empty.toml"
    file.write_text("")
    assert run("check", "--config", file).returncode == 0


def test_check_reports_every_mistake_at_once(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text('strict_field = true\n[dataplane]\nworkers = 100000\n[quotas]\nlistenr = 5\nloadbalancer = -2\n'
                    '[[networks]]\nname = "n"\n[[networks.subnets]]\nname = "s"\ncidr = "not-a-cidr"\n')
    done = run("check", "--config", file)
    told = done.stdout + done.stderr
    assert done.returncode != 0
    for mistake in ("strict_field", "workers", "listenr", "loadbalancer", "cidr"):
        assert mistake in told, told
    assert "api.strict_fields" in told and "quotas.listener" in told, "the nearest known key is named"
    assert "100000" in told and "not-a-cidr" in told, "each with its value"


@pytest.mark.parametrize("text, told", [("= nonsense", "bad.toml"), ("[dataplane]\nworkers = \"two\"", "workers")])
def test_check_says_what_cannot_be_read(tmp_path, text, told):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    done = run("check", "--config", file)
    assert done.returncode != 0 and told in done.stdout + done.stderr


def test_check_of_a_file_that_is_not_there(tmp_path):
    done = run("check", "--config", tmp_path / "none.toml")
    assert done.returncode != 0 and "none.toml" in done.stderr


def test_up_refuses_a_bad_configuration_with_the_same_words(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text("strict_field = true\n")
    done = run("up", "--config", file, "--data", tmp_path / "data", "--listen", "127.0.0.1:0")
    assert done.returncode != 0 and "strict_fields" in done.stderr
    assert not (tmp_path / "data" / "credentials.json").exists()


def test_get_prints_objects(start):
    process = start()
    stage = Stage(process)
    front = stage.front()
    listed = run("get", "loadbalancers", "--data", process.data)
    assert listed.returncode == 0 and front.load_balancer["id"] in listed.stdout, listed.stderr
    shown = run("get", "listener", front.listener["id"], "--data", process.data)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["id"] == front.listener["id"]
    missing = run("get", "pool", "00000000-0000-4000-8000-000000000000", "--data", process.data)
    assert missing.returncode != 0 and "00000000-0000-4000-8000-000000000000" in missing.stderr
    wrong = run("get", "teapots", "--data", process.data)
    assert wrong.returncode != 0 and "teapots" in wrong.stderr


def test_help_names_every_subcommand():
    done = run("--help")
    assert done.returncode == 0
    for command in ("up", "check", "get", "version"):
        assert re.search(rf"^\s+{command}\b", done.stdout, re.M), command


def test_the_api_lists_nothing_before_anything_is_made(start):
    api = Api.admin(start())
    for plural in ("loadbalancers", "listeners", "pools", "members", "healthmonitors"):
        assert api.list(plural, plural) == []
