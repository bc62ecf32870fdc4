"""The API's contract as data: the operations, and the shape of their answers."""

import json
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"
OPERATIONS = {operation["name"]: operation for operation in json.loads((DATA / "operations.json").read_text())}
ANSWERS = json.loads((DATA / "answers.json").read_text())

_KINDS = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}


def mismatches(schema, value, at=""):
    """What of `value` does not fit the schema of that name: missing, of another type, outside its values or range. Null fits any type."""
    found = []
    for field in ANSWERS[schema]:
        name, where = field["name"], f"{at}.{field['name']}".lstrip(".")
        if name not in value:
            if field.get("required"):
                found.append(f"{where} is missing")
        elif value[name] is not None:
            found += _unfit(field, field["type"], value[name], where)
    return found


def _unfit(field, kind, value, where):
    if kind.startswith("array<"):
        if not isinstance(value, list):
            return [f"{where} is no list: {value!r}"]
        return [problem for number, item in enumerate(value) for problem in _unfit(field, kind[6:-1], item, f"{where}[{number}]")]
    if kind in ANSWERS:
        return mismatches(kind, value, where) if isinstance(value, dict) else [f"{where} is no object: {value!r}"]
    wanted = _KINDS.get(kind)
    if wanted and (not isinstance(value, wanted) or isinstance(value, bool) != (kind == "boolean")):
        return [f"{where} is no {kind}: {value!r}"]
    if "enum" in field and value not in field["enum"]:
        return [f"{where} is none of {field['enum']}: {value!r}"]
    if kind == "integer" and not field.get("min", value) <= value <= field.get("max", value):
        return [f"{where} is out of range: {value!r}"]
    return []
