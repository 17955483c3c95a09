"""Checks the members that a cluster reports before hosts are added for them.

A host is added only for an address that presents the cluster's own certificate; nothing but a TLS handshake is sent
there before. What fails the check is a problem of the reporting host, with one event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

from attrs import evolve, field, frozen

from common.addresses.lxd import parse
from common.errors import InnkeeperError, InvalidRequest
from common.hosts.discovery import Discovery, Problem
from common.values import ClusterMember
from common.words.hidden_text import hidden, hidden_place
from common.words.phrases import number_of
from regiond.clusters import store
from regiond.clusters.store import KnownCluster
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.racks.calls.address_calls import AddressCalls
from regiond.requests.identifiers import storable

CHECKS_AT_ONCE = 8
IDENTIFY_DEADLINE_S = 12.0  # the rack ends an attempt to connect after 10 s
ALL_CHECKS_S = 25.0  # the user who adds a cluster waits

MAX_NAME_CHARS = 255


@frozen(kw_only=True)
class MemberChoice:
    """`known` members have hosts, or a user excluded them. `rejected` has the reason for each member by its name.

    `addresses` has the normalised address of each new member: its host is added if it presents the right certificate.
    """

    known: tuple[ClusterMember, ...] = ()
    addresses: Mapping[str, str] = field(factory=dict)
    rejected: Mapping[str, str] = field(factory=dict)
    not_considered: int = 0  # new members beyond the limit


def choose_members(
    reported: Iterable[ClusterMember], *, own: str, hosts: Collection[str], excluded: Collection[str], limit: int
) -> MemberChoice:
    """`own` is the member that reports; `hosts` and `excluded` name members that have a host, or must not get one.

    Together with `own` and `hosts`, at most `limit` members are considered, in the order of their names.
    """
    by_name = {member.name: member for member in reported}
    known = tuple(by_name[name] for name in sorted(by_name) if name == own or name in hosts or name in excluded)
    new = [by_name[name] for name in sorted(by_name.keys() - {own, *hosts, *excluded})]
    room = max(0, limit - len({own, *hosts}))
    addresses, rejected = {}, {}
    for member in new[:room]:
        try:
            addresses[member.name] = _address_of(member)
        except InvalidRequest as error:
            rejected[member.name] = error.message
    return MemberChoice(known=known, addresses=addresses, rejected=rejected, not_considered=len(new[room:]))


def _address_of(member: ClusterMember) -> str:
    """Raises InvalidRequest for a member that cannot become a host now."""
    if not member.name or len(member.name) > MAX_NAME_CHARS or not member.name.isprintable():
        raise InvalidRequest("its name is not one of a server")
    if not member.online:
        raise InvalidRequest("the cluster reports that it is offline")
    try:
        return parse(member.address).normalised
    except InvalidRequest as error:
        address = hidden_place(f"{member.address[:100]!r}")
        raise InvalidRequest(f"its address {address} is malformed: {hidden(error.message)}") from error


class MemberCheck:
    """`limit` is the largest number of members of a cluster that are hosts."""

    def __init__(self, database: Database, calls: AddressCalls, *, limit: int) -> None:
        self._database = database
        self._calls = calls
        self._limit = limit

    async def check(self, host_id: int, found: Discovery) -> Discovery:
        """Returns the discovery with the members that have hosts or may get one; the others become problems."""
        facts = found.facts
        if facts.cluster_member is None:
            return found
        async with self._database.connection() as db:
            cluster = await store.known_cluster(db, host_id)
        choice = choose_members(
            facts.cluster_members, own=facts.cluster_member, hosts=cluster.hosts, excluded=cluster.excluded_members,
            limit=self._limit,
        )  # fmt: skip
        failed = await self._failures(host_id, cluster, choice.addresses)
        problems = self._problems(choice, failed)
        await self._report(host_id, cluster, problems)
        accepted = choice.addresses.keys() - failed.keys() | {member.name for member in choice.known}
        members = tuple(member for member in facts.cluster_members if member.name in accepted)
        return evolve(found, facts=evolve(facts, cluster_members=members), problems=(*found.problems, *problems))

    async def _failures(self, host_id: int, cluster: KnownCluster, addresses: Mapping[str, str]) -> dict[str, str]:
        """Returns why no host is added for each of the members that do not present the cluster's certificate."""
        failed = dict.fromkeys(addresses, "its certificate was not checked in time; the next refresh tries again")
        slots = asyncio.Semaphore(CHECKS_AT_ONCE)

        async def check(number: int, name: str, address: str) -> None:
            async with slots:
                reason = await self._failure(host_id, number, cluster, address)
            if reason is None:
                del failed[name]
            else:
                failed[name] = reason

        try:
            async with asyncio.timeout(ALL_CHECKS_S), asyncio.TaskGroup() as checks:
                for number, (name, address) in enumerate(addresses.items()):
                    checks.create_task(check(number, name, address))
        except TimeoutError:
            pass  # `failed` still has those that were not checked
        return failed

    async def _failure(self, host_id: int, number: int, cluster: KnownCluster, address: str) -> str | None:
        try:
            presented = await self._calls.identify(host_id, address, number, deadline_s=IDENTIFY_DEADLINE_S)
        except InnkeeperError as error:
            reason = storable(error.message)
            return f"its certificate could not be checked: {hidden(reason)}"
        if presented.fingerprint == cluster.certificate:
            return None
        return hidden(f"{address} presents the certificate {presented.fingerprint}, the cluster {cluster.certificate}")

    def _problems(self, choice: MemberChoice, failed: Mapping[str, str]) -> tuple[Problem, ...]:
        reasons = {**choice.rejected, **failed}
        problems = [
            Problem(subject="cluster", message=f"No host was added for the cluster member {name[:60]!r}: {reason}.")
            for name, reason in sorted(reasons.items())
        ]
        if choice.not_considered:
            text = (
                f"No host was added for {number_of(choice.not_considered, 'cluster member')}: at most {self._limit} "
                "members of a cluster are hosts. The setting max_cluster_members of the region changes that."
            )
            problems.append(Problem(subject="cluster", message=text))
        return tuple(problems)

    async def _report(self, host_id: int, cluster: KnownCluster, problems: tuple[Problem, ...]) -> None:
        """Records an event for each problem that the host did not have at the last refresh."""
        new = [problem.message for problem in problems if problem.message not in cluster.problems]
        if not new:
            return
        async with self._database.transaction() as db:
            for message in new:
                await Events.record(
                    db, "cluster_member_rejected", message, level=Level.WARNING, host_id=host_id
                )  # fmt: skip
