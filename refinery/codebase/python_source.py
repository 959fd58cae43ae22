"""Python text as libcst sees it, with the byte span of every node.

Only the child process that plans edits imports this: libcst can die on nested input.
"""

import ast
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import cached_property

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, CodeSpan, MetadataWrapper

from refinery import syntax
from refinery.codebase.splices import line_starts
from refinery.errors import EditError

BOM = "\ufeff"


class PythonSource:
    """A parsed Python file."""

    def __init__(self, source: str, path: str) -> None:
        """Parse the text.

        Raises:
            EditError: it is not Python, or libcst does not give it back as it is.
        """
        self.source = source
        self.bytes = source.encode("utf-8")
        self._shift = len(BOM.encode()) if source.startswith(BOM) else 0
        bare = source.removeprefix(BOM)
        parse_python(bare, path)
        try:
            wrapper = MetadataWrapper(cst.parse_module(bare), unsafe_skip_copy=True)
        except cst.ParserSyntaxError as error:
            raise EditError(f"{path} cannot be parsed: {error.message}") from error
        self.module = wrapper.module
        if self.module.code != bare:
            raise EditError(f"{path} cannot be edited safely", hint="use replace_text")
        self._spans: Mapping[cst.CSTNode, CodeSpan] = wrapper.resolve(ByteSpanPositionProvider)

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """First byte of a node and the byte after it, without surrounding parentheses."""
        span = self._spans[node]
        return span.start + self._shift, span.start + span.length + self._shift

    def text(self, node: cst.CSTNode) -> str:
        """Source text of a node."""
        start, end = self.span(node)
        return self.bytes[start:end].decode("utf-8")

    def lines(self, node: cst.CSTNode) -> tuple[int, int]:
        """First and last line of a node, from 1."""
        start, end = self.span(node)
        return self.line_at(start), self.line_at(max(start, end - 1))

    def line_at(self, offset: int) -> int:
        """Line of a byte, from 1."""
        return bisect_right(self._starts, offset)

    def line_span(self, line: int) -> tuple[int, int]:
        """First byte of a line and the byte after its line ending."""
        end = self._starts[line] if line < len(self._starts) else len(self.bytes)
        return self._starts[line - 1], end

    @cached_property
    def _starts(self) -> list[int]:
        return line_starts(self.bytes)


def parse_python(source: str, path: str) -> ast.Module:
    """The syntax tree of a text; also the gate in front of libcst.

    Raises:
        EditError: it is not Python.
    """
    try:
        return syntax.parse_module(source.removeprefix(BOM))
    except SyntaxError as error:
        raise EditError(f"{path} is not valid Python: {error}") from error


def walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Every node below and including `node`, in source order."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(current.children))
