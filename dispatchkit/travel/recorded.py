"""What travel was asked and answered in a run: with it a decision is repeated without the provider."""

from __future__ import annotations

import io
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from dispatchkit.kernel.errors import BadData
from dispatchkit.travel.interface import Points, Times, Travel

Question = tuple[str, str, datetime | None, tuple[float, ...], tuple[float, ...]]
SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "kind": pl.String,  # matrix or pairs
    "vehicle": pl.String,
    "depart_at": pl.Datetime("us", "UTC"),
    "sources": pl.List(pl.Float64),  # lat, lon, lat, lon, ...
    "targets": pl.List(pl.Float64),
    "seconds": pl.List(pl.Int64),  # a matrix row by row
    "metres": pl.List(pl.Int64),
}


class TravelNotRecorded(BadData):
    """Travel was asked for something that was not asked when it was recorded."""


@dataclass(frozen=True, slots=True)
class Note:
    """One question and its answer."""

    question: Question
    times: Times


class Recorded:
    """A Travel that passes every question on to another one and notes it with its answer, in order."""

    def __init__(self, travel: Travel) -> None:
        self._travel = travel
        self.notes: list[Note] = []

    @property
    def name(self) -> str:
        """Return the name of the provider asked."""
        return self._travel.name

    def matrix(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the provider's matrix."""
        times = self._travel.matrix(sources, targets, vehicle, depart_at)
        self.notes.append(Note(_question("matrix", sources, targets, vehicle, depart_at), times))
        return times

    def pairs(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the provider's pairs."""
        times = self._travel.pairs(sources, targets, vehicle, depart_at)
        self.notes.append(Note(_question("pairs", sources, targets, vehicle, depart_at), times))
        return times

    def parquet(self) -> bytes:
        """Return the notes as a Parquet file that Replayed reads."""
        rows = [
            (kind, vehicle, depart_at, sources, targets, *(array.ravel() for array in note.times))
            for note in self.notes
            for kind, vehicle, depart_at, sources, targets in (note.question,)
        ]
        out = io.BytesIO()
        pl.DataFrame(rows, SCHEMA, orient="row").write_parquet(out, compression="zstd")
        return out.getvalue()


class Replayed:
    """A Travel that answers from notes, equal questions in the order in which they were asked.

    Raises BadData for a damaged file, TravelNotRecorded for a question that is not noted, or was asked fewer times.
    """

    def __init__(self, name: str, parquet: bytes) -> None:
        self.name = name
        self._answers: dict[Question, deque[Times]] = defaultdict(deque)
        try:
            notes = pl.read_parquet(io.BytesIO(parquet)).match_to_schema(SCHEMA)
        except pl.exceptions.PolarsError as fault:
            raise BadData("the recorded travel times are damaged") from fault
        for row in notes.iter_rows():
            kind, vehicle, depart_at, sources, targets, seconds, metres = row
            question = (kind, vehicle, depart_at, tuple(sources), tuple(targets))
            shape = (len(sources) // 2, len(targets) // 2) if kind == "matrix" else (-1,)
            times = (
                np.array(seconds, np.int64).reshape(shape),
                np.array(metres, np.int64).reshape(shape),
            )
            self._answers[question].append(times)

    def matrix(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the matrix noted for this question."""
        return self._answer(_question("matrix", sources, targets, vehicle, depart_at))

    def pairs(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the pairs noted for this question."""
        return self._answer(_question("pairs", sources, targets, vehicle, depart_at))

    def _answer(self, question: Question) -> Times:
        answers = self._answers.get(question)
        if not answers:
            kind, vehicle, _, sources, targets = question
            raise TravelNotRecorded(
                f"travel times were not recorded for this question: {kind} for {vehicle}, "
                f"{len(sources) // 2} sources, {len(targets) // 2} targets"
            )
        return answers.popleft()


def _question(
    kind: str, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None
) -> Question:
    return (
        kind,
        vehicle,
        depart_at,
        tuple(float(degree) for point in sources for degree in point),
        tuple(float(degree) for point in targets for degree in point),
    )
