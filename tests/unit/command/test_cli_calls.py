"""The command as a separate process with a real HTTP server: what it sends and prints."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.unit.command.processes import Cli
from tests.unit.support.cli_region import Region, Reply, action, description, handler


async def test_the_storage_pools_of_a_host_can_be_selected_with_jq(logged_in: Cli) -> None:
    ran = await logged_in("admin", "vm-host", "read", "1")
    wanted = ("name", "type", "path", "total", "used", "available")
    rows = [[pool[key] for key in wanted] for pool in ran.plain["storage_pools"]]
    assert rows == [["default", "dir", "/var/pool", 100, 40, 60], ["fast", "zfs", "/tank", 10, 0, 10]]


async def test_fields_are_sent_as_a_form_and_lists_as_repeated_fields(logged_in: Cli, region: Region) -> None:
    region.give("POST vm-hosts/1/?op=compose", Reply(200, {"system_id": "abc123"}))
    ran = await logged_in(
        "admin", "vm-host", "compose", "1", "cores=2", "pinned_cores=1", "pinned_cores=2", "hostname=ä &="
    )
    assert ran.plain == {"system_id": "abc123"}
    (sent,) = region.requests_to("POST vm-hosts/1/?op=compose")
    assert sent.form == [("cores", "2"), ("pinned_cores", "1"), ("pinned_cores", "2"), ("hostname", "ä &=")]
    assert sent.headers["prefer"] == "wait=120"


async def test_fields_of_get_and_delete_are_in_the_query(logged_in: Cli, region: Region) -> None:
    region.give("DELETE vm-hosts/1/?decompose=true", Reply(204))
    ran = await logged_in("admin", "vm-host", "delete", "1", "decompose=true")
    assert (ran.status, ran.out, ran.err) == (0, "", "")


async def test_warnings_of_the_region_are_printed_on_standard_error(logged_in: Cli, region: Region) -> None:
    headers = {"Warning": '299 - "The tag x only labels the disk.", 299 - "Ignored fields: y"'}
    region.give("POST vm-hosts/1/?op=compose", Reply(200, {"system_id": "abc123"}, headers=headers))
    ran = await logged_in("admin", "vm-host", "compose", "1")
    assert (ran.status, ran.plain) == (0, {"system_id": "abc123"})
    assert ran.err.splitlines() == ["Note: The tag x only labels the disk.", "Note: Ignored fields: y"]


async def test_a_name_is_encoded_as_one_path_segment(logged_in: Cli, region: Region) -> None:
    region.give(f"GET zones/{quote('a/b c', safe='')}/", Reply(200, {"name": "a/b c"}))
    assert (await logged_in("admin", "zone", "read", "a/b c")).plain == {"name": "a/b c"}


async def test_a_value_is_read_from_a_file_as_text_or_bytes(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("POST files/", Reply(200, {}))
    (home / "text").write_text("zwei\nZeilen")
    (home / "bytes").write_bytes(b"\xff\x00\r\n--x")
    assert (await logged_in("admin", "files", "create", f"file@={home / 'text'}")).status == 0
    assert (await logged_in("admin", "files", "create", f"file@={home / 'bytes'}")).status == 0
    first, second = region.requests_to("POST files/")
    assert first.form == [("file", "zwei\nZeilen")]
    assert second.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n--x\r\n--' in second.body
    missing = await logged_in("admin", "files", "create", "file@=/nowhere")
    assert (missing.status, missing.err) == (1, "file: cannot read /nowhere: No such file or directory.\n")


async def test_invalid_fields_are_listed_one_per_line(logged_in: Cli, region: Region) -> None:
    errors = {"cores": ["Enter a whole number."], "__all__": ["Too much in total."]}
    region.give("POST vm-hosts/1/?op=compose", Reply(400, errors))
    ran = await logged_in("admin", "vm-host", "compose", "1", "cores=x")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        "The region rejected the request:",
        "  cores: Enter a whole number.",
        "  Too much in total.",
    ]


@pytest.mark.parametrize(("status", "ends_with"), [(400, 1), (403, 3), (404, 4), (409, 5), (500, 1), (503, 6)])
async def test_answers_of_the_region_are_printed_and_nothing_is_repeated(
    logged_in: Cli, region: Region, status: int, ends_with: int
) -> None:
    rejection = Reply(status, text="needs 4096 MiB of memory, 2100 free")
    region.give("POST vm-hosts/1/?op=compose", rejection)
    ran = await logged_in("admin", "vm-host", "compose", "1")
    assert (ran.status, ran.out, ran.err) == (ends_with, "", "needs 4096 MiB of memory, 2100 free\n")
    assert len(region.requests_to("POST vm-hosts/1/?op=compose")) == 1


async def test_a_misspelt_resource_suggests_the_right_one(logged_in: Cli) -> None:
    ran = await logged_in("admin", "vmhosts", "read")
    assert (ran.status, ran.out) == (2, "")
    assert "Did you mean vm-hosts" in ran.err


async def test_a_misspelt_field_is_refused_before_any_request(logged_in: Cli, region: Region) -> None:
    ran = await logged_in("admin", "vm-host", "delete", "1", "decompos=true")
    assert (ran.status, ran.out) == (2, "")
    assert "Unknown field 'decompos' of vm-host delete. Did you mean 'decompose'?" in ran.err
    assert (await logged_in("rack", "token", "lifetime=60")).status == 2
    assert (await logged_in("client", "issue", "robot", "nme=x")).status == 2
    assert {each.path for each in region.seen} == {"describe/"}


async def test_a_field_added_to_the_region_is_found(logged_in: Cli, region: Region) -> None:
    zones = handler("ZonesHandler", "zones/", action("create", "POST", doc="Add.\n\n:param colour: text"))
    region.described = description(extra=(zones,), stamp="2" * 40)
    region.give("POST zones/", Reply(200, {}))
    assert (await logged_in("admin", "zones", "create", "colour=red")).status == 0


async def test_help_of_an_action_shows_its_fields(logged_in: Cli, region: Region) -> None:
    ran = await logged_in("admin", "vm-host", "compose", "--help")
    assert ":param cores: int: how many cores." in ran.out
    assert not region.seen


async def test_a_command_added_to_the_region_is_found(logged_in: Cli, region: Region) -> None:
    racks = handler("RacksHandler", "racks/", action("read", "GET"))
    region.described = description(extra=(racks,), stamp="2" * 40)
    region.give("GET racks/", Reply(200, []))
    assert (await logged_in("admin", "racks", "read")).out == "[]\n"


async def test_a_changed_description_is_fetched_once_and_stored(logged_in: Cli, region: Region) -> None:
    region.described = description(stamp="2" * 40)
    assert (await logged_in("admin", "vm-hosts", "read")).status == 0
    assert (await logged_in("admin", "vm-hosts", "read")).status == 0
    assert len(region.requests_to("GET describe/")) == 1


async def test_only_the_rack_token_is_on_standard_output(logged_in: Cli, region: Region) -> None:
    region.give("POST racks/?op=token", Reply(200, {"token": "TOKEN-TEXT", "expires_at": "2026-01-02T02:22:00+00:00"}))
    ran = await logged_in("rack", "token")
    assert (ran.status, ran.out) == (0, "TOKEN-TEXT\n")
    assert ran.err == "Run 'sudo rackd join -' on the rack and paste the token. Valid once, until 02:22 UTC.\n"


async def test_an_rpc_clients_files_are_private_and_never_overwritten(
    logged_in: Cli, region: Region, home: Path
) -> None:
    issued = {"certificate": "CERT", "key": "SECRET", "authority": "CA", "address": "127.0.0.1:5250"}
    region.give("POST rpc-clients/", Reply(200, issued))
    folder = home / "new" / "folder"
    ran = await logged_in("client", "issue", "robot", "--to", str(folder))
    assert ran.status == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "certificate.pem": "CERT",
        "key.pem": "SECRET",
        "authority.pem": "CA",
    }
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert "SECRET" not in ran.out + ran.err
    assert region.requests_to("POST rpc-clients/")[0].form == [("name", "robot")]
    again = await logged_in("client", "issue", "robot", "--to", str(folder))
    assert again.status == 1
    assert "already exists" in again.err
    assert len(region.requests_to("POST rpc-clients/")) == 1
