"""Settings: the shipped files say exactly the defaults, and whatever is wrong is named."""

from __future__ import annotations

import dataclasses
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from dispatchkit import config
from dispatchkit.decide.audit.model import Params as Audit
from dispatchkit.domain.dispatching import Dispatch
from dispatchkit.flows.live import catalog
from dispatchkit.kernel.errors import BadConfig, InputMissing
from dispatchkit.senders.params import Outbox
from dispatchkit.travel.providers import TravelParams

CONFIGS = Path(__file__).parents[2] / "configs"


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "given.toml"
    path.write_text(text, "utf-8")
    return path


def test_default_toml_names_every_parameter_with_its_default():
    shipped = tomllib.loads((CONFIGS / "default.toml").read_text("utf-8"))
    shared = {field.name for field in dataclasses.fields(Dispatch)}
    classes = {name: catalog.feature(name).params for name in catalog.FEATURES}
    expected = classes | {
        "market": config.Market,
        "database": config.Database,
        "travel": TravelParams,
        "dispatch": Dispatch,
        "audit": Audit,
        "outbox": Outbox,
    }
    assert set(shipped) == set(expected)
    for table, cls in expected.items():
        names = {field.name for field in dataclasses.fields(cls)}
        own = names - shared if table != "dispatch" and issubclass(cls, Dispatch) else names
        assert set(shipped[table]) == own, table
        assert config.build(cls, shipped[table], table) == cls(), table


def test_flags_toml_names_every_flag():
    shipped = tomllib.loads((CONFIGS / "flags.toml").read_text("utf-8"))
    assert set(shipped["flags"]) == set(catalog.FLAGS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[offers]\ntimeoutt = '30s'",
            "unknown key `timeoutt` in [offers], did you mean `timeout`",
        ),
        ("[ofers]\ntimeout = '30s'", "unknown table `ofers`"),
        ("[dispatch]\nmax_stak = 2", "did you mean `max_stack`"),
        ("[flags.offerz]\nenabled = true", "did you mean `offers`"),
        ("[offers]\ntimeout = 30", "expected a span such as"),
        ("[offers]\ntimeout = '1s'\naccept_grace = '2s'", "accept_grace"),
        ("[offers]\nmax_attempts = 'many'", "expected int"),
        ("[travel]\ncircuity = nan", "expected a finite number"),
        ("[offers]\ntimeout = '30s'\ntimeout = '31s'", "not TOML"),
        ("offers: !!python/object/apply:os.system ['ls']", "not TOML"),
        ("a = " + "[" * 40 + "]" * 40, "nested deeper than 32"),
        ("offers = 3", "[offers] must be a table"),
        ("[flags]\noffers = false", "[flags.offers] must be a table"),
        ("[flags.offers]\npercent = 500.0", "flags.offers.percent is 500; expected 0 to 100"),
        ("[flags.offers]\npercent = -1", "expected 0 to 100"),
        ("[flags.offers]\nname = 'routes'", "unknown key `name` in [flags.offers]"),
        ("[database]\nbatch = 0", "database.batch is 0"),
        ("[database]\nlock_timeout = '0s'", "database.lock_timeout"),
        ("[offers]\ntimeout = '99999999999999d'", "expected a span such as"),
        ("[routes]\nsolutions = 0", "[routes] solutions is 0"),
        ("[market]\ntimezone = 'Mars/Olympus'", "not a time zone"),
    ],
)
def test_bad_file_is_refused_by_name(tmp_path, text, said):
    with pytest.raises(BadConfig) as caught:
        catalog.settings([_written(tmp_path, text)])
    assert said in str(caught.value)


def test_file_over_megabyte_is_refused_unread(tmp_path):
    with pytest.raises(BadConfig, match="larger than"):
        catalog.settings([_written(tmp_path, "# " + "x" * 1_000_001)])


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputMissing, match=r"absent\.toml"):
        catalog.settings([tmp_path / "absent.toml"])


def test_later_files_override_single_keys(tmp_path):
    one = tmp_path / "one.toml"
    one.write_text(
        "[dispatch]\nmax_stack = 3\n[offers]\ntimeout = '40s'\nmax_attempts = 5\n", "utf-8"
    )
    two = tmp_path / "two.toml"
    two.write_text("[offers]\ntimeout = '50s'\n", "utf-8")
    params = catalog.params(catalog.feature("offers"), catalog.settings([one, two]))
    assert (params.max_stack, params.timeout, params.max_attempts) == (3, timedelta(seconds=50), 5)


def test_empty_configuration_is_all_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = catalog.settings()
    for name in catalog.FEATURES:
        feature = catalog.feature(name)
        assert catalog.params(feature, settings) == feature.params()
        assert settings.flag(feature.flag).admits(1)


WRONG = {  # of each table one value that is a value, and makes no sense
    "availability": {"break_max": "0s"},
    "reassignment": {"grace": "0s"},
    "offers": {"timeout": "0s"},
    "escalation": {"reminder": "0s"},
    "routes": {"solutions": 0},
    "audit": {"seal": "0s"},
    "outbox": {"batch": 0},
}


@pytest.mark.parametrize("table", WRONG)
def test_invalid_value_is_named_with_its_table(table):
    classes = {name: catalog.feature(name).params for name in catalog.FEATURES} | {
        "audit": Audit,
        "outbox": Outbox,
    }
    with pytest.raises(BadConfig) as caught:
        config.build(classes[table], WRONG[table], table)
    assert str(caught.value).startswith((f"[{table}] ", f"{table}."))
    assert str(caught.value).count(table) == 1
