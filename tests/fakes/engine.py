"""Docker's engine for the router's tests: networks, containers, and who waits for what."""

from typing import Any

from bridge.helper.docker import Container, Described, Network


class FakeEngine:
    """Stands in for the functions of `bridge.helper.docker` that ask the engine.

    Networks do not tell the addresses of those that are `coming_up`.
    """

    def __init__(self) -> None:
        self.running = True
        self.there: dict[str, dict[str, Any]] = {}
        self.bridges: dict[str, str] = {}
        self.refuses = ""
        self.coming_up: set[str] = set()

    def network(self, name: str, bridge: str) -> None:
        self.bridges[name] = bridge

    def container(
        self, name: str, id: str, networks: dict[str, str] | None = None, *, running: bool = True
    ) -> None:
        """`networks`: name -> address."""
        there = {"name": name, "running": running, "dns": "9.9.9.9", "networks": networks or {}}
        self.there[id] = there

    # What the module has

    def runs(self) -> bool:
        return self.running

    def networks(self) -> list[Network]:
        return [
            Network(name, bridge, {
                id: (one["networks"][name],)
                for id, one in self.there.items()
                if one["running"] and name in one["networks"] and id not in self.coming_up
            })
            for name, bridge in self.bridges.items()
        ]  # fmt: skip

    def containers(self) -> list[Container]:
        return [
            Container(id, one["name"], one["running"], tuple(one["networks"]))
            for id, one in self.there.items()
        ]

    def on_network(self, network: str) -> list[str]:
        return [id for id, one in self.there.items() if network in one["networks"]]

    def connect(self, network: str, container: str) -> str:
        if not self.refuses:
            self.there[container]["networks"][network] = "172.20.0.9"
        return self.refuses

    def inspect(self, container: str) -> Described | None:
        for id, one in self.there.items():
            if container in (id, one["name"]):
                return {
                    "Id": id,
                    "Name": f"/{one['name']}",
                    "State": {"Running": one["running"], "Pid": 7},
                    "HostConfig": {"Dns": [one["dns"]] if one["dns"] else []},
                    "NetworkSettings": {
                        "Networks": {
                            name: {"IPAddress": address, "Gateway": "172.20.0.1"}
                            for name, address in one["networks"].items()
                        }
                    },
                }
        return None
