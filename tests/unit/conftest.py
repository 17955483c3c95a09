"""An API for each test, whose services record their calls.

Its import is in the fixture: this file is read before pytest installs its reactor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.support.api_double import ApiDouble


@pytest.fixture
def api() -> ApiDouble:
    from tests.unit.support.api_double import ApiDouble

    return ApiDouble()
