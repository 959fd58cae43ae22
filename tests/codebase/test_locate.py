import json
from pathlib import Path

import pytest

from refinery.codebase.locate import attach, locate, locate_template
from refinery.model.failure import Evidence, Finding, Likelihood, RootCause, SourceLocation
from refinery.model.trace import CodeReference, Run, RunError, RunKind, Trace
from tests.kits.repositories import write_files

AGENT = '''"""A support agent."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import StateGraph

from app import nodes

SYSTEM_PROMPT = """You are a careful support agent of the shop.
Answer only from these documents:
{documents}
Never promise a refund."""


@tool("order_status")
def look_up(order: str) -> str:
    """State of an order."""
    return STATES[order]


@tool
def refund(order: str) -> str:
    """Pay an order back."""
    raise ValueError(order)


class Prices:
    name: str = "price_list"

    def run(self, query):
        return parse(query)


def answer(state):
    question = state["question"]
    user = f"The customer asks: {question!r}. Reply in {state['language']} please."
    return model.invoke([SYSTEM_PROMPT.format(documents=state["documents"]), user])


model = ChatOpenAI(model="small-model", temperature=0.7)
graph = StateGraph(dict)
graph.add_node("retrieve", nodes.fetch_documents)
graph.add_node("reply", answer)
'''
NODES = "def fetch_documents(state):\n    return {'documents': []}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    write_files(folder, {"app/agent.py": AGENT, "app/nodes.py": NODES, "app/__init__.py": ""})
    return folder


def trace_of(*runs: Run) -> Trace:
    return Trace("t", tuple(runs))


def llm(*messages: tuple[str, str], **more: object) -> Run:
    listed = [{"role": role, "content": text} for role, text in messages]
    return Run("m", "t", "ChatOpenAI", RunKind.LLM, inputs={"messages": listed}, **more)  # type: ignore[arg-type]


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


SYSTEM = (
    "You are a careful support agent of the shop.\nAnswer only from these documents:\n"
    "[2024] Plan A costs 5.\n[2021] Plan A costs 4.\nNever promise a refund."
)


def test_a_template_is_found_behind_the_rendered_prompt(root: Path) -> None:
    found = locate_template(llm(("system", SYSTEM), ("user", "Hi")), root)

    assert (found[0].file, found[0].node) == ("app/agent.py", "SYSTEM_PROMPT")
    assert found[0].line_start == line_of(AGENT, "SYSTEM_PROMPT =")
    assert found[0].line_end == found[0].line_start + 3
    assert found[0].text.startswith('SYSTEM_PROMPT = """You are')
    assert found[0].kind == found[0].how == "template"
    assert found[0].confidence > 0.8


def test_an_f_string_is_found_by_its_segments(root: Path) -> None:
    user = "The customer asks: 'What does it cost?'. Reply in German please."

    found = locate_template(llm(("user", user)), root)

    assert found[0].line_start == line_of(AGENT, "user = f")
    assert found[0].node == "answer.user"


PROMPT = "You summarise meeting notes for managers. Be brief. Notes: NOTES Use bullet points only."


@pytest.mark.parametrize(
    ("name", "text", "node", "lines"),
    [
        (
            "prompts.yaml",
            "x: 1\nsummary:\n  system: |\n    You summarise meeting notes for\n"
            "    managers. Be brief.\n    Notes: {{ notes }}\n    Use bullet points only.\n",
            "summary.system",
            (3, 7),
        ),
        (
            "prompts.yml",
            "- a: b\n- system: >-\n    You summarise meeting notes for managers.\n"
            "    Be brief. Notes: {notes}\n    Use bullet points only.\n",
            "1.system",
            (2, 5),
        ),
        (
            "prompts.json",
            '{\n  "a": [1, {\n    "system": "You summarise meeting notes for '
            'managers. Be brief.\\nNotes: {notes}\\nUse bullet points only."}]\n}\n',
            "a.1.system",
            (3, 3),
        ),
        (
            "prompts.toml",
            '[summary]\nsystem = """\nYou summarise meeting notes for managers.\n'
            'Be brief.\nNotes: $notes\nUse bullet points only."""\n',
            "summary.system",
            (3, 6),
        ),
        (
            "summary.j2",
            "You summarise meeting notes for managers.\n{# kind #}Be brief.\n"
            "Notes: {{ notes }}\nUse bullet points only.\n",
            "summary.j2",
            (1, 4),
        ),
        (
            "prompts/summary.md",
            "You summarise meeting notes for managers.\n\nBe brief.\n"
            "Notes: {notes}\nUse bullet points only.\n",
            "summary.md",
            (1, 5),
        ),
        (
            "summary.txt",
            "You summarise meeting notes for managers. Be brief.\nNotes: %(notes)s\n"
            "Use bullet points only.",
            "summary.txt",
            (1, 3),
        ),
        (
            "p.py",
            "def p(n):\n    return ('You summarise meeting notes for managers. '\n"
            "            'Be brief. Notes: ' + n + ' Use bullet points only.')\n",
            "p",
            (2, 3),
        ),
        (
            "q.py",
            "Q = 'You summarise meeting notes for managers. Be brief. Notes: %s '\\\n"
            "    'Use bullet points only.' % notes\n",
            "string",
            (1, 2),
        ),
        (
            "r.py",
            "R = '\\n'.join([\n  'You summarise meeting notes for managers.',\n"
            "  'Be brief.', f'Notes: {n}', 'Use bullet points only.'])\n",
            "R",
            (1, 3),
        ),
    ],
)
def test_templates_of_every_kind_are_found(
    tmp_path: Path, name: str, text: str, node: str, lines: tuple[int, int]
) -> None:
    write_files(tmp_path, {name: text, "other.py": "X = 'You are somebody else entirely.'\n"})

    found = locate_template(llm(("system", PROMPT)), tmp_path)

    assert [one.file for one in found] == [name]
    assert found[0].node == node
    assert (found[0].line_start, found[0].line_end) == lines
    assert found[0].confidence > 0.7


