"""States of VMs in words, for pages. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.machines.values.states import MachineState
from regiond.ui.texts import constant

VM_STATE_WORDS: Mapping[str, str] = {
    MachineState.COMPOSING.value: constant("Being composed"),
    MachineState.ADOPTING.value: constant("Being adopted"),
    MachineState.NEW.value: constant("New"),
    MachineState.READY.value: constant("Ready"),
    MachineState.ALLOCATED.value: constant("Allocated"),
    MachineState.DEPLOYING.value: constant("Deploying"),
    MachineState.DEPLOYED.value: constant("Deployed"),
    MachineState.FAILED_DEPLOYMENT.value: constant("Failed deployment"),
    MachineState.RELEASING.value: constant("Releasing"),
    MachineState.DELETING.value: constant("Being deleted"),
    MachineState.MISSING.value: constant("Missing"),
    MachineState.BROKEN.value: constant("Broken"),
    MachineState.FAILED_COMPOSE.value: constant("Not created"),
    MachineState.FAILED.value: constant("Failed"),
}
