"""Which charges fit into quotas, and what a refusal says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiond.placement.storage_assignment import whole_size
from regiond.quotas.model import RESOURCES, Charge, Holdings, Limits, Quota, refusals

SMALL = st.integers(min_value=0, max_value=4)
LIMIT = st.none() | st.integers(min_value=0, max_value=8)
HOLDINGS = st.builds(Holdings, machines=SMALL, cores=SMALL, memory_mib=SMALL, storage_bytes=SMALL)
LIMITS = st.builds(Limits, machines=LIMIT, cores=LIMIT, memory_mib=LIMIT, storage_bytes=LIMIT)
OF_USER = st.builds(Quota, id=st.just(1), account_id=st.just(7), username=st.just("ann"), limits=LIMITS, used=HOLDINGS)
OF_POOL = st.builds(Quota, id=st.just(2), pool_id=st.just(0), pool=st.just("default"), limits=LIMITS, used=HOLDINGS)
CHARGE = st.builds(
    Charge, account_id=st.sampled_from([7, 8, None]), pool_id=st.sampled_from([0, 1, None]), asked=HOLDINGS
)


def test_a_refusal_has_limit_use_and_request() -> None:
    quota = Quota(id=1, account_id=7, username="ann", limits=Limits(machines=10), used=Holdings(machines=10))
    (reason,) = refusals([quota], [Charge(account_id=7, asked=Holdings(machines=1, cores=4))])
    assert reason == "quota of user ann: 10 machines, 10 used, 1 asked"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(machines=1), "1 machine, 1 used, 2 asked"),
        (Limits(cores=3), "3 cores, 2 used, 2 asked"),
        (Limits(memory_mib=2048), "2048 MiB of memory, 1024 MiB used, 2048 MiB asked"),
        (Limits(storage_bytes=10**10), "10 GB of storage, 8 GB used, 2.5 GB asked"),
    ],
)
def test_each_resource_is_named_with_its_unit(limits: Limits, reason: str) -> None:
    used = Holdings(machines=1, cores=2, memory_mib=1024, storage_bytes=8 * 10**9)
    asked = Holdings(machines=2, cores=2, memory_mib=2048, storage_bytes=25 * 10**8)
    quota = Quota(id=1, pool_id=0, pool="default", limits=limits, used=used)
    assert refusals([quota], [Charge(pool_id=0, asked=asked)]) == [f"quota of pool default: {reason}"]


def test_disks_that_a_product_makes_larger_fill_a_quota_of_whole_gb() -> None:
    whole = Holdings(storage_bytes=whole_size(10 * 10**9, product="Incus"))
    quota = Quota(id=1, account_id=7, username="ann", limits=Limits(storage_bytes=20 * 10**9))
    reasons = refusals([quota], [Charge(account_id=7, asked=whole)] * 3)
    assert whole.storage_bytes > 10 * 10**9
    assert reasons == [None, None, "quota of user ann: 20 GB of storage, 20 GB used, 10 GB asked"]


def test_what_is_not_asked_is_not_refused_even_above_the_limit() -> None:
    quota = Quota(id=1, account_id=7, username="ann", limits=Limits(cores=1), used=Holdings(cores=5))
    assert refusals([quota], [Charge(account_id=7, asked=Holdings(machines=1))]) == [None]


@given(quotas=st.tuples(OF_USER, OF_POOL), charges=st.lists(CHARGE, max_size=6))
def test_permitted_charges_together_exceed_no_quota(quotas: Sequence[Quota], charges: Sequence[Charge]) -> None:
    reasons = refusals(quotas, charges)
    for quota in quotas:
        held = quota.used
        for charge, reason in zip(charges, reasons, strict=True):
            if reason is None and quota.applies_to(charge):
                assert quota.refusal(held, charge.asked) is None
                held += charge.asked
        for name in RESOURCES:
            limit, before, after = getattr(quota.limits, name), getattr(quota.used, name), getattr(held, name)
            assert limit is None or after <= max(limit, before)


@given(quotas=st.tuples(OF_USER, OF_POOL), charge=CHARGE)
def test_a_charge_is_refused_only_by_its_own_quotas(quotas: Sequence[Quota], charge: Charge) -> None:
    (reason,) = refusals(quotas, [charge])
    own = [quota.refusal(quota.used, charge.asked) for quota in quotas if quota.applies_to(charge)]
    assert reason == next((text for text in own if text), None)