def test_equal_templates_are_all_returned_with_less_confidence(tmp_path: Path) -> None:
    text = "PROMPT = 'You are a careful assistant for travel bookings.'\n"
    write_files(tmp_path, {"one.py": text, "two.py": text, "tests/test_one.py": text})

    found = locate_template(
        llm(("system", "You are a careful assistant for travel bookings.")), tmp_path
    )

    assert [one.file for one in found] == ["one.py", "two.py", "tests/test_one.py"]
    assert all(one.confidence < 0.7 for one in found)


def test_a_template_that_changed_a_little_still_fits_with_less_confidence(root: Path) -> None:
    old = locate_template(llm(("system", SYSTEM)), root)[0]
    changed = AGENT.replace("Never promise a refund.", "Refunds are up to the manager.")
    write_files(root, {"app/agent.py": changed})

    found = locate_template(llm(("system", SYSTEM)), root)

    assert found[0].node == "SYSTEM_PROMPT"
    assert found[0].confidence < old.confidence


def test_a_saved_document_of_the_command_line_is_no_template(root: Path) -> None:
    rendered = "Answer in the name of the whole house, and never in your own."
    saved = json.dumps({"schema_version": 1, "runs": [{"inputs": {"system": rendered}}]})
    write_files(root, {"saved.json": saved, "prompts.json": json.dumps({"system": rendered})})

    found = locate_template(llm(("system", rendered)), root)

    assert [place.file for place in found] == ["prompts.json"]


def test_nothing_is_found_for_a_prompt_from_elsewhere(root: Path) -> None:
    assert locate_template(llm(("user", "What is the weather in Oslo tomorrow?")), root) == []
    assert locate_template(Run("m", "t", kind=RunKind.LLM), root) == []


def test_a_model_call_leads_to_template_code_and_call(root: Path) -> None:
    code = CodeReference("app.agent", "answer", "app/agent.py", 40)
    run = llm(("system", SYSTEM), code=code, model_requested="small-model")

    found = locate(trace_of(run), run, root)

    assert [(one.kind, one.node) for one in found] == [
        ("template", "SYSTEM_PROMPT"),
        ("function", "answer"),
        ("call", "ChatOpenAI"),
    ]
    assert found[2].line_start == line_of(AGENT, "model = ChatOpenAI")
    assert found[2].confidence > 0.9


def test_a_recorded_definition_is_found_again_when_lines_moved(root: Path) -> None:
    code = CodeReference("app.agent", "Prices.run", "app/agent.py", 999)
    run = Run("r", "t", "anything", RunKind.TOOL, code=code)

    found = locate(trace_of(run), run, root)

    assert found[0].line_start == line_of(AGENT, "    def run")
    assert (found[0].node, found[0].how, found[0].confidence) == ("Prices.run", "recorded", 1.0)


@pytest.mark.parametrize(
    ("file", "confidence"),
    [("/srv/build/app/nodes.py", 0.9), ("/elsewhere/nodes.py", 0.6), ("app\\nodes.py", 1.0)],
)
def test_a_recording_from_another_place_is_matched_by_its_path(
    root: Path, file: str, confidence: float
) -> None:
    run = Run("r", "t", "x", RunKind.TOOL, code=CodeReference("n", "fetch_documents", file, 1))

    found = locate(trace_of(run), run, root)

    assert (found[0].file, found[0].confidence) == ("app/nodes.py", confidence)


def test_code_of_a_library_is_not_taken_for_the_users(root: Path) -> None:
    write_files(root, {"app/base.py": "def invoke(): pass\n"})
    file = "/usr/lib/python3.11/site-packages/langchain/base.py"
    run = Run("r", "t", "x", RunKind.TOOL, code=CodeReference("b", "invoke", file, 1))

    assert locate(trace_of(run), run, root) == []


