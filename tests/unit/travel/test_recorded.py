from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dispatchkit.kernel.errors import BadData
from dispatchkit.travel.recorded import Recorded, Replayed, TravelNotRecorded
from tests.random_travel import RandomTravel

A, B, C = (52.50, 13.40), (52.52, 13.45), (52.47, 13.38)
NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)


def answers(travel):
    """Return what a provider answers to a series of questions, some of them twice."""
    times = [
        travel.matrix([A, B], [A, B, C], "car"),
        travel.matrix([], [A], "car"),
        travel.pairs([A, B], [B, C], "bicycle"),
        travel.pairs([A, B], [B, C], "bicycle"),
        travel.pairs([A, B], [B, C], "bicycle", NOON),
    ]
    return [[array.tolist() for array in pair] for pair in times]


def test_replayed_answers_equal_recorded_ones():
    recorded = Recorded(RandomTravel())
    first = answers(recorded)
    assert first[2] != first[3]
    replayed = Replayed(recorded.name, recorded.parquet())
    assert (replayed.name, answers(replayed)) == (recorded.name, first)


def test_question_never_asked_is_refused():
    recorded = Recorded(RandomTravel())
    recorded.pairs([A], [B], "car")
    replayed = Replayed(recorded.name, recorded.parquet())
    for ask in (
        lambda: replayed.matrix([A], [B], "car"),
        lambda: replayed.pairs([A], [C], "car"),
        lambda: replayed.pairs([A], [B], "van"),
        lambda: replayed.pairs([A], [B], "car", NOON),
    ):
        with pytest.raises(TravelNotRecorded, match="not recorded"):
            ask()
    replayed.pairs([A], [B], "car")
    with pytest.raises(TravelNotRecorded):  # asked once, so it is answered once
        replayed.pairs([A], [B], "car")


def test_damaged_recording_is_refused():
    with pytest.raises(BadData, match="damaged"):
        Replayed("any", b"no parquet")
