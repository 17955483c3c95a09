"""Awaits requests that must be rejected; returns the error or what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import cast

import pytest

from common.errors import InnkeeperError, InvalidRequest


async def rejection(attempt: Awaitable[object]) -> InnkeeperError:
    with pytest.raises(InnkeeperError) as rejected:
        await attempt
    return rejected.value


async def outcomes(attempts: Iterable[Awaitable[object]]) -> list[str]:
    """Sends requests concurrently; returns `done`, `STATUS: message`, or `400: field: message` of the first field."""

    async def outcome(attempt: Awaitable[object]) -> str:
        try:
            await attempt
        except InvalidRequest as error:
            field, messages = next(iter(error.fields.items()), ("", [error.message]))
            return f"400: {field}: {messages[0]}"
        except InnkeeperError as error:
            return f"{error.details['status']}: {error.message}"
        return "done"

    return await asyncio.gather(*map(outcome, attempts))


async def rejected_status(attempt: Awaitable[object]) -> int:
    """Returns the HTTP status with which the API rejects the request."""
    return cast("int", (await rejection(attempt)).details["status"])


async def invalid_fields(attempt: Awaitable[object]) -> dict[str, list[str]]:
    """Returns the messages of an InvalidRequest by field."""
    with pytest.raises(InvalidRequest) as rejected:
        await attempt
    return rejected.value.fields