def stack(root: Path) -> str:
    line = line_of(AGENT, "raise ValueError")
    return (
        "Traceback (most recent call last):\n"
        f'  File "{root}/app/agent.py", line 5, in <module>\n    main()\n'
        f'  File "{root}/app/agent.py", line {line}, in refund\n    raise ValueError(order)\n'
        f'  File "{root}/.venv/lib/python3.11/site-packages/x.py", line 3, in y\n    boom\n'
        "ValueError: 7\n"
    )


def test_the_deepest_frame_of_the_users_code_is_found(root: Path) -> None:
    error = RunError("ValueError", "7", stack(root))
    run = Run("r", "t", "agent", RunKind.CHAIN, error=error)

    found = locate(trace_of(run), run, root)

    assert [(one.kind, one.node) for one in found] == [("frame", "refund"), ("function", "refund")]
    assert found[0].text.strip() == "raise ValueError(order)"
    assert found[0].line_start == line_of(AGENT, "raise ValueError")
    assert found[0].how == "stack frame"


def test_a_frame_whose_lines_moved_leads_to_the_function_of_its_name(root: Path) -> None:
    moved = stack(root)
    write_files(root, {"app/agent.py": "# new\n" * 20 + AGENT})
    run = Run("r", "t", "agent", RunKind.CHAIN, error=RunError("ValueError", "7", moved))

    found = locate(trace_of(run), run, root)

    assert (found[0].node, found[0].kind) == ("refund", "function")
    assert found[0].confidence < 1


@pytest.mark.parametrize(
    ("name", "file", "node"),
    [
        ("order_status", "app/agent.py", "look_up"),
        ("refund", "app/agent.py", "refund"),
        ("price_list", "app/agent.py", "Prices"),
        ("Prices", "app/agent.py", "Prices"),
        ("retrieve", "app/nodes.py", "fetch_documents"),
        ("reply", "app/agent.py", "answer"),
        ("fetch_documents", "app/nodes.py", "fetch_documents"),
    ],
)
def test_a_name_leads_to_its_definition(root: Path, name: str, file: str, node: str) -> None:
    run = Run("r", "t", name, RunKind.TOOL)

    found = locate(trace_of(run), run, root)

    assert (found[0].file, found[0].node, found[0].how) == (file, node, "name")
    assert found[0].confidence > 0.8


def test_a_run_without_source_of_its_own_takes_that_around_it(root: Path) -> None:
    node = Run("n", "t", "retrieve", RunKind.CHAIN)
    run = Run("r", "t", "VectorStoreRetriever", RunKind.RETRIEVER, parent_id="n")

    found = locate(trace_of(node, run), run, root)

    assert found[0].node == "fetch_documents"
    assert found[0].confidence < 0.7


def finding(cause: str, symptom: str, root_cause: RootCause) -> Finding:
    evidence = (Evidence(cause, "x"),)
    return Finding(
        "F1", "c", "t", "e", Likelihood.LIKELY, 0.8, cause, symptom, evidence, root_cause
    )


def test_a_finding_gets_its_source_and_what_matters_to_a_fix(root: Path) -> None:
    retriever = Run("r", "t", "retrieve", RunKind.RETRIEVER, start_ns=1)
    model = llm(("system", SYSTEM), start_ns=2)
    trace = trace_of(retriever, model)

    context, prompt = attach(
        [finding("r", "m", RootCause.CONTEXT), finding("m", "m", RootCause.PROMPT)], trace, root
    )

    assert context.source is not None
    assert context.source.node == "fetch_documents"
    assert any(one.node == "SYSTEM_PROMPT" for one in context.related)
    assert prompt.source is not None
    assert prompt.source.node == "SYSTEM_PROMPT"
    assert all(one != prompt.source for one in prompt.related)


def test_a_source_that_is_known_already_stays(root: Path) -> None:
    from dataclasses import replace

    known = SourceLocation("app/agent.py", 1, 1)
    given = replace(finding("r", "r", RootCause.TOOL), source=known)

    (found,) = attach([given], trace_of(Run("r", "t", "refund", RunKind.TOOL)), root)

    assert found.source == known
    assert found.related[0].node == "refund"


def test_a_finding_without_source_stays_as_it_is(root: Path) -> None:
    given = finding("gone", "gone", RootCause.MODEL)

    assert attach([given], trace_of(), root) == (given,)


def test_a_recording_in_the_work_tree_is_no_source_of_its_own_prompt(root: Path) -> None:
    said = "You let boats to guests of the Olsen house."
    answer = 'The boat "Ada" is free from nine.'
    asked = llm(("system", said), outputs={"role": "assistant", "content": answer})
    write_files(root, {"prompts.json": json.dumps({"system": said})})
    write_files(root, {"failed.json": json.dumps({"messages": [said, answer]})})

    assert [one.file for one in locate_template(asked, root)] == ["prompts.json"]
