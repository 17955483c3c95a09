"""Migrations of imaginary later releases, for tests of interrupted and newer migrations."""

from __future__ import annotations

from regiond.db.migration_files import migration, packaged

_NUMBER = packaged()[-1].number
LATER = (
    migration(
        f"{_NUMBER + 1:04}_ratings.sql",
        "create table rating (machine_id integer primary key references machine on delete cascade, stars integer);"
        " comment on table rating is 'Ratings of machines.';",
    ),
    migration(
        f"{_NUMBER + 2:04}_rating_comments.sql",
        "alter table rating add column comment text not null default '';"
        " insert into zone (name) values ('rated'); create index rating_stars_idx on rating (stars);",
    ),
    migration(
        f"{_NUMBER + 3:04}_rating_bounds.sql",
        "alter table rating add constraint rating_stars_check check (stars between 0 and 5);"
        " create function stars(machine integer) returns integer language sql stable"
        " as 'select stars from rating where machine_id = $1';",
    ),
)
NEWER = migration("9000_next.sql", "alter table machine add column stars integer not null default 1;")

# Regions of the present release continue after it.
COMPATIBLE = migration(
    f"{_NUMBER + 1:04}_stars.sql",
    f"-- usable by releases that know {_NUMBER:04}\n"
    "alter table machine add column star_count integer not null default 1; create table star (name text primary key);"
    " comment on table star is 'Names of stars.';",
)
