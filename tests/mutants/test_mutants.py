"""The suite is tried itself: it notices every planted fault, and nothing where none is planted."""

from __future__ import annotations

import pytest

from tests import tally
from tests.crash.conftest import Forge, forge
from tests.mutants.killers import KILLERS, Bent
from tests.mutants.planted import MUTANTS, planted

__all__ = ["forge"]  # the fixture

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("name", MUTANTS)
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
