from __future__ import annotations

import pytest

from dispatchkit.domain.rows import Vehicle
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.streets.profile import (
    FROM_TABLE,
    FROM_TAG,
    PROFILE_OF_VEHICLE,
    PROFILES,
    USED_TAGS,
    get_profile,
    parse_maxspeed,
)


@pytest.mark.parametrize(
    ("name", "tags", "forward_kmh", "backward_kmh"),
    [
        ("car", {"highway": "residential"}, 30, 30),
        ("car", {"highway": "residential", "oneway": "yes"}, 30, None),
        ("car", {"highway": "residential", "oneway": "-1"}, None, 30),
        ("car", {"highway": "residential", "junction": "roundabout"}, 30, None),
        ("car", {"highway": "motorway"}, 110, None),
        ("car", {"highway": "motorway", "oneway": "no"}, 110, 110),
        (
            "car",
            {"highway": "secondary", "maxspeed:forward": "70", "maxspeed:backward": "30 mph"},
            70,
            48.28032,
        ),
        ("bicycle", {"highway": "residential", "oneway": "yes"}, 15, None),
        ("bicycle", {"highway": "residential", "oneway": "yes", "oneway:bicycle": "no"}, 15, 15),
        (
            "bicycle",
            {"highway": "residential", "oneway": "yes", "cycleway": "opposite_lane"},
            15,
            15,
        ),
        ("bicycle", {"highway": "residential", "maxspeed": "50"}, 15, 15),
        ("bicycle", {"highway": "footway", "bicycle": "yes"}, 10, 10),
        ("foot", {"highway": "residential", "oneway": "yes"}, 4.7, 4.7),
        ("foot", {"highway": "steps"}, 2.5, 2.5),
        ("foot", {"highway": "cycleway", "foot": "designated"}, 4.7, 4.7),
        ("car", {"highway": "residential", "access": "private", "motorcar": "yes"}, 30, 30),
        ("car", {"highway": "residential", "access": "destination"}, 30, 30),
    ],
)
def test_open_way_has_directions_and_speeds(name, tags, forward_kmh, backward_kmh):
    passage = PROFILES[name].passage(tags)
    assert passage is not None
    assert (passage.forward_kmh, passage.backward_kmh) == pytest.approx((forward_kmh, backward_kmh))


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("car", {"highway": "footway"}),
        ("car", {"highway": "service"}),
        ("car", {"highway": "residential", "service": "alley"}),
        ("car", {"highway": "residential", "access": "no"}),
        ("car", {"highway": "residential", "motor_vehicle": "private"}),
        ("car", {"highway": "residential", "area": "yes"}),
        ("car", {"highway": "residential", "oneway": "reversible"}),
        ("car", {"highway": "proposed"}),
        ("car", {}),
        ("bicycle", {"highway": "footway"}),
        ("bicycle", {"highway": "motorway"}),
        ("foot", {"highway": "motorway"}),
        ("foot", {"highway": "residential", "foot": "no"}),
    ],
)
def test_closed_way_has_no_passage(name, tags):
    assert PROFILES[name].passage(tags) is None


@pytest.mark.parametrize(
    ("text", "kmh"),
    [
        ("50", 50),
        ("30 mph", 48.28032),
        ("50;30", 30),
        ("none", 130),
        ("walk", 6),
        ("DE:urban", 50),
        ("DE:zone:30", 30),
        ("FR:zone30", 30),
        ("DE:rural", 90),
        ("12.5", 12.5),
        ("signals", None),
        ("0", None),
        ("900", None),
        ("", None),
        (None, None),
    ],
)
def test_maxspeed_is_parsed(text, kmh):
    assert parse_maxspeed(text) == (kmh if kmh is None else pytest.approx(kmh))


def test_speed_source_is_tag_or_table():
    for tags, source in (
        ({"maxspeed": "50"}, FROM_TAG),
        ({"maxspeed": "signals"}, FROM_TABLE),
        ({"oneway": "yes", "maxspeed:backward": "20"}, FROM_TABLE),
    ):
        passage = PROFILES["car"].passage({"highway": "primary", **tags})
        assert passage is not None and passage.speed_source == source


def test_every_vehicle_and_access_tag_is_covered():
    assert sorted(PROFILE_OF_VEHICLE) == sorted(Vehicle)
    assert set(PROFILE_OF_VEHICLE.values()) == set(PROFILES)
    assert {key for p in PROFILES.values() for key in p.access_tags} <= USED_TAGS
    with pytest.raises(BadConfig, match="hovercraft"):
        get_profile("hovercraft")
