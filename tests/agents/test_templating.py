"""The language of templates, attacked: no code runs, no file is read, no attribute is reached, costs are bounded."""

import time
import tracemalloc
from typing import Any

import pytest

from agents.templating import limits
from agents.templating.filters import FILTERS
from agents.templating.language import Language
from agents.templating.limits import Budget, TemplateError
from agents.templating.paths import Folder, check_path

LONG = "x" * 250_000
MANY = list(range(10_000))


def fill(source: str, **values: Any) -> str:
    return Language().fill(source, values)


# --- What can be written ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("Hi {{ name }}!\n", {"name": "Ada"}, "Hi Ada!\n"),
        ("{{ a.b.c }} {{ a['b']['c'] }} {{ l[1] }}", {"a": {"b": {"c": 1}}, "l": [1, 2]}, "1 1 2"),
        ("{% if a and not b or c > 2 %}yes{% elif a %}a{% else %}no{% endif %}", {"a": 1, "b": 1, "c": 1}, "a"),
        ("{{ 'x' if a is none else a }}{{ 1 if 2 in l }}", {"a": None, "l": [2]}, "x1"),
        ("{% for x in l %}\n- {{ x }}\n{% else %}\nnone\n{% endfor %}", {"l": [1, 2]}, "- 1\n- 2\n"),
        ("{% for x in l %}\n- {{ x }}\n{% else %}\nnone\n{% endfor %}", {"l": []}, "none\n"),
        ("{% for k, v in d|items %}{{ k }}={{ v }}{% if not loop.last %}, {% endif %}{% endfor %}",
         {"d": {"a": 1, "b": 2}}, "a=1, b=2"),
        ("{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{% endfor %}", {"l": [1, 2, 3]}, "1223"),
        ("{# said aside #}{% raw %}{{ kept }}{% endraw %}", {}, "{{ kept }}"),
        ("<b>{{ html }}</b>", {"html": "<&>"}, "<b><&></b>"),
        ("{{ n|snake_case }} {{ n|kebab_case }} {{ n|pascal_case }} {{ n|camel_case }}",
         {"n": "MyHTTPServer v2"}, "my_http_server_v2 my-http-server-v2 MyHttpServerV2 myHttpServerV2"),
        ("{{ l|unique|sort|join('-') }} {{ l|length }} {{ l|first }} {{ l|last }}", {"l": [3, 1, 3]}, "1-3 3 3 3"),
        ("{{ t|indent(2) }}|{{ t|indent(2, true) }}", {"t": "a\nb"}, "a\n  b|  a\n  b"),
        ("{{ d|tojson }} {{ d|tojson(indent=1) }}", {"d": {"a": [True, None, "é"]}},
         '{"a": [true, null, "é"]} {\n "a": [\n  true,\n  null,\n  "é"\n ]\n}'),
        ("{{ ' A '|trim|lower }}{{ 'b'|upper }}{{ 'c d'|title }}{{ 'e'|capitalize }}{{ 'ff'|replace('f', 'g') }}",
         {}, "aBC DEgg"),
        ("{{ a|default('none', true) }}", {"a": ""}, "none"),
    ],
)  # fmt: skip
def test_the_language(source: str, values: dict[str, Any], expected: str) -> None:
    assert fill(source, **values) == expected


def test_the_variables_of_a_text() -> None:
    source = "{{ a.b }}{% for x in list %}{{ x }}{{ loop.index }}{{ y }}{% endfor %}{{ 'q'|replace(c, 'd') }}"
    assert Language().variables(source) == {"a", "list", "y", "c"}


