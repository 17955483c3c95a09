"""A call by RPC that asks for a dry run is never carried out: no command has one."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidRequest
from common.rpc.commands import client_commands
from common.rpc.commands.command import Command
from common.serialization import to_dict
from common.values import PowerAction

COMMANDS = [one for one in vars(client_commands).values() if isinstance(one, Command)]
POWER = client_commands.MachinePowerCall(system_id="wdpx3n", action=PowerAction.OFF)


@pytest.mark.parametrize("command", COMMANDS, ids=[one.name for one in COMMANDS])
def test_every_command_refuses_a_dry_run(command: Command[Any, Any]) -> None:
    values: tuple[Any, ...] = (True, "true", 1, "", "perhaps", [], {})
    for value in values:
        for plain in ({"dry_run": value}, {"request": {"dry_run": value}}):
            with pytest.raises(InvalidRequest, match=r"has no dry run, so nothing was done"):
                command.request_of(plain)


def test_other_fields_of_a_newer_client_are_ignored() -> None:
    plain = {**to_dict(POWER), "dry_run": False, "newer": True}
    assert client_commands.CLIENT_POWER.request_of(plain) == POWER
