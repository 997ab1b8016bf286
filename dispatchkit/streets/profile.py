"""Who may use which street, in which direction, and how fast: one table for each profile.

The car table follows the "drive" filter of osmnx (no service roads, no alleys). It is stricter in
one
thing: access is read from the most specific tag that is present, so `access=no` closes a street
unless `motorcar=yes` opens it.

Speeds come from a fixed table by road class, not from the mean of the tagged speeds as in osmnx:
where few streets are tagged, that mean is a guess from a handful of main roads. Whoever changes a
number also changes TABLE_VERSION, which every stored map carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dispatchkit.kernel.errors import BadConfig

TABLE_VERSION: Final = "1"
ROAD_CLASSES: Final = (  # values of the tag `highway`; the position is the number stored on an arc
    "motorway motorway_link trunk trunk_link primary primary_link secondary secondary_link tertiary tertiary_link "
    "unclassified residential living_street road service pedestrian track cycleway footway path steps bridleway"
).split()
FROM_TABLE, FROM_TAG = 0, 1  # where the speed of an arc comes from

# km/h by road class; a class that is absent is closed.
_CAR_KMH = dict(
    zip(ROAD_CLASSES, (110, 60, 85, 50, 60, 45, 55, 40, 45, 35, 40, 30, 10, 30), strict=False)
)
_BICYCLE_KMH = dict.fromkeys(ROAD_CLASSES[4:15], 15.0) | {
    "cycleway": 16.0,
    "path": 12.0,
    "track": 12.0,
    "living_street": 12.0,
}
_FOOT_KMH = dict.fromkeys([*ROAD_CLASSES[4:17], "footway", "path", "bridleway"], 4.7) | {
    "steps": 2.5
}

_NO_ACCESS = frozenset("no private agricultural forestry emergency".split())
_ACCESS = frozenset("yes designated permissive".split())
_NO_CAR_SERVICE = frozenset("alley driveway emergency_access parking parking_aisle private".split())

_BOTH_WAYS = (True, True)  # may be travelled (forward, backward)
_ONE_WAY = {
    **dict.fromkeys(("yes", "true", "1"), (True, False)),
    **dict.fromkeys(("-1", "reverse"), (False, True)),
}
_CONTRAFLOW = ("cycleway", "cycleway:left", "cycleway:right", "cycleway:both")

_ZONE_KMH = {  # limits that mappers write as a word: DE:urban, walk
    "urban": 50.0,
    "rural": 90.0,
    "trunk": 100.0,
    "motorway": 120.0,
    "living_street": 10.0,
    "walk": 6.0,
    "none": 130.0,  # no limit
}
_SPEED = re.compile(r"(\d+(?:\.\d+)?)\s*(mph|km/h|kmh|kph|knots)?")
_KMH_PER_UNIT = {"mph": 1.609344, "knots": 1.852}


@dataclass(frozen=True, slots=True)
class Passage:
    """How one profile may travel one way. Forward is the direction in which the way is drawn."""

    forward_kmh: float | None  # None: closed
    backward_kmh: float | None
    speed_source: int = FROM_TABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A way of moving: speeds by road class, and the tags that decide on access and direction."""

    name: str
    speeds_kmh: Mapping[str, float]  # by road class; a class that is absent is closed
    access_tags: tuple[str, ...]  # the most specific first
    follows_maxspeed: bool = False
    follows_oneway: bool = True  # if not, only the tag `oneway:<name>` counts
    closed_services: frozenset[str] = frozenset({"private"})  # values of the tag `service`
    opened_kmh: float | None = None  # speed on a closed class that the first access tag opens

    def passage(self, tags: Mapping[str, str]) -> Passage | None:
        """Return how a way with these tags may be travelled, or None if it is closed."""
        base_kmh = self._class_speed(tags)
        if base_kmh is None or tags.get("area") == "yes":
            return None
        if tags.get("service") in self.closed_services:
            return None
        access = next((tags[key] for key in self.access_tags if key in tags), "yes")
        if access in _NO_ACCESS:
            return None
        forward, backward = self._directions(tags)
        if not (forward or backward):
            return None
        forward_limit, backward_limit = self._limit(tags, "forward"), self._limit(tags, "backward")
        tagged = (forward and forward_limit) or (backward and backward_limit)
        return Passage(
            forward_kmh=(forward_limit or base_kmh) if forward else None,
            backward_kmh=(backward_limit or base_kmh) if backward else None,
            speed_source=FROM_TAG if tagged else FROM_TABLE,
        )

    def _class_speed(self, tags: Mapping[str, str]) -> float | None:
        """Return the km/h of the way's road class, or None if this profile may not use it."""
        road_class = tags.get("highway", "")
        opened = road_class in ROAD_CLASSES and tags.get(self.access_tags[0]) in _ACCESS
        return self.speeds_kmh.get(road_class, self.opened_kmh if opened else None)

    def _limit(self, tags: Mapping[str, str], direction: str) -> float | None:
        if not self.follows_maxspeed:
            return None
        return parse_maxspeed(tags.get(f"maxspeed:{direction}") or tags.get("maxspeed"))

    def _directions(self, tags: Mapping[str, str]) -> tuple[bool, bool]:
        """Return whether a way may be travelled (forward, backward)."""
        own = tags.get(f"oneway:{self.name}")
        if own is not None or not self.follows_oneway:
            return _ONE_WAY.get(own or "no", _BOTH_WAYS)
        oneway = tags.get("oneway")
        if oneway in ("reversible", "alternating"):
            return False, False  # the direction depends on the hour, which the map does not tell
        roundabout = tags.get("junction") in ("roundabout", "circular")
        if oneway is None and (roundabout or tags.get("highway") == "motorway"):
            oneway = "yes"
        contraflow = any(tags.get(key, "").startswith("opposite") for key in _CONTRAFLOW)
        if self.name == "bicycle" and contraflow:
            return _BOTH_WAYS
        return _ONE_WAY.get(oneway or "no", _BOTH_WAYS)


