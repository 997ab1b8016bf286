"""Random routing problems for the engines, and the best order by brute force."""

from __future__ import annotations

from itertools import permutations

from hypothesis import strategies as st

from dispatchkit.routing.problem import Problem, Task, VehicleType, Weights, schedule


@st.composite
def problems(draw: st.DrawFn, *, jobs: int = 3, hard: bool = True, vehicles: int = 1) -> Problem:
    """Draw a problem with goods on board and a first stop; `hard` adds windows and full vehicles."""
    tasks: list[Task] = []
    on_board = 0
    for job in range(1, draw(st.integers(1, jobs)) + 1):
        due = draw(st.none() | st.integers(-300, 900))
        latest = draw(st.none() | st.integers(100, 900)) if hard else None
        if draw(st.booleans()):
            on_board += 1
            only = {"only": 0} if vehicles > 1 else {}
            tasks.append(
                _task(draw, job, "dropoff", len(tasks), load=-1, due=due, latest=latest, **only)
            )
            continue
        pickup = len(tasks)
        tasks.append(_task(draw, job, "pickup", pickup, load=1, earliest=draw(st.integers(0, 600))))
        tasks.append(
            _task(draw, job, "dropoff", pickup + 1, load=-1, due=due, latest=latest, after=pickup)
        )
    n = len(tasks) + 1
    ways = st.sampled_from([-1] * hard + [0, 10, 60, 61, 120, 300])
    time = [[0 if i == j else draw(ways) for j in range(n)] for i in range(n)]
    startable = [i for i, task in enumerate(tasks) if task.after is None and task.only in (None, 0)]
    first = draw(st.none() | st.sampled_from(startable)) if startable else None
    room = draw(st.integers(1, 3)) + (0 if hard else on_board)
    cars = [VehicleType(id=7, start=0, capacity=room, load=on_board, first=first)]
    cars += [VehicleType(id=8 + i, start=0, capacity=2) for i in range(vehicles - 1)]
    weights = draw(
        st.sampled_from(
            [Weights(), Weights(late=3, finish=0, travel=1), Weights(late=1, finish=1, travel=0)]
        )
    )
    return Problem(tasks=tuple(tasks), vehicles=tuple(cars), time=time, weights=weights)


def _task(draw: st.DrawFn, job: int, kind: str, index: int, **words: int | None) -> Task:
    service = draw(st.sampled_from([0, 30]))
    return Task(job=job, kind=kind, place=index + 1, service=service, **words)  # type: ignore[arg-type]


def least_cost(problem: Problem) -> int | None:
    """Return the cost of the best order of all tasks, by trying every one."""
    orders = (schedule(problem, 0, order) for order in permutations(range(len(problem.tasks))))
    return min((found[1] for found in orders if found), default=None)
