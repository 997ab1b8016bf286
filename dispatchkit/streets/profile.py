"""Who may use which street, in which direction, how fast: one explicit table for each profile.

The car table follows the driving filter of osmnx (no service roads, no alleys) and is stricter in one thing: access
is read from the most specific tag that is present, so `access=no` closes a street unless `motorcar=yes` opens it.
Speeds are a fixed class table, not the mean of the tagged ones: where few streets are tagged, that mean is a guess from
a handful of arterials. Change a number here and you change `TABLE_VERSION`, which every stored map carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dispatchkit.kernel.errors import BadConfig

TABLE_VERSION: Final = "1"
CLASSES: Final = (  # position = the number stored on an arc
    "motorway motorway_link trunk trunk_link primary primary_link secondary secondary_link tertiary tertiary_link "
    "unclassified residential living_street road service pedestrian track cycleway footway path steps bridleway"
).split()
TABLE, TAGGED = 0, 1  # where an arc's speed comes from

_CAR = dict(zip(CLASSES, (110, 60, 85, 50, 60, 45, 55, 40, 45, 35, 40, 30, 10, 30), strict=False))
_BICYCLE = dict.fromkeys(CLASSES[4:15], 15.0) | {
    "cycleway": 16.0,
    "path": 12.0,
    "track": 12.0,
    "living_street": 12.0,
}
_FOOT = dict.fromkeys([*CLASSES[4:17], "footway", "path", "bridleway"], 4.7) | {"steps": 2.5}

_CLOSED = frozenset("no private agricultural forestry emergency".split())
_OPENED = frozenset("yes designated permissive".split())
_SERVICE = frozenset("alley driveway emergency_access parking parking_aisle private".split())
_ONE_WAY = dict.fromkeys(("yes", "true", "1"), (True, False)) | dict.fromkeys(
    ("-1", "reverse"), (False, True)
)
_ZONES = {
    "urban": 50.0,
    "rural": 90.0,
    "trunk": 100.0,
    "motorway": 120.0,
    "living_street": 10.0,
    "walk": 6.0,
}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*(mph|km/h|kmh|kph|knots)?")


@dataclass(frozen=True, slots=True)
class Passage:
    """How one way may be travelled: km/h along and against its direction (None: not), and whether that was tagged."""

    along: float | None
    against: float | None
    speed_from: int = TABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One way of moving: km/h by class (a class that is absent is closed), and the tags that speak for it.

    access: most specific first. heeds_limits: follows maxspeed. obeys_oneway: else only `oneway:NAME` counts.
    opens: a tag `NAME=yes|designated|permissive` opens a class the table leaves out, at this speed.
    """

    name: str
    speeds: Mapping[str, float]
    access: tuple[str, ...]
    heeds_limits: bool = False
    obeys_oneway: bool = True
    closed_service: frozenset[str] = frozenset({"private"})
    opens: float | None = None

    def judge(self, tags: Mapping[str, str]) -> Passage | None:
        """Return how a way with these tags may be travelled, or None if it may not."""
        base = self._class_speed(tags)
        if base is None or tags.get("area") == "yes" or tags.get("service") in self.closed_service:
            return None
        if next((tags[key] for key in self.access if key in tags), "yes") in _CLOSED:
            return None
        along, against = self._directions(tags)
        if not (along or against):
            return None
        limit = [self._limit(tags, way) for way in ("forward", "backward")]
        return Passage(
            (limit[0] or base) if along else None,
            (limit[1] or base) if against else None,
            TAGGED if (along and limit[0]) or (against and limit[1]) else TABLE,
        )

    def _class_speed(self, tags: Mapping[str, str]) -> float | None:
        kind = tags.get("highway", "")
        speed = self.speeds.get(kind)
        if (
            speed is None
            and self.opens is not None
            and kind in CLASSES
            and tags.get(self.access[0]) in _OPENED
        ):
            return self.opens
        return speed

    def _limit(self, tags: Mapping[str, str], way: str) -> float | None:
        if not self.heeds_limits:
            return None
        return limit_kmh(tags.get(f"maxspeed:{way}") or tags.get("maxspeed"))

    def _directions(self, tags: Mapping[str, str]) -> tuple[bool, bool]:
        own = tags.get(f"oneway:{self.name}")
        if own is not None or not self.obeys_oneway:
            return _ONE_WAY.get(own or "no", (True, True))
        word = tags.get("oneway")
        if word in ("reversible", "alternating"):
            return False, False  # its direction depends on the hour, which no map says
        if word is None and (
            tags.get("junction") in ("roundabout", "circular") or tags.get("highway") == "motorway"
        ):
            word = "yes"
        along, against = _ONE_WAY.get(word or "no", (True, True))
        if self.name == "bicycle" and any(
            tags.get(key, "").startswith("opposite") for key in _CONTRAFLOW
        ):
            return True, True
        return along, against


_CONTRAFLOW = ("cycleway", "cycleway:left", "cycleway:right", "cycleway:both")
PROFILES: Final[Mapping[str, Profile]] = {
    "car": Profile(
        name="car",
        speeds=_CAR,
        access=("motorcar", "motor_vehicle", "vehicle", "access"),
        heeds_limits=True,
        closed_service=_SERVICE,
    ),
    "bicycle": Profile(
        name="bicycle", speeds=_BICYCLE, access=("bicycle", "vehicle", "access"), opens=10.0
    ),
    "foot": Profile(
        name="foot", speeds=_FOOT, access=("foot", "access"), obeys_oneway=False, opens=4.7
    ),
}
KEYS: Final = frozenset(  # every tag that `judge` or the manifest looks at
    "highway area service oneway junction maxspeed maxspeed:forward maxspeed:backward maxspeed:conditional".split()
).union(_CONTRAFLOW, *((f"oneway:{p.name}", *p.access) for p in PROFILES.values()))
FOR_VEHICLE: Final[Mapping[str, str]] = {
    "bicycle": "bicycle",
    "walker": "foot",
    **dict.fromkeys(("car", "scooter", "motorcycle", "van", "other"), "car"),
}


def profile(name: str) -> Profile:
    """Return a profile by name. Raises BadConfig."""
    if name not in PROFILES:
        raise BadConfig(f"{name!r} is not a street profile; known: {', '.join(PROFILES)}")
    return PROFILES[name]


def limit_kmh(text: str | None) -> float | None:
    """Return a maxspeed tag as km/h, or None if it is absent or says nothing: 50, 30 mph, 50;30 (the lowest), DE:urban.

    `none` (no limit) reads as 130, `walk` as 6. "signals", "variable" and the like say nothing.
    """
    found = [
        speed
        for part in (text or "").split(";")
        if (speed := _one_limit(part.strip().lower())) is not None
    ]
    return min(found, default=None)


def _one_limit(word: str) -> float | None:
    if word == "none":
        return 130.0
    word = word.rsplit(":", 1)[-1].removeprefix("zone")
    if word in _ZONES:
        return _ZONES[word]
    match = _NUMBER.fullmatch(word)
    if not match:
        return None
    factor = {"mph": 1.609344, "knots": 1.852}.get(match[2] or "", 1.0)
    speed = float(match[1]) * factor
    return speed if 1 <= speed <= 200 else None
