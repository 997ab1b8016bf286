"""The suite is tried itself: it notices every planted fault, and nothing where none is planted.

All of them by night. A pull request tries every third, from one that is drawn, and that all of them can be planted.
"""

from __future__ import annotations

import pytest

from tests import databases, tally
from tests.crash.conftest import Forge, forge
from tests.crash.wreck import SEED, seed
from tests.mutants.killers import KILLERS, Bent
from tests.mutants.planted import MUTANTS, planted

__all__ = ["forge"]  # the fixture

pytestmark = pytest.mark.timeout(600)
ONE_IN = 3
DRAWN = list(MUTANTS)[seed() % ONE_IN :: ONE_IN]  # they are listed by room: of each room some


def test_every_planted_fault_fits_the_code() -> None:
    for name, mutant in MUTANTS.items():
        with planted(name):
            if mutant.database or mutant.sql:
                with databases.fresh("empty", sound=False):
                    pass
    tally.note(
        "faults planted by day drawn with", f"{SEED}={seed()}: {len(DRAWN)} of {len(MUTANTS)}"
    )


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in DRAWN else pytest.mark.nightly) for name in MUTANTS],
)
def test_the_suite_notices_a_planted_fault(forge: Forge, name: str) -> None:
    mutant = MUTANTS[name]
    with planted(name):
        try:
            KILLERS[mutant.killer](Bent(forge, name if mutant.program else None))
        except (Exception, pytest.fail.Exception) as fault:
            tally.count("mutants killed")
            tally.note("mutant: killed by", f"{name}: {mutant.killer} ({_said(fault)})")
            return
    pytest.fail(f"nobody noticed that {name}")


@pytest.mark.nightly  # by day those tests run for themselves
@pytest.mark.parametrize("killer", sorted({mutant.killer for mutant in MUTANTS.values()}))
def test_the_suite_notices_nothing_where_no_fault_is(forge: Forge, killer: str) -> None:
    with planted(None):
        KILLERS[killer](Bent(forge, None))


def _said(fault: BaseException) -> str:
    line = str(fault).strip().partition("\n")[0]
    return f"{type(fault).__name__} {line}"[:80].strip()