PROFILES: Final[Mapping[str, Profile]] = {
    "car": Profile(
        name="car",
        speeds_kmh=_CAR_KMH,
        access_tags=("motorcar", "motor_vehicle", "vehicle", "access"),
        follows_maxspeed=True,
        closed_services=_NO_CAR_SERVICE,
    ),
    "bicycle": Profile(
        name="bicycle",
        speeds_kmh=_BICYCLE_KMH,
        access_tags=("bicycle", "vehicle", "access"),
        opened_kmh=10.0,
    ),
    "foot": Profile(
        name="foot",
        speeds_kmh=_FOOT_KMH,
        access_tags=("foot", "access"),
        follows_oneway=False,
        opened_kmh=4.7,
    ),
}
USED_TAGS: Final = frozenset(  # every tag that `Profile.passage` or the manifest reads
    "highway area service oneway junction maxspeed maxspeed:forward maxspeed:backward maxspeed:conditional".split()
).union(_CONTRAFLOW, *((f"oneway:{p.name}", *p.access_tags) for p in PROFILES.values()))
PROFILE_OF_VEHICLE: Final[Mapping[str, str]] = {
    "bicycle": "bicycle",
    "walker": "foot",
    **dict.fromkeys(("car", "scooter", "motorcycle", "van", "other"), "car"),
}


def get_profile(name: str) -> Profile:
    """Return a profile by name. Raises BadConfig."""
    if name not in PROFILES:
        raise BadConfig(f"{name!r} is not a street profile; known: {', '.join(PROFILES)}")
    return PROFILES[name]


def parse_maxspeed(text: str | None) -> float | None:
    """Return a maxspeed tag as km/h, or None if it is absent or holds no speed ("signals", "variable").

    Understands 50, "30 mph", "DE:urban", "none" (read as 130), "walk" (6), and "50;30" (the
    lowest).
    """
    parts = (text or "").split(";")
    speeds = [_parse_one_speed(part.strip().lower()) for part in parts]
    return min((speed for speed in speeds if speed is not None), default=None)


def _parse_one_speed(text: str) -> float | None:
    word = text.rsplit(":", 1)[-1].removeprefix("zone")
    if word in _ZONE_KMH:
        return _ZONE_KMH[word]
    match = _SPEED.fullmatch(word)
    if not match:
        return None
    kmh = float(match[1]) * _KMH_PER_UNIT.get(match[2] or "", 1.0)
    return kmh if 1 <= kmh <= 200 else None  # anything else is a typing error
