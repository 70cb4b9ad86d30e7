"""A small part of Jinja's language, in Jinja's sandbox, at a bounded cost.

Jinja turns a template into Python code, and its sandbox keeps that code from reaching what it shouldn't; but it
bounds neither time nor memory, and has been escaped from before. So templates are written in a part of the language
that can express nothing of the kind: values, their items, conditions, loops over values, and our own filters. There
are no calls, no arithmetic, no assignments, no macros, no inclusion, and no attributes of Python objects. What is
not on the list is refused before any code is made.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, meta, nodes
from jinja2 import TemplateError as JinjaError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS

from agents.templating import limits
from agents.templating.filters import FILTERS, bounded
from agents.templating.limits import Budget, TemplateError

ALLOWED = (
    nodes.And,
    nodes.Compare,
    nodes.CondExpr,
    nodes.Const,
    nodes.Filter,
    nodes.For,
    nodes.Getattr,
    nodes.Getitem,
    nodes.If,
    nodes.Keyword,
    nodes.List,
    nodes.Name,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Output,
    nodes.Template,
    nodes.TemplateData,
    nodes.Test,
    nodes.Tuple,
)
ALLOWED_TESTS = ("boolean", "defined", "false", "in", "mapping", "none", "number", "sequence", "string", "true")
LOOP = ("first", "index", "index0", "last", "length")
KEYWORDS = {"and", "else", "false", "for", "if", "in", "is", "loop", "none", "not", "or", "self", "true"}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
TOO_DEEP = "it is nested too deeply, or has a number that is too long"
COUNTED = "(counted)"  # no name of the language, so that no template can call it


def is_variable(name: object) -> bool:
    """Tell whether a variable may have this name."""
    return isinstance(name, str) and bool(NAME.match(name)) and name.lower() not in KEYWORDS


class Language(ImmutableSandboxedEnvironment):
    """Parses and renders texts, all of them on one budget."""

    def __init__(self, budget: Budget | None = None) -> None:
        super().__init__(
            undefined=StrictUndefined,
            optimized=False,
            cache_size=0,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self.budget = budget or Budget()
        self.globals = {}
        self.filters = bounded(FILTERS, self.budget) | {COUNTED: self._counted}
        self.tests = {name: TESTS[name] for name in ALLOWED_TESTS}

    def read(self, source: str) -> nodes.Template:
        """Return the tree of a text. Raises TemplateError for what isn't of the language."""
        try:
            self.budget.read(sum(1 for _ in islice(self.lex(source), self.budget.tokens + 1)))
            tree = self.parse(source)
        except TemplateSyntaxError as error:
            raise TemplateError(f"line {error.lineno}: {error.message}") from error
        except (RecursionError, ValueError, OverflowError) as error:
            raise error if isinstance(error, TemplateError) else TemplateError(TOO_DEEP) from error
        _check(tree)
        return tree

    def variables(self, source: str) -> set[str]:
        """Return the names of the variables that a text uses. Raises TemplateError like ``read``."""
        return meta.find_undeclared_variables(self.read(source))

    def fill(self, source: str, values: Mapping[str, Any]) -> str:
        """Return the text with its variables filled in. Raises TemplateError."""
        tree = self.read(source)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, COUNTED, [], [], None, None)
        tree.set_environment(self)
        try:
            template = self.template_class.from_code(self, self.compile(tree), {})
            return "".join(self._written(template.generate(values)))
        except TemplateError:
            raise
        except JinjaError as error:
            raise TemplateError(str(error)) from error
        except (TypeError, ValueError, LookupError, StopIteration, RuntimeError) as error:
            raise TemplateError(f"a value doesn't suit what is done with it: {error}") from error

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an item of a value, never an attribute; of ``loop``, what is known of the loop."""
        if isinstance(obj, LoopContext) and attribute in LOOP:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item of an object or a list."""
        if isinstance(obj, dict) or (isinstance(obj, list | tuple | str) and isinstance(argument, int)):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.undefined(obj=obj, name=argument)

    def _written(self, chunks: Iterable[str]) -> Iterator[str]:
        for chunk in chunks:
            self.budget.write(chunk)
            yield chunk

    def _counted(self, values: Any) -> Iterator[Any]:
        for value in values:
            self.budget.iterate()
            yield value


def _check(tree: nodes.Template) -> None:
    waiting: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while waiting:
        node, depth, loops = waiting.pop()
        loops += isinstance(node, nodes.For)
        if problem := _problem(node):
            raise TemplateError(f"line {node.lineno}: {problem}" if node.lineno else problem)
        if depth > limits.MAX_DEPTH or loops > limits.MAX_LOOPS_NESTED:
            raise TemplateError(f"line {node.lineno}: {TOO_DEEP}")
        waiting.extend((child, depth + 1, loops) for child in node.iter_child_nodes())


def _problem(node: nodes.Node) -> str | None:
    """Return what is wrong with a node by itself."""
    if not isinstance(node, ALLOWED):
        return f"templates have no “{type(node).__name__.lower()}”"
    if isinstance(node, nodes.If) and len(node.elif_) > limits.MAX_ELIFS:
        return f"an “if” has no more than {limits.MAX_ELIFS} times “elif”"
    if isinstance(node, nodes.For) and node.recursive:
        return "templates have no recursive loops"
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        return f"“{node.attr}” is out of reach"
    if isinstance(node, nodes.Name) and node.name != "loop" and not is_variable(node.name):
        return f"“{node.name}” can't be a variable"
    if isinstance(node, nodes.Filter) and (node.dyn_args or node.dyn_kwargs):
        return "templates have no “*” before arguments"
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        return f"there is no filter “{node.name}”; there are {', '.join(FILTERS)}"
    if isinstance(node, nodes.Test) and node.name not in ALLOWED_TESTS:
        return f"there is no test “{node.name}”; there are {', '.join(ALLOWED_TESTS)}"
    return None