# --- What can't ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ name['__cl' 'ass__'] }}",
        "{{ name.upper }}",
        "{{ name.upper() }}",
        "{{ '{0.__class__}'.format(name) }}",
        "{{ '{0.__class__}'|format(name) }}",
        "{{ [name]|map(attribute='__class__') }}",
        "{{ [name]|map('attr', '__class__')|list }}",
        "{{ d.items }}",
        "{{ d.keys() }}",
        "{{ l.append(1) }}",
        "{{ l|sort(attribute='__class__') }}",
        "{{ self }}",
        "{{ self.__init__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__.os.popen('id').read() }}",
        "{{ joiner }}",
        "{{ namespace(x=1) }}",
        "{{ url_for.__globals__ }}",
        "{{ config }}",
        "{{ request }}",
        "{{ range(3) }}",
        "{{ dict(a=1) }}",
        "{{ environment }}",
        "{{ context }}",
        "{{ __builtins__ }}",
        "{% for x in l %}{{ loop.__class__ }}{% endfor %}",
        "{% for x in l %}{{ loop._iterable }}{% endfor %}",
        "{% for x in l %}{{ loop.cycle }}{% endfor %}",
        "{% for x in l %}{{ loop.changed(1) }}{% endfor %}",
        "{% for x in l recursive %}{{ loop(l) }}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% endmacro %}",
        "{% call m() %}{% endcall %}",
        "{% set x = 1 %}",
        "{% set x %}a{% endset %}",
        "{% filter upper %}a{% endfilter %}",
        "{% with x = 1 %}{% endwith %}",
        "{% block a %}{% endblock %}",
        "{% include '/etc/passwd' %}",
        "{% include name %}",
        "{% import '/etc/passwd' as x %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% autoescape false %}{% endautoescape %}",
        "{% do l %}",
        "{% debug %}",
        "{{ 'a' * 1000000000 }}",
        "{{ l * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a' ~ 'b' }}",
        "{{ 1 + 1 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 1 // 0 }}",
        "{{ -1 }}",
        "{{ l[0:1] }}",
        "{{ {'a': 1} }}",
        "{{ name|center(1000000000) }}",
        "{{ name|wordwrap(1) }}",
        "{{ name|replace(*l) }}",
        "{{ name|replace(**d) }}",
        "{{ name|(counted) }}",
        "{{ name is divisibleby 0 }}",
        "{{ name is sameas name }}",
        "{{ missing }}",
        "{{ d.missing }}",
        "{{ name|indent(1000000000) }}",
        "{{ l|tojson(1000000000) }}",
        "{{ []|first }}",
        "{{ name < 1 }}",
        "{% for x in 5 %}{% endfor %}",
        "{{ name",
        "{% if name %}",
        "{{ }}",
    ],
)  # fmt: skip
def test_nothing_else_is_said(source: str) -> None:
    with pytest.raises(TemplateError):
        fill(source, name="Ada", l=[1, 2], d={"a": 1})


