"""Which reported cluster members are checked as new hosts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.values import ClusterMember
from common.words.hidden_text import revealed
from regiond.clusters.member_check import choose_members

NAMES = st.sampled_from([f"m{number}" for number in range(12)])
MEMBERS = st.lists(
    st.builds(ClusterMember, name=NAMES | st.just(""), address=st.sampled_from(["h:1", "a b", "[::1]", ""]), online=...)
)
SOME = st.frozensets(NAMES, max_size=4)


@given(MEMBERS, NAMES, SOME, SOME, st.integers(1, 8))
def test_every_member_is_known_or_new_or_rejected_or_counted(
    reported: list[ClusterMember], own: str, hosts: frozenset[str], excluded: frozenset[str], limit: int
) -> None:
    choice = choose_members(reported, own=own, hosts=hosts, excluded=excluded, limit=limit)
    parts = [{one.name for one in choice.known}, {*choice.addresses}, {*choice.rejected}]
    names = {one.name for one in reported}
    assert sum(map(len, parts)) + choice.not_considered == len(names)
    assert set().union(*parts) <= names
    assert not ({*choice.addresses} & {own, *hosts, *excluded})
    assert len(choice.addresses) <= max(0, limit - len({own, *hosts}))
    again = choose_members(reversed(reported), own=own, hosts=hosts, excluded=excluded, limit=limit)
    assert {*again.rejected, *again.addresses} == {*choice.rejected, *choice.addresses}


def test_offline_and_malformed_members_are_rejected_with_a_reason() -> None:
    reported = [
        ClusterMember(name="a", address="h:1"),
        ClusterMember(name="b", address="h:1", online=False),
        ClusterMember(name="c", address="http://h"),
        ClusterMember(name="d\n", address="h"),
    ]
    choice = choose_members(reported, own="own", hosts=(), excluded=(), limit=9)
    assert choice.addresses == {"a": "https://h:1"}
    assert [revealed(reason)[:26] for reason in choice.rejected.values()] == [
        "the cluster reports that i", "its address 'http://h' is ", "its name is not one of a s",
    ]  # fmt: skip
