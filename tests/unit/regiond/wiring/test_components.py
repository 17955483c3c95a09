"""The region's services that wiring takes from its layers by name."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from regiond.wiring.components import AccountLayer, ImageLayer, MachineLayer, RackLayer, Storage
from tests.unit.support.api_double import SERVICES


@pytest.mark.parametrize("layer", [Storage, RackLayer, MachineLayer, AccountLayer, ImageLayer])
def test_a_service_has_the_same_class_in_its_layer(layer: type) -> None:
    built = get_type_hints(layer)
    found = built.keys() & SERVICES.keys()
    assert found
    assert {name: built[name] for name in found} == {name: SERVICES[name] for name in found}
