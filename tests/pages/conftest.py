"""The Debian packages, built once for all tests of the folder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.servers.needs import require
from tests.pages.fresh_machine import why_no_fresh_machine, why_no_packages
from tests.pages.packages import packages_of


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Path]]:
    """Returns the function that returns the packages of a release of Debian; its first call may have to build them."""
    require(why_no_fresh_machine())
    require(why_no_packages())
    return functools.cache(lambda suite: packages_of(suite, tmp_path_factory.mktemp(suite)))
