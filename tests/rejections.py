"""Awaits requests that must be rejected; returns the error or what it says."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

import pytest

from common.errors import InnkeeperError, InvalidRequest


async def rejection(attempt: Awaitable[object]) -> InnkeeperError:
    with pytest.raises(InnkeeperError) as rejected:
        await attempt
    return rejected.value


async def rejected_status(attempt: Awaitable[object]) -> int:
    """Returns the HTTP status with which the API rejects the request."""
    return cast("int", (await rejection(attempt)).details["status"])


async def invalid_fields(attempt: Awaitable[object]) -> dict[str, list[str]]:
    """Returns the messages of an InvalidRequest by field."""
    with pytest.raises(InvalidRequest) as rejected:
        await attempt
    return rejected.value.fields
