"""Further seams: the LXD double, which trusts by itself and not through a file, and a machine that becomes a rack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from common.errors import HostUnreachable
from common.values import DriverType
from rackd.drivers.registry import Drivers
from rackd.drivers.simulated.driver import SimulatedHosts
from rackd.settings import RackSettings
from regiond.racks.service import Racks
from tests.faults.matrix.points import Side, Where
from tests.faults.matrix.seams import Watched, _traced, host_call
from tests.faults.matrix.trace import ASKING
from tests.lxd_double import FakeLxdDriver, FakeLxds


@contextmanager
def newcomers(watched: Watched) -> Iterator[None]:
    """Racks that start now reach the servers of `watched.lxd_servers`, and simulated hosts, and nothing else."""

    def drivers_of(settings: RackSettings) -> Drivers:
        assert settings.simulated_hosts is not None
        lxds = FakeLxds(settings.simulated_hosts)
        lxds.servers = watched.lxd_servers
        simulated = SimulatedHosts(settings.simulated_hosts)
        return Drivers({DriverType.LXD: lxds, DriverType.SIMULATED: simulated}, absent={})

    with ExitStack() as put:
        put.enter_context(patch("rackd.service.make_drivers", drivers_of))
        for name in ("trust", "untrust"):
            around = _asked_of_server(watched, name, getattr(FakeLxdDriver, name))
            put.enter_context(patch.object(FakeLxdDriver, name, around))
        put.enter_context(patch.object(FakeLxds, "identify", _identified(watched, FakeLxds.identify)))
        put.enter_context(patch.object(Racks, "enrol", _enrolled(watched, Racks.enrol)))
        yield


def _asked_of_server(watched: Watched, what: str, ask: Any) -> Any:
    def asked(self: FakeLxdDriver, *args: Any) -> Any:
        host_call(what, Side.BEFORE)
        _reach(watched, self._server.name, what)
        answer = ask(self, *args)
        host_call(what, Side.AFTER)
        return answer

    return asked


def _identified(watched: Watched, identify: Any) -> Any:
    def identified(self: FakeLxds, access: Any) -> Any:
        host_call("identify", Side.BEFORE)
        _reach(watched, self.server(access).name, "identify")
        answer = identify(self, access)
        host_call("identify", Side.AFTER)
        return answer

    return identified


def _reach(watched: Watched, name: str, what: str) -> None:
    if name in watched.away:
        raise HostUnreachable(f"lxd {name}: the hypervisor's daemon is away ({what})")


def _enrolled(watched: Watched, enrol: Any) -> Any:
    """Who joins is not a rack yet and has no operation: a trace of no kind of operation is that of a joining."""

    async def enrolled(self: Racks, call: Any) -> Any:
        trace = watched.trace
        if trace is None or trace.kinds:
            return await enrol(self, call)
        _traced.set((trace, ASKING))
        await trace.cross(ASKING, Where.CALL, "rack.join", Side.BEFORE)
        joined = await enrol(self, call)
        await trace.cross(ASKING, Where.CALL, "rack.join", Side.AFTER)
        return joined

    return enrolled
