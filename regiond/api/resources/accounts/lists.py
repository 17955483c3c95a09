"""`account/filters/` and `account/columns/`: how the caller wants to see the lists of the pages."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from common.errors import InvalidRequest, NotFound
from regiond.accounts.model import MAX_FILTER_NAME, ListColumns
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Choice, Text, TextList
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.served import found, given, part, serve, target
from regiond.api.serializers.accounts import LIST_COLUMNS_JSON, SAVED_FILTER_JSON
from regiond.api.services import Services
from regiond.hosts.search.fields import HOST_FIELDS
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.requests.caller import Permission
from regiond.requests.search_query import MAX_LENGTH, Fields, parse
from regiond.requests.validation_messages import REQUIRED, no_choice, no_object

_FIELDS: Mapping[str, Fields] = {"hosts": HOST_FIELDS, "vms": MACHINE_FIELDS}
_OF_VMS = (
    "host", "addresses", "cores", "memory", "cpu_used", "ram_used", "disk_used", "network_used", "pool", "owner",
    "task",
)  # fmt: skip
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "hosts": ("type", "vms", "cpu", "ram", "storage", "cpu_used", "ram_used", "zone", "tags"),
    "vms": _OF_VMS,
    "host-vms": tuple(name for name in _OF_VMS if name != "host"),
    "cluster-vms": _OF_VMS,
}
_ID = part("id", number_of="saved filter")
_LIST = Choice(choices=tuple(_FIELDS))
_NAME = Text(max_length=MAX_FILTER_NAME, pattern=r".*\S.*")
_QUERY = Text(max_length=MAX_LENGTH, pattern=r".*\S.*")
_EXAMPLE = "pool:staging state:failed"
_list = serve(lambda s: s.lists.filters, of_list=given("list"))
_create = serve(lambda s: s.lists.save, of_list=given("list"), name=given("name"), query=given("query"))
_delete = serve(lambda s: s.lists.delete, filter_id=_ID)
_columns = serve(lambda s: s.lists.columns)


def _filter_problems(call: Call) -> Problems:
    """A query that nobody could use is a problem; its names need not exist yet. Nothing can be made empty."""
    empty: Problems = {name: [REQUIRED] for name in ("name", "query") if call.values[name] == ""}
    if empty:
        return empty
    of_list = call.target.list if call.target is not None else call.values["list"]
    if of_list is None or call.values["query"] is None:
        return {}
    try:
        parse(call.values["query"], _FIELDS[of_list])
    except InvalidRequest as error:
        return {"query": list(error.fields["q"])}
    return {}


_find_filter = found(lambda s: s.lists.read_filter, "id", number_of="saved filter")
_change = serve(lambda s: s.lists.change, filter_id=target("id"), name=given("name"), query=given("query"))


async def _find_list(_services: Services, path: Mapping[str, str]) -> str:
    """Returns the name of the list. Raises NotFound."""
    if path["list"] not in COLUMNS:
        raise NotFound(no_object("list", path["list"], COLUMNS))
    return path["list"]


def _column_problems(call: Call) -> Problems:
    known = COLUMNS[call.target]
    unknown = [one for one in call.values["columns"] if one not in known]
    return {"columns": [no_choice(one, known) for one in unknown[:3]]} if unknown else {}


async def _read_columns(call: Call) -> ListColumns:
    chosen = await call.services.lists.columns_of(call.caller, call.target)
    return chosen or ListColumns(list=call.target, columns=COLUMNS[call.target])


_choose = serve(lambda s: s.lists.choose_columns, of_list=target(), columns=given("columns"))
_forget = serve(lambda s: s.lists.forget_columns, of_list=target())
_FILTER = Result(doc="The saved filter.", type=SAVED_FILTER_JSON)
_CHOSEN = Result(doc="The list and its columns.", type=LIST_COLUMNS_JSON)
SAVED_FILTERS = Resource(
    handler="SavedFiltersHandler",
    path="account/filters/",
    doc="The caller's saved filters: searches of lists, by name.",
    endpoints=(
        crud.list_of(
            SAVED_FILTER_JSON,
            _list,
            title="List your saved filters",
            fields=(Field("list", _LIST, "Only those of this list."),),
            result="The saved filters, by list and name.",
        ),
        crud.create(
            _FILTER,
            _create,
            title="Save a filter",
            doc="At most 50 for each user.",
            permission=Permission.USER,
            fields=(
                Field("list", _LIST, "The list that it searches.", required=True, example="vms"),
                Field(
                    "name",
                    _NAME,
                    "Its name, unique among those of the list.",
                    required=True,
                    recorded=True,
                    example="failed",
                ),
                Field(
                    "query",
                    _QUERY,
                    "What is searched, as the list's q.",
                    required=True,
                    recorded=True,
                    example=_EXAMPLE,
                ),
            ),
            check=_filter_problems,
            success=201,
        ),
    ),
)
SAVED_FILTER = Resource(
    handler="SavedFilterHandler",
    path="account/filters/{id}/",
    doc="One of the caller's saved filters.",
    endpoints=(
        crud.read(_FILTER, crud.as_found, title="Read a saved filter", find=_find_filter),
        evolve(
            crud.update(
                _FILTER,
                _change,
                title="Change a saved filter",
                fields=(
                    Field("name", _NAME, "Its name.", recorded=True, example="failed"),
                    Field("query", _QUERY, "The value of q.", recorded=True, example=_EXAMPLE),
                ),
                find=_find_filter,
                check=_filter_problems,
            ),
            permission=Permission.USER,
        ),
        crud.delete(_delete, title="Delete a saved filter", permission=Permission.USER),
    ),
)
ALL_COLUMNS = Resource(
    handler="TableColumnsHandler",
    path="account/columns/",
    doc="The columns that the caller chose for lists of the pages.",
    endpoints=(
        crud.list_of(
            LIST_COLUMNS_JSON,
            _columns,
            title="List the columns that you chose",
            result="The lists with other columns than by default.",
        ),
    ),
)
LIST_COLUMNS = Resource(
    handler="TableColumnHandler",
    path="account/columns/{list}/",
    doc="The columns of one list of the pages, as the caller sees it.",
    endpoints=(
        crud.read(_CHOSEN, _read_columns, title="Read the columns of a list", find=_find_list),
        evolve(
            crud.update(
                _CHOSEN,
                _choose,
                title="Choose the columns of a list",
                fields=(
                    Field(
                        "columns",
                        TextList(),
                        "A column that is shown; may be repeated.",
                        default=(),
                        recorded=True,
                        example="owner",
                    ),
                ),
                find=_find_list,
                check=_column_problems,
            ),
            permission=Permission.USER,
        ),
        crud.delete(
            _forget,
            title="Show the default columns of a list",
            permission=Permission.USER,
            find=_find_list,
        ),
    ),
)
RESOURCES = (SAVED_FILTERS, SAVED_FILTER, ALL_COLUMNS, LIST_COLUMNS)
