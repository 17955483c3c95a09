"""The extensions of the region: installed ones are found, and a missing one is said at the start."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest
from attrs import evolve

from common.errors import BadSettings
from innkeeper.extension_commands import extension_command
from innkeeper.maas_import.command import main
from regiond.api.declaration.extension import ApiExtension, api_extensions
from regiond.maas.services import MaasServices
from regiond.machines.hardware.requests import HardwareRequests
from regiond.process import extensions
from regiond.reconciler.extension import reconciler_extensions
from regiond.ui.extension import pages_extensions
from regiond.wiring import extension
from regiond.wiring.components import Storage
from regiond.wiring.extension import region_extensions
from tests.doubles.signatures import in_place_of
from tests.unit.support.api_double import ApiDouble


def test_the_distribution_names_the_extension_of_maas() -> None:
    extensions.check_installed()
    for found in (api_extensions(), pages_extensions(), reconciler_extensions(), region_extensions()):
        assert len(found) == 1


def test_the_distribution_names_the_command_of_maas() -> None:
    assert extension_command(["import", "maas", "--help"]) is main
    assert extension_command(["import", "other"]) is extension_command(["machines", "read"]) is None


async def test_without_an_extension_no_machine_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "region_extensions", lambda: ())
    registrations = extension.wire_registrations(in_place_of(Storage, None), in_place_of(HardwareRequests, None))
    (problem,) = await registrations.problems("metal")
    assert problem == "This region registers no machines in MAAS servers such as 'metal'."
    with pytest.raises(LookupError, match="no extension of this region has MaasServices"):
        evolve(ApiDouble().services(), of_extensions=()).of(MaasServices)


def test_an_older_installation_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "entry_points", lambda group: EntryPoints())
    extensions.installed.cache_clear()
    try:
        with pytest.raises(BadSettings, match=r"lacks the entry point maas of innkeeper\.region.*pip install"):
            extensions.check_installed()
    finally:
        extensions.installed.cache_clear()


def test_an_object_of_another_class_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = EntryPoint(name="wrong", value="common.errors:BadSettings", group=extensions.API)
    monkeypatch.setattr(extensions, "entry_points", lambda group: EntryPoints([wrong]))
    extensions.installed.cache_clear()
    try:
        with pytest.raises(TypeError, match=r"wrong of innkeeper\.region\.api.* is no ApiExtension"):
            extensions.extensions(extensions.API, ApiExtension)
    finally:
        extensions.installed.cache_clear()
