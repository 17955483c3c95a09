"""A kind, an endpoint or a page is found in its folder: none is left out, and a wrong one is named at the start."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.collected import classes_of, collected

PACKAGE = "collected_sample"
Written = Callable[[str, str], None]


class Base(ABC):
    @abstractmethod
    def act(self) -> None: ...


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Writes a module of a package, by its path below it."""
    (tmp_path / PACKAGE / "room").mkdir(parents=True)
    for folder in ("", "room/"):
        (tmp_path / PACKAGE / folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def write(path: str, text: str) -> None:
        (tmp_path / PACKAGE / path).write_text(text)

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def test_lists_are_joined_in_the_order_of_modules(written: Written) -> None:
    written("late.py", "NUMBERS = (3,)")
    written("early.py", "NUMBERS = (1,)")
    written("room/inner.py", "NUMBERS = (4, 5)")
    written("without.py", "OTHERS = (9,)")
    assert list(collected(PACKAGE, "NUMBERS", int)) == [1, 3, 4, 5]


def test_an_item_of_another_type_is_named_with_its_module(written: Written) -> None:
    written("wrong.py", "NUMBERS = (1, 'two')")
    with pytest.raises(TypeError, match=r"collected_sample\.wrong\.NUMBERS has 'two', which is no int"):
        list(collected(PACKAGE, "NUMBERS", int))


def test_a_class_is_found_once_where_it_is_defined(written: Written) -> None:
    head = f"from {__name__} import Base\n"
    written("first.py", f"{head}class First(Base):\n    def act(self): ...\n")
    written("abstract.py", f"{head}class Unfinished(Base): ...\n")
    written("user.py", f"from {PACKAGE}.first import First\n")
    assert [one.__name__ for one in classes_of(PACKAGE, Base)] == ["First"]  # type: ignore[type-abstract]  # made of none
