"""Sweeps by the real command line, on a filled city."""

from __future__ import annotations

import json

import pytest

from dispatchkit.kernel.clock import rfc3339

SWEEPS = ("reassignment", "offers", "routes")


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_dry_run_prints_what_the_real_run_then_does(cli, city, now, sweep):
    words = ("sweep", sweep, "--now", rfc3339(now))
    dry, real = cli("--json", *words, "--dry-run", db=city), cli("--json", *words, db=city)
    assert (dry.exit, real.exit) == (0, 0), dry.stderr + real.stderr
    planned, done = json.loads(dry.stdout), json.loads(real.stdout)
    assert planned["changes"], "the city must give this sweep something to do"
    assert json.dumps(planned["changes"]) == json.dumps(done["changes"])
    assert (done["applied"], done["stale"], done["poison"]) == (len(planned["changes"]), [], [])
