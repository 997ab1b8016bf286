"""The stateful model of live operation, on real Postgres."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.operation_machine import OperationMachine, walk

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def test_walk_through_every_rule_agrees():
    walk()


@pytest.mark.timeout(3600 if NIGHTLY else 300)
def test_model_memory_and_postgres_agree_after_every_step():
    run_state_machine_as_test(
        OperationMachine,
        settings=settings(
            max_examples=300 if NIGHTLY else 6,
            stateful_step_count=50 if NIGHTLY else 25,
            deadline=None,
            derandomize=not NIGHTLY,
            suppress_health_check=list(HealthCheck),
        ),
    )
