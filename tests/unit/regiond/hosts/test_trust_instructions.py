"""The command that a person pastes on an LXD server, run by a shell with doubles of curl and lxc."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from regiond.hosts.trust.trust_instructions import TrustInstructions

OURS = "-----BEGIN CERTIFICATE-----\nb3Vycw==\n-----END CERTIFICATE-----\n"
OTHER = "-----BEGIN CERTIFICATE-----\nb3RoZXI=\n-----END CERTIFICATE-----\n"


def instructions(
    url: str = "https://region.example/MAAS/vmhost-certificate/box", *, product: str = "LXD"
) -> TrustInstructions:
    return TrustInstructions(host_name="box", url=url, certificate_pem=OURS, project="vms", product=product)


def added(folder: Path, command: str, downloaded: str, *, projects: str = "vms") -> tuple[int, str, str]:
    """The exit status of the command, the arguments of lxc, and the certificate that it got.

    `projects` are those that the server has.
    """
    (folder / "downloaded").write_text(downloaded)
    arguments, certificate = folder / "arguments", folder / "certificate"
    (folder / "projects").write_text(projects)
    lxc = f"""case $1,$2 in
    project,show) exec grep -qx "$3" {folder}/projects ;;
    project,create) echo "$3" >>{folder}/projects ;;
    *) echo "$*" >{arguments}; cat >{certificate} ;;
    esac"""
    for name, body in (("curl", f"cat {folder}/downloaded"), ("lxc", lxc), ("incus", lxc)):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run(["sh", "-c", command], env={"PATH": f"{folder}:/usr/bin:/bin"}, check=False, timeout=60)
    if not arguments.exists():
        return done.returncode, "", ""
    return done.returncode, arguments.read_text().strip(), certificate.read_text()


def test_the_command_adds_our_certificate_for_the_project(tmp_path: Path) -> None:
    expected = "config trust add - --name innkeeper-box --restricted --projects vms"
    assert added(tmp_path, instructions().command, OURS) == (0, expected, OURS)


def test_the_command_for_incus_is_that_of_its_client(tmp_path: Path) -> None:
    command = instructions(product="Incus").command
    expected = "config trust add-certificate - --name innkeeper-box --restricted --projects vms"
    assert added(tmp_path, command, OURS) == (0, expected, OURS)
    assert "lxc" not in command


@pytest.mark.parametrize(("before", "after"), [("vms", "vms"), ("", "vms\n"), ("vms2\n", "vms2\nvms\n")])
def test_the_project_is_created_if_there_is_none(tmp_path: Path, before: str, after: str) -> None:
    status, _, certificate = added(tmp_path, instructions().command, OURS, projects=before)
    assert (status, certificate) == (0, OURS)
    assert (tmp_path / "projects").read_text() == after


def test_another_answer_creates_no_project(tmp_path: Path) -> None:
    added(tmp_path, instructions().command, OTHER, projects="")
    assert (tmp_path / "projects").read_text() == ""


def test_the_unrestricted_command_is_for_all_projects(tmp_path: Path) -> None:
    _, arguments, _ = added(tmp_path, instructions().unrestricted_command, OURS)
    assert arguments == "config trust add - --name innkeeper-box"


@pytest.mark.parametrize("downloaded", [OTHER, "", OURS + OTHER, OTHER + OURS, "b3Vycw==\n!\n" + OTHER])
def test_another_answer_adds_nothing(tmp_path: Path, downloaded: str) -> None:
    status, arguments, _ = added(tmp_path, instructions().command, downloaded)
    assert (status != 0, arguments) == (True, "")


@pytest.mark.parametrize(
    ("url", "warned"),
    [("http://10.0.0.1:5240/x", True), ("https://10.0.0.1/x", False), ("http://127.0.0.1:5240/x", False)],
)
def test_plain_http_from_another_machine_is_warned_of(url: str, warned: bool) -> None:
    assert ("not HTTPS" in instructions(url).waiting_text("No trust")) is warned
