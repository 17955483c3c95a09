"""What the doubles of the API's services answer, by `service.method`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.unit.answers import accounts, hosts, images, maas, machines, networks, region, usage

ANSWERS: Mapping[str, Any] = {
    **accounts.ANSWERS,
    **hosts.ANSWERS,
    **images.ANSWERS,
    **maas.ANSWERS,
    **machines.ANSWERS,
    **networks.ANSWERS,
    **region.ANSWERS,
    **usage.ANSWERS,
}
