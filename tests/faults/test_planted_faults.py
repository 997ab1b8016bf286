"""The suite notices every planted fault, and nothing where no fault is planted.

The nightly tier tries all of them. A pull request tries every third, starting with one that is
drawn, and checks that every fault still fits the code.
"""

from __future__ import annotations

import pytest

from tests import counts
from tests.crash.recovery import SEED, seed
from tests.faults.detectors import DETECTORS, FaultyServer
from tests.faults.faults import FAULTS, planted
from tests.fork_client import ForkServer

pytestmark = pytest.mark.timeout(600)
ONE_IN = 3
DRAWN = list(FAULTS)[seed() % ONE_IN :: ONE_IN]  # they are listed by subject: some of each


def test_every_planted_fault_fits_code() -> None:
    for name in FAULTS:
        with planted(name):
            pass
    counts.note("faults drawn with", f"{SEED}={seed()}: {len(DRAWN)} of {len(FAULTS)}")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in DRAWN else pytest.mark.nightly) for name in FAULTS],
)
def test_suite_notices_planted_fault(fork_server: ForkServer, name: str) -> None:
    fault = FAULTS[name]
    with planted(name):
        try:
            DETECTORS[fault.detector](FaultyServer(fork_server, name if fault.program else None))
        except (Exception, pytest.fail.Exception) as error:
            counts.add("faults noticed")
            counts.note("fault: noticed by", f"{name}: {fault.detector} ({_first_line(error)})")
            return
    pytest.fail(f"no test noticed that {name}")


@pytest.mark.nightly  # in a pull request those tests run themselves
@pytest.mark.parametrize("detector", sorted({fault.detector for fault in FAULTS.values()}))
def test_suite_notices_nothing_without_fault(fork_server: ForkServer, detector: str) -> None:
    with planted(None):
        DETECTORS[detector](FaultyServer(fork_server, None))


def _first_line(error: BaseException) -> str:
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__} {line}"[:80].strip()
