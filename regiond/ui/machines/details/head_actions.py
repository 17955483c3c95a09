"""The actions in the head of a VM's pages: the main one, those beside it, and the rest in a menu. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller
from regiond.ui.machines.machine_actions import (
    Action,
    deployment_obstacle,
    may_abort,
    may_clone,
    may_export,
    may_rebuild,
    offered,
    sees_console,
)

DEPLOY, CONSOLE = "deploy", "console"
_BESIDE = ("unlock", "fixed", "start", "accept_off", "stop", "restart")


@frozen(kw_only=True)
class HeadActions:
    """`main` is `deploy`, `console` or a key of an action; empty if there is none.

    `beside` are buttons next to it, `menu` the actions that are in the menu.
    """

    main: str
    actions: Mapping[str, Action]
    beside: tuple[str, ...]
    menu: tuple[str, ...]
    may_deploy: bool
    may_rebuild: bool
    may_clone: bool
    may_export: bool
    may_abort: bool
    shows_console: bool


def head_actions(caller: Caller, machine: MachineView) -> HeadActions:
    actions = offered(caller, machine)
    may_deploy = deployment_obstacle(caller, machine) is None
    shows_console = sees_console(caller, machine)
    main = _main(machine, actions, may_deploy=may_deploy, shows_console=shows_console)
    beside = tuple(name for name in _BESIDE if name in actions and name != main)
    return HeadActions(
        main=main,
        actions=actions,
        beside=beside,
        menu=tuple(name for name in actions if name not in (main, *beside)),
        may_deploy=may_deploy,
        may_rebuild=may_rebuild(caller, machine),
        may_clone=may_clone(caller, machine),
        may_export=may_export(caller, machine),
        may_abort=may_abort(caller, machine),
        shows_console=shows_console,
    )


def _main(machine: MachineView, actions: Mapping[str, Action], *, may_deploy: bool, shows_console: bool) -> str:
    """Returns what the user of a VM in this state most likely came for."""
    if may_deploy and machine.state in {MachineState.READY, MachineState.ALLOCATED} and machine.power_state != "on":
        return DEPLOY
    if shows_console and machine.power_state == "on":
        return CONSOLE
    if may_deploy:
        return DEPLOY
    return next((name for name in ("fixed", "start", "unlock") if name in actions), "")
