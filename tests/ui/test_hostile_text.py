"""Trace text is hostile: 200 ways to run a script, in every text field, on every viewing page."""

import itertools
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from refinery.model.trace import (
    CodeReference,
    Evaluation,
    Feedback,
    Run,
    RunError,
    RunStatus,
    Usage,
)
from tests.kits.browser import Seen, Served, serving
from tests.kits.traces import run
from tests.ui import sights

pytestmark = pytest.mark.slow

RAN = "window.__ran=(window.__ran||0)+1"
"""What every payload tries to do."""
FOREIGN = "http://payload.example/x"
"""Where every payload that loads something tries to load it from; the kit sees any attempt."""
STEPS = 10


def payloads() -> list[str]:
    """200 different payloads: elements, attributes, contexts to break out of, encodings."""
    elements = [
        f"<script>{RAN}</script>",
        f"<img src=x onerror={RAN}>",
        f"<svg onload={RAN}>",
        f"<svg><script>{RAN}</script></svg>",
        f"<iframe srcdoc='<script>parent.{RAN}</script>'></iframe>",
        f"<iframe src=javascript:{RAN}></iframe>",
        f"<body onpageshow={RAN}>",
        f"<details open ontoggle={RAN}>",
        f"<video><source onerror={RAN}></video>",
        f"<input autofocus onfocus={RAN}>",
        f"<a href=javascript:{RAN} autofocus>click</a>",
        f"<style onload={RAN}></style><style>*{{background:url({FOREIGN})}}</style>",
        f"<link rel=stylesheet href={FOREIGN}>",
        f"<meta http-equiv=refresh content='0;url={FOREIGN}'>",
        f"<object data={FOREIGN}></object><embed src={FOREIGN}>",
        f"<form action={FOREIGN}><button autofocus onfocus={RAN}>x</button></form>",
        f"<math><mtext><table><mglyph><style><img src onerror={RAN}>",
        f"<base href={FOREIGN}><img src={FOREIGN}>",
        f"![picture]({FOREIGN}) [link](javascript:{RAN})",
        f"${{{RAN}}} {{{{{RAN}}}}} <%={RAN}%> #{{{RAN}}}",
    ]
    around: list[Callable[[str], str]] = [
        lambda text: text,
        lambda text: f'">{text}',
        lambda text: f"'>{text}",
        lambda text: f"</script>{text}",
        lambda text: f"</textarea></title></style></noscript>{text}",
        lambda text: f"--!>{text}<!--",
        lambda text: f"]]>{text}",
        lambda text: "\x00" + text.replace("<", "\x00<").replace("on", "oN"),
        lambda text: "&#60;b&#62;" + text.replace("<", "&lt;").replace(">", "&#x3e;"),
        lambda text: "".join(f"\\u{ord(char):04x}" for char in text[:12]) + text,
    ]
    return [wrap(text) for text, wrap in itertools.product(elements, around)]


def test_there_are_200_different_payloads() -> None:
    assert len(set(payloads())) == 200


def hostile_trace() -> list[Run]:
    """Runs whose every text field holds payloads; all 200 are in each kind of field."""
    share = len(payloads()) // STEPS
    parts = [payloads()[at : at + share] for at in range(0, len(payloads()), share)]
    root_id = f"hostile-{payloads()[1]}"
    root = _hostile(root_id, None, parts[0], number=0)
    steps = (
        _hostile(f"{root_id}-{number}-{part[0][:80]}", root_id, part, number=number)
        for number, part in enumerate(parts[1:], 1)
    )
    return [root, *steps]