def test_no_filter_gives_more_than_values() -> None:
    samples: list[Any] = ["text", "", [1, 2], [], {"a": 1}, 1, None, True]
    for name, function in FILTERS.items():
        for value in samples:
            try:
                given = function(value)
            except (TypeError, ValueError, LookupError):
                continue
            assert isinstance(given, str | int | float | list | tuple | dict | None), name


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("{% for a in l %}{% for b in l %}{% for c in l %}{% endfor %}{% endfor %}{% endfor %}", {"l": MANY}),
        ("{% for a in l %}{{ t }}{% endfor %}", {"l": MANY, "t": LONG}),
        ("{{ t|replace('', t) }}", {"t": LONG}),
        ("{{ t|replace('x', t)|replace('x', t) }}", {"t": LONG}),
        ("{{ l|join(t) }}", {"l": MANY, "t": LONG}),
        ("{{ t|indent(40) }}", {"t": "\n" * 250_000}),
        ("{% for a in l %}" + "{% if t|upper|lower|title == 'q' %}{% endif %}" * 500 + "{% endfor %}",
         {"l": MANY, "t": LONG}),
        ("{% for a in l %}" * 30 + "{% endfor %}" * 30, {"l": [1]}),
        ("{% if a %}" * 100 + "{% endif %}" * 100, {"a": 1}),
        ("{% if a %}" * 3000 + "{% endif %}" * 3000, {"a": 1}),
        ("{{ " + "(" * 9000 + "a" + ")" * 9000 + " }}", {"a": 1}),
        ("{{ " + "[" * 9000 + "]" * 9000 + " }}", {}),
        ("{{ " + "not " * 9000 + "a }}", {"a": 1}),
        ("{{ a" + ".b" * 9000 + " }}", {"a": 1}),
        ("{{ a" + "|upper" * 9000 + " }}", {"a": "a"}),
        ("{{ a }}" * 50_000, {"a": 1}),
        ("{% if a %}" + "{% elif a %}" * 5000 + "{% endif %}", {"a": 0}),
        ("{{ " + "9" * 100_000 + " }}", {}),
        ("{{ t|tojson|tojson|tojson }}", {"t": '"' * 100_000}),
    ],
    ids=[
        "nested loops", "large output", "replace", "replace twice", "join", "indent", "slow body", "many loops",
        "deep blocks", "deeper blocks", "parentheses", "lists", "not", "attributes", "filters", "many outputs",
        "long chain", "long number", "growing text",
    ],
)  # fmt: skip
def test_what_costs_too_much_ends_soon(source: str, values: dict[str, Any]) -> None:
    started = time.process_time()
    with pytest.raises(TemplateError):
        fill(source, **values)
    assert time.process_time() - started < limits.MAX_SECONDS + 5
    tracemalloc.start()
    try:
        with pytest.raises(TemplateError):
            fill(source, **values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000


def test_the_budget_is_for_all_files_together() -> None:
    language = Language(Budget(iterations=15, output=1000))
    assert language.fill("{% for x in l %}.{% endfor %}", {"l": range(10)}) == "." * 10
    with pytest.raises(TemplateError, match="loops go round"):
        language.fill("{% for x in l %}.{% endfor %}", {"l": range(10)})


def test_time_is_bounded_even_where_nothing_is_put_out() -> None:
    with pytest.raises(TemplateError, match="longer than"):
        Language(Budget(deadline=time.monotonic())).fill("{% for x in l %}{% endfor %}", {"l": [1]})


# --- Paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["a", "a/b.txt", ".github/workflows/ci.yml", "nullable.py", "..a", "~/x"])
def test_good_paths(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/a", "//a", "a//b", "a/", ".", "..", "../a", "a/..", "a/../b", "./a", "a/./b", "\\a", "a\\b",
        "..\\a", "C:", "C:\\a", "C:a", "c:/a", "\\\\server\\share", "a\0b", "a\nb", "a\x7f", "a\x1b[2J", "a:stream",
        "a*", "a?", "<a>", "a|b", '"a"', " a", "a ", "a/ /b", ".. /a", "../ a", "a.", "a./b", "... /a",
        "con", "NUL", "nul.txt", "a/AUX", "com1.log", "LPT9", "conin$", "\uff0e\uff0e/a", "\uff0fa", "\u2025/a",
        "a\u202eb", "a\u200b", "\ud800", "x" * 256, "é" * 128, "a/" * 600 + "a",
    ],
)  # fmt: skip
def test_bad_paths(path: str) -> None:
    with pytest.raises(TemplateError):
        check_path(path)


@pytest.mark.parametrize(
    "paths", [["a", "a"], ["a", "A"], ["a", "a/b"], ["a/b", "a"], ["A/b", "a"], ["stra\u00dfe", "STRASSE"]]
)
def test_paths_that_clash(paths: list[str]) -> None:
    folder = Folder()
    folder.add(paths[0])
    with pytest.raises(TemplateError, match=r"already|below"):
        folder.add(paths[1])


def test_paths_that_do_not_clash() -> None:
    folder = Folder()
    for path in ("a/b", "a/c", "A/d", "b", "ab"):
        folder.add(path)
