"""A server is killed, its queue filled, a bundle damaged, an acceptance wrong: a real Prometheus says which."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from observed import BUNDLE, Server, load, prometheus, servers


def damaged(folder: Path) -> Path:
    """A good bundle beside one whose generator is not what its manifest says."""
    shutil.copytree(BUNDLE, folder / "good")
    shutil.copytree(BUNDLE, folder / "bad")
    (folder / "bad" / "generator.safetensors").write_bytes(b"damaged")
    return folder


def miscalibrated(folder: Path) -> Path:
    """A bundle that accepts one proposal in three and claims to accept one in two."""
    shutil.copytree(BUNDLE, folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["calibration"]["acceptance_rate"] = 0.5
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def test_the_right_alert_fires_for_each_misfortune_and_no_other(tmp_path: Path) -> None:
    killed = Server(BUNDLE)
    full = Server(BUNDLE, WINNOW_ENGINE__QUEUE_ROWS="100000")
    broken = Server(damaged(tmp_path / "damaged"))
    drifting = Server(miscalibrated(tmp_path / "miscalibrated"))
    # The first fills the cap with minutes of work, so that the others are refused.
    bulk, some = "n=100000&format=npz&method=mh", "n=1000&format=npz&method=latentrs"
    with (
        servers(killed, full, broken, drifting) as (a, b, c, d),
        prometheus(tmp_path / "prometheus", [a, b, c, d]) as watcher,
        load((b, bulk), (b, bulk), (b, bulk), (d, some)),
    ):
        killed.kill()
        expected = {
            ("WinnowNotReady", a),
            ("WinnowQueueNearCap", b),
            ("WinnowErrorBudgetBurnsFast", ""),
            ("WinnowModelBroken", c),
            ("WinnowAcceptanceDrifts", ""),
        }
        fired = watcher.fired(expected)
    drifts = fired["WinnowAcceptanceDrifts", ""]
    assert drifts["labels"]["method"] == "latentrs"
    # 1/3 instead of 1/2 is a third off, give or take three standard errors of the thousand expected acceptances.
    assert re.match(
        r"latentrs of gaussians-25 accepts (2[4-9]|3\d|4[0-3])\.?\d*% off", drifts["annotations"]["summary"]
    )
    # The slow one has a longer memory of the same errors; "no server is known" was true before the first scrape.
    assert fired.keys() - {("WinnowErrorBudgetBurnsSlowly", ""), ("WinnowNotReady", "")} == expected
