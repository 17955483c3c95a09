"""Finds texts of pages that are not messages of the catalogue, in templates, Python code and scripts."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator
from html.parser import HTMLParser
from itertools import pairwise

import jinja2

_ENVIRONMENT = jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
_VALUE = "\x01"  # in place of an expression or statement of a template; the parser of HTML keeps it in a tag
_SPOKEN = {"aria-label", "placeholder", "alt", "title", "data-label"}  # the style sheet shows the last one
_NO_PROSE = {"script", "style", "code", "kbd", "pre"}
_WORDS = re.compile(r"[A-Za-z]{2}")
_SENTENCE = re.compile(r"[A-Z][a-z]+($|[ .,:;!?…–-])|[a-z]{2,}[,:]? [a-z]{2,}|[a-z]{3,}\. [A-Z]|[A-Z]\w+ [a-z]{2,}")
_CODE = re.compile(r"\b(ik|is|u|p|has|aria|data|hx)-\w|__|^[\w-]+/[\w./-]+$|::|%[a-zA-Z]|=\{|[\[\]<>=]")
_MARKUP = re.compile(r'^(\s*[\w-]+="[^"]*")+$|^ik-[^ ]*( ik-[^ ]*| -)*$')  # attributes or classes of a tag elsewhere
_COMMAND = re.compile(r"^(lxc|virsh|innkeeper|sudo|stty) |\$[a-z]")
_HEADER = re.compile(r"^[A-Z][\w-]*-[A-Z]")
_TRANSLATED = {"_", "gettext", "ngettext", "text", "counted", "constant", "message", "counted_message", "marked"}
_SHOWN_AS = {"button", "help", "label", "none_label", "note", "remedy", "title", "undo"}  # of forms and questions
_NOT_SHOWN = re.compile(r"(Type|Value|Key|Runtime|Assertion|NotImplemented)Error$")
_ENGLISH_WITH_STATUS = re.compile(r"^(InvalidRequest|NotFound|NotAllowed|WrongState|\w+Error|\w+Refused)(\.of)?$")


def untranslated_in_template(source: str) -> list[str]:
    """Returns texts between tags and in attributes that are read out, and strings that look like some."""
    page, strings, is_trans, before = "", [], False, ["", ""]
    tokens = [(kind, value) for _, kind, value in _ENVIRONMENT.lex(source) if kind != "whitespace"]
    for (kind, value), (_, after) in pairwise([*tokens, ("end", "")]):
        if kind == "data":
            page += "" if is_trans else value
        elif kind in {"variable_begin", "block_begin"}:
            page += _VALUE
        elif kind == "name" and before[-1] in {"{%", "{%-"} and value in {"trans", "endtrans"}:
            is_trans = value == "trans"
        elif kind == "string" and after != ":" and not _is_message(before) and _reads_as_text(value[1:-1]):
            strings.append(value[1:-1])
        before = [*before[-5:], value]
    shown = map(_clean, Texts(page, _NO_PROSE).found)
    return [*(text for text in shown if _WORDS.search(text) and not _MARKUP.search(text)), *strings]


def _is_message(before: list[str]) -> bool:
    """True for the first literal of `_(…)`, and both of `ngettext(…)`."""
    return before[-2:] in (["_", "("], ["ngettext", "("]) or (before[-4:-2] == ["ngettext", "("] and before[-1] == ",")


class Texts(HTMLParser):
    """What a reader sees or hears of a page, outside `skipped` elements."""

    def __init__(self, page: str, skipped: Container[str]) -> None:
        super().__init__()
        self.found: list[str] = []
        self._skipped, self._depth = skipped, 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag.strip(_VALUE) in self._skipped
        self.found += [value for name, value in attrs if name in _SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag in self._skipped

    def handle_data(self, data: str) -> None:
        if not self._depth and data.strip():
            self.found.append(data.strip())


def _clean(data: str) -> str:
    return " ".join(data.replace(_VALUE, " ").split())


def untranslated_in_python(source: str) -> list[str]:
    """Returns literals that look like texts outside `text`, `counted`, `constant`, docstrings and errors.

    Errors of the API's taxonomy are English, as decision 57 says; errors of the program are for nobody to read.
    """
    return list(_literals(ast.parse(source)))


def _literals(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(value=ast.Constant()):
                continue  # a docstring
            case ast.Call() if _is_unseen(child.func):
                continue
            case ast.keyword(arg=name, value=ast.Constant(value=str(written))) if name in _SHOWN_AS:
                yield from (written,) if _WORDS.search(written) else ()
            case ast.Call() if _name(child.func) in _TRANSLATED:
                values = [*child.args, *(keyword.value for keyword in child.keywords)]
                children: list[ast.expr] = [value for value in values if not isinstance(value, ast.Constant)]
                yield from _literals(ast.Tuple(elts=children))
            case ast.JoinedStr():
                literal = (str(part.value) for part in child.values if isinstance(part, ast.Constant))
                yield from _if_text(_clean(_VALUE.join(literal)))
                yield from _literals(
                    ast.Tuple(elts=[p.value for p in child.values if isinstance(p, ast.FormattedValue)])
                )
            case ast.Constant(value=str(written)):
                yield from _if_text(written)
            case _:
                yield from _literals(child)


def _if_text(written: str) -> Iterator[str]:
    if _reads_as_text(written):
        yield written


def _is_unseen(function: ast.expr) -> bool:
    """True for logs, errors of the program, and errors of the API's taxonomy."""
    is_log = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "log"
    name = _name(function)
    return is_log or bool(_NOT_SHOWN.search(name) or _ENGLISH_WITH_STATUS.match(name))


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr="of"):
            return f"{owner}.of"
        case ast.Attribute(attr=name):
            return name
    return ""


