"""Real OpenStreetMap extracts, if they are there: osm/*.osm.pbf under DISPATCHKIT_REAL_DATA."""

from __future__ import annotations

import os
import re
from pathlib import Path

import networkx as nx
import numpy as np
import osmium
import osmnx
import pytest

from dispatchkit.streets.geodesy import SCALE
from dispatchkit.streets.graph import assemble
from dispatchkit.streets.load import read_osm
from dispatchkit.streets.matrix import Network, travel_table
from dispatchkit.streets.networkx_io import to_networkx
from dispatchkit.streets.profile import PROFILES, ROAD_CLASSES
from dispatchkit.streets.segments import split_ways
from dispatchkit.streets.snap import Snapper

BESIDE = Path(__file__).parents[4] / "shared" / "data"
FILES = sorted((Path(os.environ.get("DISPATCHKIT_REAL_DATA", BESIDE)) / "osm").glob("*.osm.pbf"))
pytestmark = pytest.mark.skipif(
    not FILES, reason="DISPATCHKIT_REAL_DATA names no folder with osm/*.osm.pbf"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_file_keeps_most_streets(path):
    ways = read_osm(path)
    for name in PROFILES:
        streets = assemble(split_ways(ways, name), path.name)
        counts = streets.counts()
        assert counts["nodes"] > 500
        assert name != "car" or streets.dropped["km_outside_main_part"] < 0.2 * counts["km"]
        assert (streets.travel_ms >= 1).all() and (streets.tail != streets.head).all()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_junction_times_equal_networkx(path):
    streets = assemble(split_ways(read_osm(path), "car"), path.name)
    draw = np.random.default_rng(7)
    rows, columns = (draw.choice(len(streets.node_id), n) for n in (5, 200))
    points = np.column_stack([streets.node_lat, streets.node_lon]) / SCALE
    snapper = Snapper(streets)
    a, b = (snapper.snap(points[nodes], max_gap_m=1) for nodes in (rows, columns))
    seconds, _ = travel_table(Network.of(streets), a, b)
    graph = to_networkx(streets)
    for _, _, facts in graph.edges(data=True):
        facts["ms"] = round(facts["travel_time"] * 1000)
    for i, u in enumerate(streets.node_id[rows].tolist()):
        times = nx.single_source_dijkstra_path_length(graph, u, weight="ms")
        assert seconds[i].tolist() == [
            round(times[v] / 1000) for v in streets.node_id[columns].tolist()
        ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_car_table_follows_osmnx_drive_filter(path):
    rules = re.findall(r'\["([^"]+)"!~"([^"]+)"\]', osmnx._overpass._get_network_filter("drive"))
    assert len(rules) == 6
    for way in osmium.FileProcessor(path, osmium.osm.WAY).with_filter(
        osmium.filter.KeyFilter("highway")
    ):
        tags = {tag.k: tag.v for tag in way.tags}
        osmnx_uses_it = not any(re.search(words, tags.get(key, "")) for key, words in rules)
        car_uses_it = PROFILES["car"].passage(tags) is not None
        opened = tags.get("motorcar") == "yes" and tags.get("motor_vehicle") == "no"
        unknown = tags["highway"] not in ROAD_CLASSES
        closed = {tags.get(key) for key in ("access", "vehicle", "motor_vehicle")} & {
            "no",
            "private",
            "agricultural",
        }
        assert (
            osmnx_uses_it == car_uses_it
            or (car_uses_it and opened)
            or (osmnx_uses_it and (unknown or closed))
        ), f"way {way.id}"