def _hostile(run_id: str, parent: str | None, texts: list[str], *, number: int) -> Run:
    text = "\n".join(texts)
    each = dict(enumerate(texts))
    kind = ("retriever", "tool")[number % 2]
    said = [
        {"role": role, "content": one, "name": one}
        for role, one in zip(itertools.cycle(("system", "user", "assistant")), texts, strict=False)
    ]
    calls = [{"id": one, "name": one, "args": {one: one}} for one in texts]
    called = {"role": "assistant", "content": text, "tool_calls": calls}
    result = {"role": "tool", "tool_call_id": text, "content": text}
    documents = [
        {"page_content": one, "metadata": {"source": one, "date": "2026-01-02", one: one}}
        for one in texts
    ]
    judged = [
        Evaluation(one, {"title": one}, {one: {"passed": False, "detail": one}}, False, one)
        for one in texts[:20]
    ]
    outputs = {"documents": documents, "messages": [called], "finish_reason": text}
    return run(
        run_id,
        kind,
        parent,
        trace_id=run_id if parent is None else parent,
        at_ms=number,
        name=text[:400],
        native_kind=text[:200],
        status=RunStatus.ERROR,
        error=RunError(text, text, text),
        inputs={"messages": [*said, called, result], "fields": {one: one for one in texts}},
        outputs={**outputs, "texts": texts},
        provider=text,
        model_requested=text,
        model_responded=texts[0],
        params={one: one for one in texts},
        tools=[{"name": one, "description": one} for one in texts],
        usage=Usage(input=1, output=2, total=3),
        cost_source=texts[0],
        reasoning=text,
        evaluations=judged,
        session_id=texts[-1],
        user_id=texts[0],
        tags=list(texts),
        metadata={"texts": each, **{one: one for one in texts}},
        code=CodeReference(text, text, text, 3),
        events=[{"name": one, "attributes": {one: one}} for one in texts],
        links=[{"kind": one} for one in texts],
    )


