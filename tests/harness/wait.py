"""Waiting for a condition with a deadline: the only place in the tests where time is slept away."""

import time

POLL_SECONDS = 0.02


def eventually(check, *, within=10.0, what=""):
    """Calls `check` until it answers something true, and returns that. An AssertionError counts as "not yet".

    `within`: seconds until the test fails; `what`: the condition in words, for the failure.
    """
    deadline = time.monotonic() + within
    last = None
    while True:
        try:
            last = check()
            if last:
                return last
        except AssertionError as not_yet:
            last = not_yet
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within} s: {what or getattr(check, '__name__', 'the condition')}; last seen: {last!r}")
        time.sleep(POLL_SECONDS)


def holds(check, *, during, what=""):
    """Fails when `check` becomes false within `during` seconds: for what must not happen."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        seen = check()
        assert seen, f"stopped holding: {what or getattr(check, '__name__', 'the condition')}; seen: {seen!r}"
        time.sleep(POLL_SECONDS)
