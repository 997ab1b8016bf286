from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from dispatchkit.cli.main import run
from dispatchkit.flows.planning.streets import make_up
from tests.unit.streets.networks import BOX
from tests.unit.streets.osm_files import place, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    south, west, north, east = BOX
    path = tmp_path_factory.mktemp("streets") / "map"
    make_up(path, south=south, west=west, north=north, east=east)
    return path


def places(path, *rows, header="id,lat,lon"):
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return str(path)


def test_build_and_info_show_counts_and_source(tmp_path, capsys):
    nodes = {1: (0, 0), 2: (100, 0), 3: (200, 0)}
    ways = [
        (7, [1, 2], {"highway": "residential"}),
        (8, [2, 3], {"highway": "residential", "oneway": "yes"}),
    ]
    file, to = write(tmp_path / "town.osm", nodes, ways), tmp_path / "map"
    assert (
        run(
            [
                "streets",
                "build",
                str(file),
                "--to",
                str(to),
                "--profile",
                "car",
                "--profile",
                "foot",
            ]
        )
        == 0
    )
    shown = capsys.readouterr()
    assert shown.out.splitlines()[1:] == ["car\t2\t2\t0.2\t1\t1\t0.1", "foot\t3\t4\t0.4\t0\t0\t0.0"]
    assert "OpenStreetMap contributors" in shown.err
    assert run(["--json", "streets", "info", str(to)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["source"]["turn_restrictions_not_applied"] == 0
    assert facts["profiles"]["car"]["dropped"]["nodes_outside_main_part"] == 1


def test_matrix_formats_hold_same_times(folder, tmp_path, capsys):
    here = places(tmp_path / "here.csv", "d1,59.91,10.72", "d2,59.92,10.74")
    there = places(
        tmp_path / "there.csv", "59.915,10.75", "59.925,10.71", "59.92,10.74", header="lat,lon"
    )
    for suffix in ("npy", "csv", "parquet"):
        out = str(tmp_path / f"out.{suffix}")
        assert (
            run(["streets", "matrix", str(folder), "--from", here, "--to", there, "--out", out])
            == 0
        )
    seconds = np.load(tmp_path / "out.npy")
    assert (seconds.dtype, seconds.shape, seconds[1, 2]) == (np.int32, (2, 3), 0)
    table = pl.read_parquet(tmp_path / "out.parquet")
    assert table["from"].to_list() == ["d1"] * 3 + ["d2"] * 3
    assert table["to"].to_list() == ["1", "2", "3"] * 2
    assert table["seconds"].to_list() == seconds.ravel().tolist()
    assert pl.read_csv(tmp_path / "out.csv")["metres"].to_list() == table["metres"].to_list()
    assert "streets grid" in capsys.readouterr().out
    assert (
        sorted(p.name for p in tmp_path.iterdir())
        == "here.csv out.csv out.npy out.parquet there.csv".split()
    )


def test_far_place_is_refused_and_others_written(folder, tmp_path, capsys):
    here = places(tmp_path / "here.csv", "near,59.91,10.72", "sea,12.0,30.0")
    out = tmp_path / "out.npy"
    assert (
        run(["streets", "matrix", str(folder), "--from", here, "--to", here, "--out", str(out)])
        == 3
    )
    assert np.load(out).tolist() == [[0, -1], [-1, -1]]
    assert "first sea" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("id,lat,lon\na,59.9,10.7\nb,59.9,x\nc,,1\n", 65, "line 3, column lon"),
        ("id,lat,lon\na,91,10.7\n", 65, "line 2, column lat"),
        ("id,lat,lon\na,nan,10.7\n", 65, "line 2, column lat"),
        ("id,latitude,lon\na,59.9,10.7\n", 65, "no column lat"),
        ("", 65, "not a CSV"),
        (None, 66, "no such file"),
    ],
)
def test_bad_places_are_reported_with_line_and_column(
    folder, tmp_path, capsys, content, code, message
):
    path = tmp_path / "p.csv"
    if content is not None:
        path.write_text(content)
    out = str(tmp_path / "o.npy")
    assert (
        run(
            ["streets", "matrix", str(folder), "--from", str(path), "--to", str(path), "--out", out]
        )
        == code
    )
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o.npy").exists()


@pytest.mark.parametrize(("out", "code"), [("o.xls", 2), ("none/o.npy", 73)])
def test_impossible_output_is_refused(folder, tmp_path, out, code):
    here = places(tmp_path / "here.csv", "a,59.91,10.72")
    assert (
        run(
            [
                "streets",
                "matrix",
                str(folder),
                "--from",
                here,
                "--to",
                here,
                "--out",
                str(tmp_path / out),
            ]
        )
        == code
    )


def test_route_shows_time_and_json_line(folder, capsys):
    call = ["streets", "route", str(folder), "59.91,10.72", "59.92,10.74"]
    assert run(call) == 0
    seconds, metres = (int(word) for word in capsys.readouterr().out.split()[:3:2])
    assert run(["--json", *call]) == 0
    route = json.loads(capsys.readouterr().out)
    assert (route["seconds"], route["metres"]) == (seconds, metres)
    assert len(route["line"]) > 2


def test_negative_coordinates_are_not_options(tmp_path, capsys):
    nodes = {1: (-200, -200), 2: (-100, -200)}
    file, to = (
        write(tmp_path / "t.osm", nodes, [(7, [1, 2], {"highway": "residential"})]),
        tmp_path / "map",
    )
    assert run(["-q", "streets", "build", str(file), "--to", str(to)]) == 0
    a, b = (",".join(f"{v:.7f}" for v in place(*nodes[n])) for n in (1, 2))
    assert run(["streets", "route", str(to), a, b, "--vehicle", "car"]) == 0
    assert "12 s, 100 m over 1 ways" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("a", "code", "message"),
    [
        ("91,10", 2, "latitude comes first"),
        ("home", 2, "expected lat,lon"),
        ("12.0,30.0", 3, "no path for car"),
    ],
)
def test_route_from_impossible_place_is_refused(folder, capsys, a, code, message):
    assert run(["streets", "route", str(folder), a, "59.92,10.74"]) == code
    assert message in capsys.readouterr().err