_SCRIPT_VALUE = re.compile(r"\$\{[^}]*\}")
_SCRIPT_CODE = re.compile(r"^use strict$|^htmx:\w+$|^[a-z]+[A-Z]\w*$|^\(prefers-")
_SCRIPT_STRING = re.compile(r"""(\bt\()?("(?:[^"\\\n]|\\.)*"|`[^`]*`)""")


def untranslated_in_script(source: str) -> list[str]:
    """Returns strings that look like texts and are not in `t(…)`."""
    lines = "\n".join(re.sub(r"(^|\s)//.*", "", line) for line in source.splitlines())
    found = (_SCRIPT_VALUE.sub(" ", value[1:-1]) for call, value in _SCRIPT_STRING.findall(lines) if not call)
    return [written.strip() for written in found if not _SCRIPT_CODE.search(written) and _reads_as_text(written)]


def _reads_as_text(written: str) -> bool:
    is_other = _CODE.search(written) or _HEADER.search(written) or _COMMAND.search(written)
    return bool(_SENTENCE.search(written)) and not is_other


_SHOWN_BY_NAME = {"label", "title", "help", "word", "verb", "button", "effect", "undo", "done", "doing", "none_label"}
_NO_WORD = re.compile(r"[A-Z\d-]+|\W*")  # such as CIDR and SHA-256


def words_beside_messages(source: str) -> list[str]:
    """Returns words of Python code that are no messages, although others of their table are, or that are a label."""
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            found += _rest_of_table(node.values)
        elif isinstance(node, ast.Tuple | ast.List):
            pairs = [each for each in node.elts if isinstance(each, ast.Tuple) and len(each.elts) == 2]
            found += _rest_of_table([pair.elts[1] for pair in pairs])
        elif isinstance(node, ast.Call):
            found += [keyword.value for keyword in node.keywords if keyword.arg in _SHOWN_BY_NAME]
    written = [one.value for one in found if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return [word for word in written if not _NO_WORD.fullmatch(word)]


def _rest_of_table(words: list[ast.expr]) -> list[ast.expr]:
    is_message = [isinstance(word, ast.Call) and _name(word.func) in _TRANSLATED for word in words]
    return [word for word, is_one in zip(words, is_message, strict=True) if not is_one] if any(is_message) else []


_TRANSLATES_NOW = {"_", "gettext", "ngettext", "text", "counted", "translated"}


def translated_at_import(source: str) -> list[str]:
    """Returns calls that translate when the module is imported, before there is a reader: `constant` belongs there.

    That is outside functions, and in their decorators and the defaults of their parameters.
    """
    waiting: list[ast.AST] = [ast.parse(source)]
    found = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and _name(node.func) in _TRANSLATES_NOW:
            found.append(ast.unparse(node))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += [*node.args.defaults, *filter(None, node.args.kw_defaults), *getattr(node, "decorator_list", ())]
        else:
            waiting += ast.iter_child_nodes(node)
    return found
