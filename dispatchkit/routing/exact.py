"""The proven best order of stops for one vehicle, by dynamic programming.

State = (tasks done, last task). Since a drop-off comes after its pickup, the tasks done tell what is
on board. A state keeps every label (time, cost) that no other label beats in both: a later one may
have cost less. Six deliveries are twelve stops and some three thousand states.

Source: Psaraftis 1980 (dial-a-ride by dynamic programming), extended by labels for costs and time
windows.
"""

from __future__ import annotations

from dispatchkit.routing.problem import Plan, Problem, Task, as_plan

MAX_TASKS = 16
Label = tuple[int, int, "Label | None", int]  # time, cost so far, where it came from, task


def solve(problem: Problem, *, solutions: int, seconds: float | None, seed: int) -> Plan | None:
    """Return the proven best plan for one vehicle, or None if no order keeps every limit."""
    order = best_order(problem)
    return None if order is None else as_plan(problem, [order], engine="exact", proven=True)


def best_order(problem: Problem, vehicle: int = 0) -> tuple[int, ...] | None:
    """Return all tasks in the cheapest order, or None if no order keeps every hard limit.

    Of equal orders the first one stays; the search runs by task index, so it is always the same.
    Raises ValueError above MAX_TASKS tasks.
    """
    tasks, car = problem.tasks, problem.vehicles[vehicle]
    if len(tasks) > MAX_TASKS:
        raise ValueError(
            f"{len(tasks)} tasks are too many for the exact engine; at most {MAX_TASKS}"
        )
    if not tasks:
        return ()
    if any(task.only not in (None, vehicle) for task in tasks):
        return None
    layer: dict[tuple[int, int], list[Label]] = {(0, -1): [(car.at, 0, None, -1)]}
    for step in range(len(tasks)):
        layer = _step(problem, vehicle, layer, only=car.first if step == 0 else None)
    return _cheapest(problem, vehicle, layer)


def _step(
    problem: Problem, vehicle: int, layer: dict[tuple[int, int], list[Label]], *, only: int | None
) -> dict[tuple[int, int], list[Label]]:
    """Return the states one task further, with the labels worth keeping."""
    car, tasks, weights = problem.vehicles[vehicle], problem.tasks, problem.weights
    following: dict[tuple[int, int], list[Label]] = {}
    open_tasks: dict[int, list[tuple[int, Task]]] = {}
    for (done, last), labels in layer.items():
        if done not in open_tasks:
            open_tasks[done] = [t for t in _open(problem, vehicle, done) if only in (None, t[0])]
        legs = problem.time[car.start if last < 0 else tasks[last].place]
        for index, task in open_tasks[done]:
            leg = legs[task.place]
            if leg < 0:
                continue
            kept = following.setdefault((done | 1 << index, index), [])
            for label in labels:
                begin = max(label[0] + leg, task.earliest)
                if task.latest is not None and begin > task.latest:
                    continue
                leave = begin + task.service
                late = (
                    0
                    if task.due is None or leave <= task.due
                    else weights.late * (leave - task.due)
                )
                _keep(kept, (leave, label[1] + weights.travel * leg + late, label, index))
    return following


def _open(problem: Problem, vehicle: int, done: int) -> list[tuple[int, Task]]:
    """Return the tasks that may come next: not done, pickup made, room on board."""
    car = problem.vehicles[vehicle]
    load = car.load + sum(task.load for i, task in enumerate(problem.tasks) if done >> i & 1)
    room = max(car.capacity, car.load)
    return [
        (i, task)
        for i, task in enumerate(problem.tasks)
        if not done >> i & 1
        and (task.after is None or done >> task.after & 1)
        and load + task.load <= room
    ]


def _keep(kept: list[Label], new: Label) -> None:
    """Add a label unless one kept is as early and as cheap; drop those it beats."""
    time, cost = new[0], new[1]
    for label in kept:
        if label[0] <= time and label[1] <= cost:
            return
    kept[:] = [label for label in kept if label[0] < time or label[1] < cost]
    kept.append(new)


def _cheapest(
    problem: Problem, vehicle: int, layer: dict[tuple[int, int], list[Label]]
) -> tuple[int, ...] | None:
    """Return the order of the cheapest label of the last layer, the way home included."""
    car, weights = problem.vehicles[vehicle], problem.weights
    best: tuple[int, tuple[int, ...]] | None = None
    for (_, last), labels in layer.items():
        home = 0 if car.end is None else problem.time[problem.tasks[last].place][car.end]
        for label in labels:
            finish = label[0] + home
            if home < 0 or (car.end_by is not None and finish > car.end_by):
                continue
            cost = label[1] + weights.travel * home + weights.finish * (finish - car.at)
            if best is None or cost < best[0]:
                best = (cost, _walk_back(label))
    return None if best is None else best[1]


def _walk_back(label: Label) -> tuple[int, ...]:
    order = []
    here: Label | None = label
    while here is not None and here[3] >= 0:
        order.append(here[3])
        here = here[2]
    return tuple(reversed(order))
