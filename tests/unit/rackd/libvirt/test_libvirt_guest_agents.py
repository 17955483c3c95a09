"""Which guest agents are asked for addresses, and how long; tests/lab/deployment asks a real one."""

from __future__ import annotations

from uuid import UUID

from attrs import define, evolve, field

from common.errors import DriverFailed
from common.values import Guest, GuestNic, NicKind, OwnershipMarker, PowerState
from rackd.drivers.libvirt.definitions.domain_config import has_connected_agent
from rackd.drivers.libvirt.inventory.guest_agents import ANSWER_S, ASKED_GUESTS, ASKING_S, GuestAgents
from rackd.drivers.libvirt.xml import parse

MAC = "52:54:00:00:00:01"
NIC = GuestNic(mac_address=MAC, kind=NicKind.BRIDGE, source="br0")
OTHER = GuestNic(mac_address="52:54:00:00:00:02", kind=NicKind.NETWORK, source="lan", addresses=("10.1.0.9",))


@define
class Agents:
    """Hosts agents that answer at once, or (`hangs`) after the longest time that they are given."""

    hangs: set[str] = field(factory=set)
    asked: list[str] = field(factory=list)
    now: float = 0.0

    def domain(self, uuid: str) -> Agent:
        self.asked.append(uuid)
        return Agent(self, uuid)


@define
class Agent:
    agents: Agents
    uuid: str

    def agent_addresses(self, *, within_s: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
        if self.uuid in self.agents.hangs:
            self.agents.now += within_s
            raise DriverFailed("Guest agent is not responding")
        return (("00:00:00:00:00:00", ("127.0.0.1",)), (MAC.upper(), ("10.2.0.9",)), (MAC, ("fd00::9",)))


def guest(number: int, *nics: GuestNic) -> Guest:
    marker = OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=number))
    uuid = str(UUID(int=number))
    return Guest(
        name=f"vm{number}",
        guest_id=uuid,
        power=PowerState.ON,
        cores=1,
        memory_mib=1,
        marker=marker,
        nics=nics or (NIC,),
    )


def ids(guests: list[Guest]) -> set[str]:
    return {one.guest_id for one in guests}


def test_an_agent_tells_the_addresses_of_each_nic() -> None:
    one = guest(1, NIC, OTHER)
    (found,) = GuestAgents().with_addresses(Agents(), [one], ids([one]))
    assert [nic.addresses for nic in found.nics] == [("10.2.0.9", "fd00::9"), ("10.1.0.9",)]


def test_only_guests_that_lack_an_address_and_have_an_agent_are_asked() -> None:
    agents, asking = Agents(), guest(1)
    others = [
        guest(2, OTHER), evolve(guest(3), power=PowerState.OFF), evolve(guest(4), marker=None),
        evolve(guest(5), nics=()),
    ]  # fmt: skip
    without_agent = guest(6)
    GuestAgents().with_addresses(agents, [asking, *others, without_agent], ids([asking, *others]))
    assert agents.asked == [asking.guest_id]


def test_a_run_asks_some_and_the_next_run_others() -> None:
    agents, host = Agents(), GuestAgents()
    many = [guest(number) for number in range(1, 3 * ASKED_GUESTS + 1)]
    for _ in range(3):
        host.with_addresses(agents, many, ids(many))
    assert sorted(agents.asked) == sorted(ids(many))


def test_hung_agents_hold_up_no_run_and_no_other_guest() -> None:
    many = [guest(number) for number in range(1, ASKED_GUESTS + 1)]
    agents = Agents(hangs=ids(many[:-1]))
    host = GuestAgents(clock=lambda: agents.now)
    for _ in range(ASKED_GUESTS):
        began = agents.now
        found = host.with_addresses(agents, many, ids(many))
        assert agents.now - began <= ASKING_S + ANSWER_S
        if found[-1].nics[0].addresses is not None:
            break
    assert found[-1].nics[0].addresses == ("10.2.0.9", "fd00::9")
    assert {one.nics[0].addresses for one in found[:-1]} == {None}, "unknown"


def test_the_channel_shows_whether_an_agent_runs() -> None:
    channel = "<channel type='unix'><target type='virtio' name='{}' state='{}'/></channel>"
    domain = f"<domain><devices>{channel}</devices></domain>"
    for name, state, connected in (
        ("org.qemu.guest_agent.0", "connected", True), ("org.qemu.guest_agent.0", "disconnected", False),
        ("com.redhat.spice.0", "connected", False),
    ):  # fmt: skip
        assert has_connected_agent(parse(domain.format(name, state), "a guest")) is connected
    assert not has_connected_agent(parse("<domain/>", "a guest"))
