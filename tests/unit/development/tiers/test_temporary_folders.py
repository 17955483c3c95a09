"""Parallel runs of the tests share no temporary folder."""

from __future__ import annotations

import getpass

import pytest


def test_a_run_does_not_use_the_folder_that_all_runs_of_a_user_share(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert f"pytest-of-{getpass.getuser()}" not in tmp_path_factory.getbasetemp().parts
