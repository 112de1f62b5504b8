"""The advertisement by mDNS: on the real networks only, following them, with a goodbye."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from pyhap.accessory_driver import AccessoryMDNSServiceInfo
from zeroconf import IPVersion, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from bridge.homekit.links import Watch, reachable

log = logging.getLogger("bridge.homekit")


class Advertiser:
    """Says that the bridge is here.

    describe(addresses) gives the service as it is to be told now
    wanted  the one address to advertise, None for those of all real interfaces
    """

    def __init__(self, describe: Callable[[list[str]], ServiceInfo], wanted: str | None) -> None:
        self._describe = describe
        self._wanted = wanted
        self._addresses: list[str] = []
        self._said: ServiceInfo | None = None
        self._zeroconf: AsyncZeroconf | None = None
        self._watch: Watch | None = None
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Advertise; without a network, as soon as there is one."""
        self._watch = Watch(lambda: self._spawn(self._follow()))
        await self._follow()
        if not self._addresses:
            log.warning("no network to advertise the bridge on yet; it is when one comes up")

    def renew(self) -> None:
        """The description has changed (c#, paired, name)."""
        self._spawn(self._renew())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.close()
        for task in self._tasks:
            task.cancel()
        await self._fall_silent()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self) -> None:
        """Advertise the addresses there are now, if they are other ones."""
        async with self._turn:
            addresses = reachable(self._wanted)
            if addresses == self._addresses:
                return
            log.info("advertising on %s", ", ".join(addresses) or "no network")
            await self._close()
            self._addresses = addresses
            await self._open()

    async def _renew(self) -> None:
        async with self._turn:
            if self._zeroconf is None or self._said is None:
                return
            info = self._describe(self._addresses)
            if info.name == self._said.name:
                await self._zeroconf.async_update_service(info)
                self._said = info
            else:
                await self._fall_silent()
                await self._open()

    async def _open(self) -> None:
        if not self._addresses:
            return
        self._said = self._describe(self._addresses)
        try:
            self._zeroconf = AsyncZeroconf(interfaces=self._addresses, ip_version=IPVersion.V4Only)
            # Cooperating: the device id in the name makes it unique, so there is nothing to probe.
            await self._zeroconf.async_register_service(self._said, cooperating_responders=True)
        except OSError as error:
            log.error("advertising by mDNS failed: %s; phones do not find the bridge", error)

    async def _fall_silent(self) -> None:
        """Say goodbye, once: a stop must not take the second that saying it thrice does."""
        if self._zeroconf is not None:
            goodbye = self._zeroconf.zeroconf.generate_unregister_all_services()
            if goodbye is not None:
                self._zeroconf.zeroconf.async_send(goodbye)
        await self._close()

    async def _close(self) -> None:
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            zeroconf.zeroconf.registry.async_remove(zeroconf.zeroconf.registry.async_get_service_infos())
            await zeroconf.async_close()


def service_info(accessory: Any, state: Any, addresses: list[str]) -> ServiceInfo:
    """HAP-python's description of the bridge at these addresses."""
    state.addresses = addresses
    info: ServiceInfo = AccessoryMDNSServiceInfo(accessory, state)
    return info