MADE = (
    "#app :is(script, iframe, img, object, embed, style, link, meta, base, video, math),"
    "#app svg script, body > :not(#app, noscript, div)"
)
"""Elements the pages themselves never make."""
LOOK = f"""() => {{
  const all = [...document.querySelectorAll("#app *")];
  const start = (element) => element.outerHTML.slice(0, 99);
  const goal = (e) => ["href", "src", "action"].map((name) => e.getAttribute(name)).find(Boolean);
  return {{
    ran: window.__ran ?? 0,
    made: [...document.querySelectorAll("{MADE}")].map(start),
    handlers: all.filter((e) => [...e.attributes].some((a) => a.name.startsWith("on"))).map(start),
    links: all.map(goal).filter((to) => to && !/^(\\/ui\\/|\\/refinery\\/v1\\/|#)/.test(to)),
  }};
}}"""
OPEN_ALL = """async () => {
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const closed = "[role=tabpanel] [aria-expanded=false]";
  for (let at = 0; at < document.querySelectorAll("[role=tab]").length; at += 1) {
    document.querySelectorAll("[role=tab]")[at].click();
    await drawn();
    document.querySelectorAll(closed).forEach((e) => e.click());
    document.querySelectorAll("details").forEach((e) => { e.open = true; });
    await drawn();
  }
}"""
DRAW = """async (text) => {
  const { visible } = await import("/ui/static/components/text.js");
  const { html, render } = await import("/ui/static/html.js");
  const place = document.createElement("div");
  render(html`<p>${visible(text)}</p>`, place);
  return place.textContent;
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("hostile") / "project"
    store = sights.store_at(root)
    runs = hostile_trace()
    store.write_runs(runs, source=payloads()[1], project=payloads()[0])
    other = [run("plain", "agent", name=runs[0].name, inputs={"question": "x"})]
    store.write_runs(other, source="sights", project=payloads()[2])
    trace = runs[0].trace_id
    store.write_feedback(
        Feedback(f"f{at}", trace, one, trace, 0.0, one, one, one, "human")
        for at, one in enumerate(payloads())
    )
    store.close()
    with serving(root) as found:
        yield found


def inert(page: Page) -> None:
    """No payload ran, and none became an element."""
    told = page.evaluate(LOOK)
    assert told == {"ran": 0, "made": [], "handlers": [], "links": []}


def settle(page: Page) -> None:
    expect(page.locator("h1").first).to_be_visible()
    expect(page.locator(".loading, [aria-busy=true]")).to_have_count(0)


def test_no_payload_runs_on_the_pages_of_the_whole_trace(
    served: Served, open_page: Callable[..., Seen]
) -> None:
    trace = quote(hostile_trace()[0].trace_id, safe="")
    hostile = quote(payloads()[1], safe="")
    seen = open_page(served, "/ui/")
    shown = payloads()[0]
    for path in (
        "/ui/",
        f"/ui/?q={hostile}&user={hostile}&name={hostile}",
        f"/ui/traces/{trace}",
        f"/ui/compare?left={trace}&right=plain&rows=all",
        f"/ui/compare?left={trace}",
        "/ui/search?q=window&status=error",
        "/ui/performance",
        "/ui/performance?group=project",
    ):
        seen.goto(path)
        settle(seen.page)
        inert(seen.page)
        if path == "/ui/":
            expect(seen.page.locator(".trace-name").first).to_contain_text(shown)
            seen.shoot("hostile-list")

    seen.goto(f"/ui/traces/{trace}")
    seen.page.get_by_label("Search inside this trace").fill("onerror=")
    expect(seen.page.get_by_role("list", name="Hits")).to_be_visible()
    inert(seen.page)


def test_no_payload_runs_in_any_part_of_any_step(
    served: Served, open_page: Callable[..., Seen]
) -> None:
    trace = hostile_trace()[0].trace_id
    seen = open_page(served, f"/ui/traces/{quote(trace, safe='')}/runs/{quote(trace, safe='')}")
    page = seen.page
    tabs_seen: set[str] = set()
    for number in range(STEPS):
        if number:
            page.keyboard.press("j")
            expect(page.get_by_text(f"{number + 1} of {STEPS}", exact=True)).to_be_visible()
        settle(page)
        expect(page.get_by_role("tablist")).to_be_visible()
        tabs = page.get_by_role("tab").all_inner_texts()
        tabs_seen |= {text.split("\n")[0] for text in tabs}
        _look_at_all_parts(page)
        inert(page)
        assert page.get_by_role("main").inner_text().count("window.__ran") > 5
    seen.shoot("hostile-step")

    assert tabs_seen >= {
        *("Evaluations", "Documents", "Conversation", "Input and output"),
        *("Tools offered", "Details", "Raw"),
    }


def _look_at_all_parts(page: Page) -> None:
    """Choose every tab in turn, open every branch and every fold in it."""
    page.evaluate(OPEN_ALL)


def test_hidden_characters_of_a_text_are_shown_as_their_codes(
    served: Served, open_page: Callable[..., Seen]
) -> None:
    seen = open_page(served, "/ui/")
    scientist = "\U0001f469\u200d\U0001f52c"
    text = f"pay \u202eexe.gpj\u202c \u200bnow\x1b[31m e\u0301 {scientist}"

    assert seen.page.evaluate(DRAW, text) == (
        f"pay U+202Eexe.gpjU+202C U+200BnowU+001B[31m e\u0301 {scientist}"
    )


def test_markup_made_of_a_payload_would_be_noticed(
    served: Served, open_page: Callable[..., Seen]
) -> None:
    seen = open_page(served, "/ui/")
    settle(seen.page)
    seen.expect("CSP violation|Content Security Policy|foreign request|ERR_")
    for payload in (f"<img src={FOREIGN} onerror={RAN}>", f"<a href='javascript:{RAN}'>x</a>"):
        seen.page.evaluate(
            "(text) => document.querySelector('h1').insertAdjacentHTML('afterend', text)", payload
        )

        with pytest.raises(AssertionError):
            inert(seen.page)
        seen.page.evaluate("document.querySelector('h1').nextElementSibling.remove()")
