"""The bridges that are compared, each with so many switches whose commands make and remove a file."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
CODE = "031-45-154"
PACKAGES = ("homebridge@1.11.1", "homebridge-cmdswitch2@0.2.10", "hap-nodejs@1.2.0")


@dataclass(frozen=True)
class Subject:
    """A bridge: how it is set up in a folder, and the command that starts it there.

    watches  whether it hears of a change outside without polling or being asked
    """

    name: str
    watches: bool = True

    def prepare(self, folder: Path, count: int, port: int) -> list[str]:
        raise NotImplementedError


def switch(folder: Path, number: int) -> Path:
    """The file that is there while a switch is on."""
    return folder / f"switch-{number:03}"


@dataclass(frozen=True)
class Bellpull(Subject):
    """`kind: command`, with `watch` or with `poll: 1s`."""

    poll: bool = False

    def prepare(self, folder: Path, count: int, port: int) -> list[str]:
        config = {
            "bridge": {"name": "Bench", "port": port, "setup_code": CODE},
            "accessories": {
                f"tile_{number:03}": self._tile(str(switch(folder, number)), number)
                for number in range(count)
            },
        }
        (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        bellpull = str(Path(sys.executable).with_name("bellpull"))
        return [
            bellpull,
            "--config",
            str(folder / "config.yaml"),
            "--state-dir",
            str(folder / "state"),
            "run",
        ]

    def _tile(self, path: str, number: int) -> dict[str, object]:
        hear = {"poll": "1s"} if self.poll else {"watch": [path]}
        return {
            "kind": "command",
            "name": f"Switch {number}",
            "on": ["touch", path],
            "off": ["rm", "-f", path],
            "state": ["test", "-e", path],
            **hear,
        }


@dataclass(frozen=True)
class HapPython(Subject):
    """With setters only it shows what was written to it; with getters it asks each time a phone does."""

    getters: bool = False

    def prepare(self, folder: Path, count: int, port: int) -> list[str]:
        words = [sys.executable, "-m", "benchmarks.homekit.hap_python", str(folder), str(count), str(port)]
        return [*words, "getters"] if self.getters else words


@dataclass(frozen=True)
class HapNodejs(Subject):
    modules: Path = Path()

    def prepare(self, folder: Path, count: int, port: int) -> list[str]:
        module = self.modules / "node_modules" / "hap-nodejs"
        return [_node(), str(HERE / "hap_nodejs.cjs"), str(module), str(folder), str(count), str(port)]


@dataclass(frozen=True)
class Homebridge(Subject):
    """With cmdswitch2, which polls each second."""

    modules: Path = Path()

    def prepare(self, folder: Path, count: int, port: int) -> list[str]:
        switches = [self._switch(switch(folder, number), number) for number in range(count)]
        config = {
            "bridge": {"name": "Bench", "username": "CC:22:3D:E3:CE:30", "port": port, "pin": CODE},
            "platforms": [{"platform": "cmdSwitch2", "name": "CMD Switch", "switches": switches}],
        }
        (folder / "config.json").write_text(json.dumps(config))
        package = self.modules / "node_modules"
        program = package / "homebridge" / "bin" / "homebridge"
        return [_node(), str(program), "-U", str(folder), "-P", str(package), "-Q"]

    def _switch(self, path: Path, number: int) -> dict[str, object]:
        return {
            "name": f"Switch {number}",
            "on_cmd": f"touch {path}",
            "off_cmd": f"rm -f {path}",
            "state_cmd": f"test -e {path}",
            "polling": True,
            "interval": 1,
            "timeout": 5,
            "serial": f"serial {number}",
        }


def _node() -> str:
    return shutil.which("node") or "node"


def fetch(cache: Path) -> Path:
    """Install the peers of the npm registry into a folder, once."""
    if not all((cache / "node_modules" / name.partition("@")[0]).exists() for name in PACKAGES):
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(cache), *PACKAGES]
        subprocess.run(command, check=True, timeout=300, stdout=sys.stderr)
    return cache


def everyone(modules: Path) -> list[Subject]:
    return [
        Bellpull("Bellpull, command + watch"),
        Bellpull("Bellpull, command + poll: 1s", poll=True),
        HapPython("HAP-python", watches=False),
        HapPython("HAP-python, getters", watches=False, getters=True),
        HapNodejs("hap-nodejs", watches=False, modules=modules),
        Homebridge("Homebridge + cmdswitch2", modules=modules),
    ]
