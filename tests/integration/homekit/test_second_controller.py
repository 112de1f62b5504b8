"""A controller written by others, in another language, gets on with the bridge as well."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.bridges import CODE, Ours

VERSION = "0.10.2"
SCRIPT = Path(__file__).with_name("second_controller.mjs")


@pytest.fixture(scope="session")
def hap_controller() -> Path:
    """The package's folder; installed once, into the user's cache."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("this machine has no Node.js")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bellpull-tests" / VERSION
    module = cache / "node_modules" / "hap-controller"
    if not (cache / "done").exists():
        cache.mkdir(parents=True, exist_ok=True)
        # --ignore-scripts: what it would build is for Bluetooth.
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"]
        subprocess.run([*install, "--prefix", cache, f"hap-controller@{VERSION}"], check=True, timeout=110)
        (cache / "done").touch()
    return module


async def test_hap_controller_pairs_reads_writes_hears_and_leaves(bridge: Ours, hap_controller: Path) -> None:
    device_id = bridge.homekit._store.keys.device_id
    node = await asyncio.create_subprocess_exec(
        "node", SCRIPT, hap_controller, device_id, str(bridge.port), CODE, stdout=subprocess.PIPE
    )
    try:
        said, _ = await asyncio.wait_for(node.communicate(), 30)
    finally:
        if node.returncode is None:
            node.kill()
    assert node.returncode == 0
    assert json.loads(said) == {
        "pairings": True,
        "accessories": 4,
        "before": False,
        "event": True,
        "after": True,
        "refused": -70410,
    }
    assert bridge.machines["files"].on is True
    assert bridge.identified == [("", "a stranger")]
    assert not bridge.homekit.paired
