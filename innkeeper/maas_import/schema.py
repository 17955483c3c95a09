"""Recognises the schema of a MAAS by its tables and columns, and names its version. Pure."""

from __future__ import annotations

import re

from attrs import frozen

from common.errors import InvalidRequest
from innkeeper.maas_import.tables import Tables
from innkeeper.maas_import.wanted import BMC_OF_HOSTS, TABLES

SUPPORTED = "MAAS 3.4 to 3.8, and of MAAS 4.0 what it still has"
_FIRST_DJANGO, _LAST_DJANGO = 304, 343
_OF_3_5 = "0305_add_temporal_schema"
_DJANGO = ((340, "3.6"), (330, "3.5.2"), (327, "3.5"), (305, "3.5"))
_OF_3_7_3 = {"0025", "0026"}
_NUMBER = re.compile(r"^(\d{4})_")
_SHOWN = 8


@frozen
class Schema:
    """`complete`: False for 4.0, which lost names, groups and pools of VM hosts, and their VMs."""

    version: str
    complete: bool = True


def is_maas(tables: Tables) -> bool:
    return tables.has("maasserver_node")


def recognise(tables: Tables, source: str) -> Schema:
    """Returns the schema. Raises InvalidRequest, with what was found, for any that is not supported.

    `source` begins the message: `The dump site.sql`.
    """
    if not is_maas(tables):
        raise InvalidRequest(f"{source} is not of MAAS: {_found(tables)}. An import reads the database of {SUPPORTED}.")
    gone = [name for name, one in TABLES.items() if one.gone and not tables.has(name)]
    lost = [name for name in BMC_OF_HOSTS if not tables.has("maasserver_bmc", name)]
    all_gone = [name for name, one in TABLES.items() if one.gone]
    complete = not (gone == all_gone and len(lost) == len(BMC_OF_HOSTS))
    if complete and not (tables.has("alembic_version") and tables["alembic_version"]):
        version = _by_django(tables, source)  # first: of an old release, its version says more than what is missing
    else:
        version = _by_alembic(tables) if complete else "4.0"
    missing = [*_missing(tables), *(gone if complete else ())]
    missing += [f"maasserver_bmc.{name}" for name in lost] if complete and not gone else []
    if missing or (not complete and not tables.has("alembic_version")):
        shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        raise InvalidRequest(
            f"{source} has a schema of MAAS that is not known ({_numbers(tables)}): it lacks "
            f"{shown or 'alembic_version'}. An import reads {SUPPORTED}. A dump of some tables only is not enough."
        )
    return Schema(version, complete=complete)


def _missing(tables: Tables) -> list[str]:
    found: list[str] = []
    for name, wanted in TABLES.items():
        if not tables.has(name):
            found += [] if wanted.optional or wanted.gone else [name]
        else:
            found += [f"{name}.{column}" for column in wanted.columns if not tables.has(name, column)]
    return found


def _by_alembic(tables: Tables) -> str:
    """Numbers are not in the order of time, so columns decide what they can."""
    numbers = {row.text("version_num") for row in tables["alembic_version"]}
    if tables.has("maasserver_usergroup") or tables.has("maasserver_userprofile", "provider_id"):
        return "3.8"
    if tables.has("maasserver_interface", "switch_id"):
        return "3.8"
    return "3.7.3" if numbers & _OF_3_7_3 else "3.7"


def _by_django(tables: Tables, source: str) -> str:
    names = [row.text("name") for row in tables["django_migrations"]]
    numbered = {int(match[1]): name for name in names if (match := _NUMBER.match(name)) is not None}
    newest = max(numbered, default=0)
    if not _FIRST_DJANGO <= newest <= _LAST_DJANGO:
        what = f"its newest migration is {numbered[newest]}" if numbered else "it does not say which"
        raise InvalidRequest(
            f"{source} is of a release of MAAS that is not supported: {what}. An import reads {SUPPORTED}: upgrade "
            "that MAAS first, or import it through its API (MAAS 2.9 and later)."
        )
    if _OF_3_5 not in names:
        return "3.4" if newest == _FIRST_DJANGO else "3.4.2"
    return next(version for number, version in _DJANGO if newest >= number)


def _numbers(tables: Tables) -> str:
    alembic = ", ".join(sorted(row.text("version_num") for row in tables["alembic_version"]))
    django = max((row.text("name") for row in tables["django_migrations"]), default="")
    return f"alembic {alembic}" if alembic else f"migration {django}" if django else "without a version"


def _found(tables: Tables) -> str:
    names = sorted({*tables.columns, *tables.others})
    if not names:
        return "it has no tables with rows"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"it has the tables {', '.join(names[:_SHOWN])}{more}, and no maasserver_node"
