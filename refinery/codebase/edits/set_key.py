"""Set a key of a YAML, JSON or TOML file."""

from refinery.codebase.splices import Example, Splice, schema
from refinery.errors import EditError
from refinery.model.trace import Json

ARGUMENTS = schema(
    ["path", "value"],
    path={
        "type": "array",
        "items": {"type": ["string", "integer"]},
        "minItems": 1,
        "description": "keys and list indices from the top of the file",
    },
    value={"description": "any JSON value"},
)


def splices(source: str, path: str, arguments: dict[str, Json]) -> list[Splice]:
    """Splices of the lines that hold the key; comments and layout elsewhere stay.

    Raises:
        EditError: the file is none of these kinds or not valid, or the path leads through
            something that is no mapping or list.
    """
    keys = list(arguments["path"])
    if not keys or not all(isinstance(k, str | int) and not isinstance(k, bool) for k in keys):
        raise EditError("'path' must be a list of keys and indices", hint='e.g. ["model", "name"]')
    suffix = path[path.rfind(".") :].lower() if "." in path else ""
    if suffix == ".json":
        from refinery.codebase.keyed_json import splices as write
    elif suffix == ".toml":
        from refinery.codebase.keyed_toml import splices as write
    elif suffix in (".yaml", ".yml"):
        from refinery.codebase.keyed_yaml import splices as write
    else:
        raise EditError(f"{path} is no YAML, JSON or TOML file", hint="use replace_text")
    return write(source, path, keys, arguments["value"])


EXAMPLES = [
    Example(
        '# é\nmodel:   # inline\n  temperature: 0.70\n  name: "x"\n  on: yes\nuse: &a {k: 1}\n'
        "also: *a\n",
        {"path": ["model", "name"], "value": "y"},
        '# é\nmodel:   # inline\n  temperature: 0.70\n  name: "y"\n  on: yes\nuse: &a {k: 1}\n'
        "also: *a\n",
        path="agent.yaml",
    ),
    Example(
        "agent:\n    system: |\n        Be terse.\n        Use tools.\n    n: 1\n",
        {"path": ["agent", "system"], "value": "Be terse.\nNever guess.\n"},
        "agent:\n    system: |\n        Be terse.\n        Never guess.\n    n: 1\n",
        path="agent.yml",
    ),
    Example(
        "a:\r\n- x: 1\r\n  y: 2\r\nb: 1\r\n",
        {"path": ["a", 0, "y"], "value": 3},
        "a:\r\n- x: 1\r\n  y: 3\r\nb: 1\r\n",
        path="agent.yaml",
    ),
    Example(
        "a:\n  b: 1\n",
        {"path": ["a", "c", "d"], "value": True},
        "a:\n  b: 1\n  c:\n    d: true\n",
        path="agent.yaml",
    ),
    Example(
        "a:\n  b:   # none\n\n# end\nc: 1\n",
        {"path": ["a", "b"], "value": "x"},
        "a:\n  b: x   # none\n\n# end\nc: 1\n",
        path="agent.yaml",
    ),
    Example(
        "a:\n  b:   # none\n\n# end\nc: 1\n",
        {"path": ["a", "d"], "value": {"e": [1]}},
        "a:\n  b:   # none\n  d:\n    e:\n    - 1\n\n# end\nc: 1\n",
        path="agent.yaml",
    ),
    Example(
        "a: {b: [1,   2]}\nlist:\n  - {q: hi,   a: hello}\n",
        {"path": ["list", 0, "a"], "value": "bye"},
        "a: {b: [1,   2]}\nlist:\n  - {q: hi,   a: bye}\n",
        path="agent.yaml",
    ),
    Example(
        '{\n    "é": {"a": [1, 2], "t":0.7},\n    "b": "x"\n}\n',
        {"path": ["é", "t"], "value": 0},
        '{\n    "é": {"a": [1, 2], "t":0},\n    "b": "x"\n}\n',
        path="agent.json",
    ),
    Example(
        '{\n\t"a": {\n\t\t"b": 1\n\t}\n}',
        {"path": ["a", "c"], "value": {"d": ["é"]}},
        '{\n\t"a": {\n\t\t"b": 1,\n\t\t"c": {\n\t\t\t"d": [\n\t\t\t\t"é"\n\t\t\t]\n\t\t}\n\t}\n}',
        path="agent.json",
    ),
    Example(
        '{"a":["\\u00e9\\/ \\"Be\\" kind.\\nDone","x"]}',
        {"path": ["a", 0], "value": 'é/ "Be" very kind.\nDone'},
        '{"a":["\\u00e9\\/ \\"Be\\" very kind.\\nDone","x"]}',
        path="agent.json",
    ),
    Example('{"a": 1}', {"path": ["b"], "value": 2}, '{"a": 1, "b": 2}', path="agent.json"),
    Example("{}\n", {"path": ["b"], "value": 2}, '{"b": 2}\n', path="agent.json"),
    Example(
        '# é\n[model]\nname = "x"   # which\ntemperature = 0.7\n\n[other]\nname = "x"\n',
        {"path": ["model", "name"], "value": "y"},
        '# é\n[model]\nname = "y"   # which\ntemperature = 0.7\n\n[other]\nname = "x"\n',
        path="agent.toml",
    ),
    Example(
        '[prompt]\r\nsystem = """\r\nBe brief.\r\n"""\r\nn = 1\r\n',
        {"path": ["prompt", "system"], "value": "Be brief.\nCite.\n"},
        '[prompt]\r\nsystem = """\r\nBe brief.\r\nCite.\r\n"""\r\nn = 1\r\n',
        path="agent.toml",
    ),
    Example("a: 1\n", {"path": ["a", "b"], "value": 1}, message="leads through", path="x.yaml"),
    Example("a = 1\n", {"path": ["a", "b"], "value": 1}, message="leads through", path="x.toml"),
    Example('{"a": 1}', {"path": ["a", "b"], "value": 1}, message="leads through", path="x.json"),
    Example("[[a]]\n", {"path": ["a", 0], "value": []}, message="safely", path="x.toml"),
    Example("a: [1]\n", {"path": ["a", 3], "value": 1}, message="no item 3", path="x.yaml"),
    Example('{"a": [1]}', {"path": ["a", 3], "value": 1}, message="no item 3", path="x.json"),
    Example("a: [", {"path": ["a"], "value": 1}, message="not valid YAML", path="x.yaml"),
    Example("a = ", {"path": ["a"], "value": 1}, message="not valid TOML", path="x.toml"),
    Example("{a}", {"path": ["a"], "value": 1}, message="not valid JSON", path="x.json"),
    Example("a: 1\n---\na: 2\n", {"path": ["a"], "value": 1}, message="not valid", path="x.yaml"),
    Example("a = 1\n", {"path": ["a"], "value": 2}, message="no YAML", path="x.py"),
    Example("a: 1\n", {"path": [], "value": 2}, message="'path' must be", path="x.yaml"),
]
