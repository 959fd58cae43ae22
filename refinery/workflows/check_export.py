"""The checks of a project as a pytest file, as JUnit XML and as SARIF."""

import base64
import json
import os
import re
import textwrap
import xml.etree.ElementTree as Xml
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import refinery
from refinery.codebase.repository import Repository
from refinery.errors import InputError
from refinery.model.codec import decode, encode
from refinery.model.trace import Json, Run, Trace
from refinery.workflows import check_suite
from refinery.workflows.check_suite import Checked, How, State, SuiteCase
from refinery.workflows.wiring import load_settings

FORMAT = 1
MAX_UNPACKED = 256 << 20
"""Most bytes a packed suite may unfold to."""
UNSANDBOXED = "REFINERY_UNSANDBOXED"
"""Variable that lets exported tests run without a sandbox, when it is `1`."""
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_FILE = '''"""Conversations that were answered wrong once, and what is right for them.

Exported by `refinery checks export --pytest`; run it with pytest in the agent's repository. Each
test plays a recorded conversation again with the code as it is checked out, in a sandbox. What
was recorded needs no model and no network; what the code asks beyond that goes to the model the
agent is configured for.

{summary}
"""

import pytest

from refinery.workflows import check_export

CASES = check_export.unpack(
    """
{packed}
    """
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_conversation_is_answered_as_expected(case):
    checked = check_export.play(case, __file__)

    assert checked.held, checked.told
'''


def pytest_file(cases: Sequence[SuiteCase]) -> str:
    """A test file that needs the repository, Refinery and pytest, and no store.

    Raises:
        InputError: there is nothing to export.
    """
    if not cases:
        raise InputError("no conversation has checks", hint="refinery guide makes some")
    summary = "\n".join(_told(case) for case in cases)
    packed = textwrap.indent("\n".join(textwrap.wrap(pack(cases), 90)), "    ")
    return _FILE.format(summary=summary, packed=packed)


def pack(cases: Sequence[SuiteCase]) -> str:
    """Cases as text that `unpack` reads: JSON, deflated, in base64."""
    document = {"format": FORMAT, "cases": [encode(_portable(case)) for case in cases]}
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpack(packed: str) -> list[SuiteCase]:
    """Cases as they were packed.

    Raises:
        InputError: the text was altered, or is of a newer form.
    """
    try:
        content = base64.b64decode("".join(packed.split()), validate=True)
        unfolding = zlib.decompressobj()
        text = unfolding.decompress(content, MAX_UNPACKED)
        if unfolding.unconsumed_tail:
            raise ValueError("it is too long")
        value: Json = json.loads(text)
        if value.get("format") != FORMAT:
            raise ValueError(f"format {value.get('format')!r}, this version reads {FORMAT}")
        return [decode(SuiteCase, case) for case in value["cases"]]
    except (ValueError, KeyError, AttributeError, RecursionError, zlib.error) as error:
        raise InputError(
            f"the packed conversations cannot be read: {error}", hint="export them again"
        ) from error


def play(case: SuiteCase, test_file: str) -> Checked:
    """Play a case with the code of the repository a test file lies in.

    Args:
        case: one of `unpack`.
        test_file: `__file__` of the test.

    Raises:
        InputError: the file lies in no repository, or the agent cannot be run here.
        RefusedError: no sandbox holds here and `REFINERY_UNSANDBOXED` is not 1.
    """
    repository = Repository.open(Path(test_file).resolve().parent)
    how = How(unsandboxed=os.environ.get(UNSANDBOXED) == "1")
    return check_suite.play(load_settings(repository.root), repository, case, how)


def junit(found: Sequence[Checked]) -> str:
    """The outcome as JUnit XML: one test a conversation."""
    counts = {state: sum(one.state is state for one in found) for state in State}
    root = Xml.Element(
        "testsuite",
        name="refinery checks",
        tests=str(len(found)),
        failures=str(counts[State.FAILED]),
        errors=str(counts[State.UNANSWERED]),
        skipped="0",
        time=f"{sum(one.duration_ms for one in found) / 1e3:.3f}",
    )
    for one in found:
        case = Xml.SubElement(
            root,
            "testcase",
            classname="refinery.checks",
            name=one.case.name,
            time=f"{one.duration_ms / 1e3:.3f}",
        )
        if not one.held:
            tag = "failure" if one.state is State.FAILED else "error"
            missed = Xml.SubElement(case, tag, message=_clean(one.told[:400]))
            missed.text = _clean(f"{one.told}\n\nexpected: {one.case.expectation or ''}")
    return Xml.tostring(root, encoding="unicode", xml_declaration=True)


def sarif(found: Sequence[Checked]) -> dict[str, Json]:
    """The outcome as SARIF 2.1.0: one result for each conversation that did not hold."""
    missed = [one for one in found if not one.held]
    rules = {_kind(one): one for one in missed}
    return {
        "$schema": _SARIF,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "refinery",
                        "version": refinery.__version__,
                        "rules": [
                            {"id": name, "shortDescription": {"text": f"check {name}"}}
                            for name in rules
                        ],
                    }
                },
                "results": [_result(one) for one in missed],
            }
        ],
    }


def _result(one: Checked) -> dict[str, Json]:
    expected = f" (expected: {one.case.expectation})" if one.case.expectation else ""
    uri = next(iter(one.case.touched), None) or _entry_file(one.case.trace)
    place = {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}
    return {
        "ruleId": _kind(one),
        "level": "error" if one.state is State.FAILED else "warning",
        "message": {"text": f"{one.case.name}: {one.told}{expected}"},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"refineryTrace/v1": one.case.trace.trace_id},
    }


def _kind(one: Checked) -> str:
    """Kind of the first check that did not hold, as the rule."""
    missed = next((r.check for r in one.results if not r.held), "")
    return re.split(r"[@:]", missed)[0] or one.state.value


def _entry_file(trace: Trace) -> str:
    kept = _kept(trace.root)
    entry = kept.get("entry_point") if isinstance(kept, dict) else None
    target = str(entry.get("target") or "") if isinstance(entry, dict) else ""
    return target.partition(":")[0].replace(".", "/") + ".py" if target else "refinery.toml"


def _portable(case: SuiteCase) -> SuiteCase:
    """A case without paths of the machine it was recorded on."""
    root = case.trace.root
    kept = _kept(root)
    entry = kept.get("entry_point") if isinstance(kept, dict) else None
    if root is None or not isinstance(kept, dict) or not isinstance(entry, dict):
        return case
    ours = {**kept, "entry_point": {**entry, "repository": None, "python": None}}
    changed = replace(root, metadata={**(root.metadata or {}), "refinery": ours})
    runs = tuple(changed if run is root else run for run in case.trace.runs)
    return replace(case, trace=replace(case.trace, runs=runs))


def _kept(root: Run | None) -> Json:
    return (root.metadata or {}).get("refinery") if root else None


def _told(case: SuiteCase) -> str:
    """One line of the file's summary."""
    checks = ", ".join(case.checks)
    line = f"- {case.name}: {checks}".replace("\\", "/").replace('"""', "'''")
    return _clean(" ".join(line.split()))[:97]


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
