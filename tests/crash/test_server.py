"""The server killed without a word at the points of a sweep, and started again: the next run finishes the work."""

from __future__ import annotations

import pytest

from dispatchkit.flows.live import catalog
from tests import databases, tally
from tests.crash.servers import own_server, restart
from tests.crash.wreck import broken, contents, different, settle, sweeping

AT = ("ledger open", "rows written", "counters written", "batch committed")

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]


@pytest.mark.parametrize("sweep", catalog.FEATURES)
def test_a_sweep_whose_server_is_killed_is_finished_by_one_more_run(forge, tmp_path, sweep):
    with databases.fresh("sample") as whole:
        clean = forge.run(whole, *sweeping(sweep))
        assert clean.exit == 0, clean.stderr
        wanted = contents(whole)
    for point in AT:
        folder = tmp_path / point.replace(" ", "-")
        with own_server(folder) as made:
            end_at = clean.points.index(point)
            ended = forge.run(
                made, *sweeping(sweep), end_at=end_at, how="crash", server=folder / "postgres"
            )
            assert ended.exit == 69, f"{point}: {ended}"
            restart(folder)
            settle(made)
            assert broken(made) == [], point
            assert forge.run(made, *sweeping(sweep)).exit == 0, point
            assert different(contents(made), wanted) == {}, point
        tally.count("points at which the server was killed")
