"""Properties every kind of edit keeps, on generated sources."""

import ast
import json
import tomllib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from refinery.codebase.edits import replace_string, set_argument, set_key
from refinery.codebase.splices import Splice, apply_splices
from refinery.errors import EditError

relaxed = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
WORDS = st.text(
    st.one_of(
        st.sampled_from(list("ab \n\t\\'\"{}%#é中\u200f\U0001f600")),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=20,
)
QUOTES = st.sampled_from(["'", '"', "'''", '"""'])
PREFIXES = st.sampled_from(["", "u", "r", "R"])
NEWLINES = st.sampled_from(["\n", "\r\n"])
KEYS = st.text(st.sampled_from("abkxé_ 1"), min_size=1, max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS | st.floats(-1e6, 1e6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def written(value: str, prefix: str, quote: str) -> str | None:
    """The value as a literal of that prefix and quotes; None when it cannot be one."""
    body = value
    if "r" not in prefix.lower():
        body = value.replace("\\", "\\\\").replace(quote[0], "\\" + quote[0])
        body = body.replace("\r", "\\r").replace("\0", "\\0")
        if len(quote) == 1:
            body = body.replace("\n", "\\n")
    text = f"{prefix}{quote}{body}{quote}"
    try:
        return text if ast.literal_eval(text) == value else None
    except (SyntaxError, ValueError):
        return None


@relaxed
@given(
    st.lists(st.tuples(WORDS, PREFIXES, QUOTES), min_size=1, max_size=3),
    WORDS,
    NEWLINES,
    st.data(),
)
def test_a_replaced_segment_is_what_the_program_sees(
    parts: list[tuple[str, str, str]], new: str, newline: str, data: st.DataObject
) -> None:
    literals = [text for part in parts if (text := written(*part)) is not None]
    if not literals:
        return
    before = "# é\nX = (\n    " + "\n    ".join(literals) + "\n)  # end\nY = 'other'\n"
    before = before.replace("\r\n", "\n").replace("\n", newline)
    value = ast.literal_eval(before.split("X = ", 1)[1].rsplit("  # end", 1)[0])
    start = data.draw(st.integers(0, len(value) - 1))
    end = data.draw(st.integers(start + 1, len(value)))

    try:
        splices = replace_string.splices(
            before, "a.py", {"line": None, "old": value[start:end], "new": new}
        )
    except EditError as error:
        assert "places of" in str(error), str(error)
        return
    after = apply_splices(before.encode(), splices).decode()

    tree = ast.parse(after)
    assert isinstance(tree.body[0], ast.Assign)
    assert ast.literal_eval(tree.body[0].value) == value.replace(value[start:end], new, 1)
    assert after.endswith(f")  # end{newline}Y = 'other'{newline}")
    assert after.startswith(f"# é{newline}X = (")


@relaxed
@given(
    st.lists(
        st.sampled_from(["1", "*a", "k=1", "(2)", "f(x)", '"é"', "z = [\n  1,\n ]"]), max_size=4
    ),
    st.sampled_from([", ", ",\n    ", ",  # note\n    "]),
    st.sampled_from(["", ",", ",  # tail\n", "\n", "  # tail\n"]),
    NEWLINES,
)
def test_an_added_argument_changes_nothing_else(
    arguments: list[str], separator: str, tail: str, newline: str
) -> None:
    call = f"é = make({separator.join(arguments)}{tail if arguments else ''})  # end\n"
    before = f"a = 1\n{call}b = 2\n".replace("\n", newline)
    try:
        old = ast.parse(before)
    except SyntaxError:
        return

    arguments_given = {"line": 2, "call": "make", "name": "temperature", "value": "0.5"}
    splices = set_argument.splices(before, "a.py", arguments_given)
    after = apply_splices(before.encode(), splices).decode()

    new = ast.parse(after)
    added = next(node for node in ast.walk(new) if isinstance(node, ast.Call) and node.keywords)
    assert added.keywords[-1].arg == "temperature"
    del added.keywords[-1]
    assert ast.dump(new) == ast.dump(old)
    assert_only_inserted(before.encode(), after.encode(), splices)
    assert ("\r\n" in after) == (newline == "\r\n")


def assert_only_inserted(before: bytes, after: bytes, splices: list[Splice]) -> None:
    assert all(one.start_byte == one.end_byte for one in splices)
    assert len(after) == len(before) + sum(len(one.replacement) for one in splices)


@relaxed
@given(
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=4),
    VALUES,
    st.sampled_from([None, 1, 2, 4, "\t"]),
    st.data(),
)
def test_a_json_key_is_set_and_the_rest_stays(
    document: dict[str, Any], value: Any, indent: Any, data: st.DataObject
) -> None:
    before = json.dumps(document, indent=indent, ensure_ascii=data.draw(st.booleans()))
    path = path_into(document, data)

    splices = set_key.splices(before, "a.json", {"path": path, "value": value})
    after = apply_splices(before.encode(), splices).decode()

    assert len(splices) == 1
    assert json.loads(after) == with_key(document, path, value)


@relaxed
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), VALUES, st.booleans(), st.data())
def test_a_yaml_key_is_set_and_the_rest_stays(
    document: dict[str, Any], value: Any, is_flow: bool, data: st.DataObject
) -> None:
    import io

    writer = YAML()
    writer.default_flow_style = is_flow
    stream = io.StringIO()
    writer.dump(document, stream)
    before = "# é\n" + stream.getvalue()
    reader = YAML(typ="safe", pure=True)
    loaded = reader.load(before)
    path = path_into(loaded, data)

    try:
        splices = set_key.splices(before, "a.yaml", {"path": path, "value": value})
    except EditError as error:
        assert "without changing others" in str(error), str(error)
        return
    after = apply_splices(before.encode(), splices).decode()

    assert len(splices) == 1
    assert reader.load(after) == with_key(loaded, path, value)


@relaxed
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), VALUES, st.data())
def test_a_toml_key_is_set_and_the_rest_stays(
    document: dict[str, Any], value: Any, data: st.DataObject
) -> None:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        before = "# é\n" + tomlkit.dumps(document)
        loaded = tomllib.loads(before)
    except (TOMLKitError, ValueError, TypeError):
        return
    path = path_into(loaded, data)

    try:
        splices = set_key.splices(before, "a.toml", {"path": path, "value": value})
    except EditError as error:
        assert "TOML cannot hold" in str(error) or "safely" in str(error), str(error)
        return
    after = apply_splices(before.encode(), splices).decode()

    assert tomllib.loads(after) == with_key(loaded, path, value)
    assert after.startswith("# é\n")


def path_into(document: Any, data: st.DataObject) -> list[Any]:
    """A path to a key that exists, or to a new one of a mapping."""
    path: list[Any] = []
    node = document
    while True:
        if isinstance(node, dict):
            key = data.draw(st.sampled_from([*node, "new"]) if path else st.sampled_from([*node]))
        else:
            key = data.draw(st.integers(0, len(node) - 1))
        path.append(key)
        is_new = isinstance(node, dict) and key not in node
        node = None if is_new else node[key]
        if not (isinstance(node, dict | list) and node) or data.draw(st.booleans()):
            return path


def with_key(document: Any, path: list[Any], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    node = copy
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return copy
