"""The small pure parts of the service."""

from __future__ import annotations

import gc
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.catalog import load_catalog
from service.engine.devices import choose_devices
from service.engine.encoders.scatter import draw_scatter, window
from service.engine.encoders.sheet import contact_sheet
from service.engine.errors import CatalogError
from service.engine.shares import fair_shares
from service.engine.threads import cpu_quota, usable_threads
from service.http.conditional import matches
from service.http.server import spare_the_collector
from service.logs import JsonFormatter, PrettyFormatter
from service.settings import SettingsRefused, load_settings

CPU = choose_devices(["cpu"])


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 200))
def test_shares_use_all_room_and_favour_nobody(wants: list[int], rows: int) -> None:
    shares = fair_shares(wants, rows)
    assert sum(shares) == min(rows, sum(wants))
    assert all(0 <= share <= want for share, want in zip(shares, wants, strict=True))
    least_unsatisfied = min(
        (s for s, want in zip(shares, wants, strict=True) if s < want), default=max(shares, default=0)
    )
    assert max(shares, default=0) <= least_unsatisfied + 1


def test_the_cgroup_quota_bounds_the_threads(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cpu_quota(tmp_path) == 0.5
    assert usable_threads(tmp_path) == 1


def test_the_old_cgroup_layout_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert cpu_quota(tmp_path) is None
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    assert cpu_quota(tmp_path) == 1.5


def test_settings_come_from_flag_then_environment_then_file_then_default(tmp_path: Path) -> None:
    file = tmp_path / "winnow.toml"
    file.write_text('default_model = "file"\n[http]\nbind = "0.0.0.0:1"\ngrace_seconds = 7\n[engine]\nthreads = 3\n')
    environment = {"WINNOW_HTTP__BIND": "0.0.0.0:2", "WINNOW_ENGINE__THREADS": "4", "WINNOW_CONFIG": str(file)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings({"engine": {"threads": "5"}}, environment)
    assert (settings.engine.threads, settings.http.bind, settings.http.grace_seconds) == (5, "0.0.0.0:2", 7)
    assert (settings.default_model, settings.limits.max_n) == ("file", 100_000)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("WINNOW_HTTP__BINDD", "WINNOW_HTTP__BIND?"),
        ("WINNOW_BIND", "did you mean WINNOW_"),
        ("WINNOW_BUNDLE", "WINNOW_BUNDLES?"),
        ("winnow_max_n", "WINNOW_LIMITS__MAX_N"),
    ],
)
def test_an_unknown_variable_is_refused_with_a_suggestion(name: str, suggestion: str) -> None:
    with pytest.raises(SettingsRefused) as refusal:
        load_settings({}, {name: "1"})
    assert name in str(refusal.value)
    assert suggestion in str(refusal.value)


def test_variables_that_kubernetes_injects_and_those_of_other_verbs_are_ignored() -> None:
    names = ("WINNOW_SERVICE_HOST", "WINNOW_SERVICE_PORT_HTTP", "WINNOW_PORT", "WINNOW_PORT_8000_TCP", "WINNOW_DATA")
    assert load_settings({}, dict.fromkeys(names, "tcp://10.0.0.1:8000")).http.bind == "127.0.0.1:8000"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[http]\nbnd = 1", "http.bnd is not a setting; did you mean http.bind?"),
        ("[htp]\nbind = 1", "htp is not a setting"),
        ("[http", "is not valid TOML"),
        ('[engine]\nthreads = "many"', "engine.threads: "),
    ],
)
def test_a_settings_file_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "winnow.toml"
    file.write_text(content)
    with pytest.raises(SettingsRefused) as refusal:
        load_settings({}, {}, file)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    "bind", ["8000", ":8000", "localhost", "localhost:", "localhost:70000", "localhost:-1", "h:\uff11"]
)
def test_a_bad_bind_address_is_refused(bind: str) -> None:
    with pytest.raises(SettingsRefused, match="is not host:port"):
        load_settings({"http": {"bind": bind}}, {})


def test_a_folder_without_bundles_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="winnow train"):
        load_catalog(tmp_path / "nowhere", None, CPU)


def test_fashion_mnist_is_the_default_where_it_is_and_the_first_loaded_one_elsewhere(
    bundles: Path, tmp_path: Path
) -> None:
    assert load_catalog(bundles, None, CPU).default == "barren"
    (tmp_path / "a-broken").mkdir()
    (tmp_path / "a-broken" / "bundle.json").write_text("{}")
    (tmp_path / "points").symlink_to(bundles / "points")
    assert load_catalog(tmp_path, None, CPU).default == "points"
    (tmp_path / "fashion-mnist").mkdir()
    (tmp_path / "fashion-mnist" / "bundle.json").write_text("{}")
    with pytest.raises(CatalogError, match="fashion-mnist is broken"):
        load_catalog(tmp_path, None, CPU)
    with pytest.raises(CatalogError, match="choose one of"):
        load_catalog(tmp_path, "nope", CPU)


