"""The product's configuration file, as far as the tests need it: the one place that knows its keys."""

SECOND_TENANT = {"name": "second-admin", "password": "second-Password-1", "project": "second", "role": "admin",
                 "access_key": "SECONDACCESSKEY0001", "secret_key": "second-secret-key-0123456789abcdef012345"}
READER = {"name": "reader", "password": "reader-Password-1", "role": "reader",
          "access_key": "READERACCESSKEY0001", "secret_key": "reader-secret-key-0123456789abcdef012345"}
MEMBER_ROLE = {"name": "writer", "password": "writer-Password-1", "role": "member",
               "access_key": "WRITERACCESSKEY0001", "secret_key": "writer-secret-key-0123456789abcdef012345"}


def users(*accounts):
    """More users beside the first admin; without `project` in the first project."""
    return {"users": list(accounts)}


def quotas(**limits):
    """Limits of every project that has none of its own; -1 is no limit."""
    return {"quotas": limits}


def strict_fields():
    """Unknown request fields are refused."""
    return {"api": {"strict_fields": True}}


def workers(count):
    """How many workers the data plane has."""
    return {"dataplane": {"workers": count}}


def merged(*parts):
    """One configuration of several; later parts win."""
    whole = {}
    for part in parts:
        for key, value in part.items():
            whole[key] = {**whole[key], **value} if isinstance(value, dict) and key in whole else value
    return whole


def to_toml(config):
    """TOML text of a configuration made of scalars, tables and lists of tables."""
    return "\n".join(_lines(config)) + "\n"


def _lines(table, path=""):
    lines = [f"{key} = {_scalar(value)}" for key, value in table.items() if not _is_table(value)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{path}{key}]", *_lines(value, f"{path}{key}.")]
        elif _is_table(value):
            for one in value:
                lines += ["", f"[[{path}{key}]]", *_lines(one, f"{path}{key}.")]
    return lines


def _is_table(value):
    return isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict))


def _scalar(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