def test_two_folders_with_one_name_do_not_hide_each_other(bundles: Path, tmp_path: Path) -> None:
    (tmp_path / "first").symlink_to(bundles / "points")
    (tmp_path / "points-again").mkdir()
    for file in (bundles / "points").iterdir():
        (tmp_path / "points-again" / file.name).write_bytes(file.read_bytes())
    catalog = load_catalog(tmp_path, None, CPU)
    assert catalog.models["points"].broken is None
    assert "same name" in (catalog.models["points-again"].broken or "")


def test_a_sheet_reads_row_by_row() -> None:
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    sheet = contact_sheet(np.broadcast_to(images, (5, 4, 4, 1)))
    assert sheet.shape == (2 * 6 - 2, 3 * 6 - 2, 1)
    assert sheet[::6, ::6, 0].tolist() == [[0, 1, 2], [3, 4, 128]]
    assert (sheet[4:6] == 128).all()


def test_the_scatter_plot_takes_any_points() -> None:
    for points in (
        np.zeros((1, 2)),
        np.full((3, 2), np.nan),
        np.ones((2, 1)),
        np.random.default_rng(0).normal(size=(3000, 5)),
    ):
        assert draw_scatter(points.astype(np.float32)).shape == (480, 480, 3)
    low, high = window(np.array([[0.0, 0.0], [10.0, 2.0]]))
    assert (low.tolist(), high.tolist()) == ([0.0, -4.0], [10.0, 6.0])


def test_if_none_match_follows_the_rfc() -> None:
    assert matches("*", '"a"')
    assert matches('"b", W/"a"', '"a"')
    assert not matches('"b"', '"a"')
    assert not matches(None, '"a"')


def test_a_log_line_is_one_json_object_even_with_a_traceback() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.LogRecord("winnow", logging.ERROR, "", 0, "it %s", ("broke",), (ValueError, error, None))
    record.request_id = "a\nb"
    line = JsonFormatter().format(record)
    assert "\n" not in line
    document = json.loads(line)
    assert (document["event"], document["request_id"], document["level"]) == ("it broke", "a\nb", "error")
    assert "ValueError: two" in document["traceback"]
    assert "it broke  request_id='a\\nb'" in PrettyFormatter().format(record)


@pytest.mark.parametrize("created", [0.0, 1_700_000_000.0, 1_700_000_000.0625, 1_700_000_000.9999])
def test_a_json_line_has_its_time_in_utc_to_the_millisecond(created: float) -> None:
    record = logging.LogRecord("winnow", logging.INFO, "", 0, "request", (), None)
    record.created = created
    told = json.loads(JsonFormatter().format(record))["time"]
    assert told == datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/sample", "/sample"),
        (
            "/x\n12:00:00 info    request  path=/admin status=200",
            r"'/x\n12:00:00 info    request  path=/admin status=200'",
        ),
        ("/\x1b[2J\u202e\u2028", r"'/\x1b[2J\u202e\u2028'"),
        ("/x status=200", "'/x status=200'"),
        ("/caf\u00e9", "/caf\u00e9"),
    ],
)
def test_a_path_can_neither_forge_a_pretty_line_nor_a_field_nor_steer_the_terminal(path: str, shown: str) -> None:
    record = logging.LogRecord("winnow", logging.INFO, "", 0, "request", (), None)
    record.path, record.status, record.models = path, 404, ["a b"]
    assert PrettyFormatter().format(record).endswith(f"request  path={shown} status=404 models=['a b']")


def test_a_traceback_can_neither_forge_a_pretty_line_nor_steer_the_terminal() -> None:
    try:
        raise ValueError("no\n12:00:00 info    request  path=/admin status=200\r12:00:00 info    \x1b[2J")
    except ValueError as error:
        record = logging.LogRecord("winnow", logging.ERROR, "", 0, "it broke", (), (ValueError, error, None))
    first, *rest = PrettyFormatter().format(record).split("\n")
    assert first.endswith("it broke")
    assert "    ValueError: no" in rest
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_the_collector_passes_over_what_is_there_when_serving_begins() -> None:
    try:
        spare_the_collector()
        spared = gc.get_freeze_count()
        assert spared > 10_000
        gc.collect()
        assert gc.get_freeze_count() == spared
    finally:
        gc.unfreeze()
