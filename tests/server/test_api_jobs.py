"""Jobs over the API, on a real agent in a real repository, with a model server on loopback."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from refinery.server.jobs.board import MAX_RUNNING, MAX_WAITING
from refinery.server.jobs.records import Job, Records, State
from tests.kits.repositories import git
from tests.kits.traces import sample
from tests.server.api import Api, api
from tests.workflows.shop import Shop, server, shop

__all__ = ["server", "shop"]
pytestmark = pytest.mark.slow


def processes() -> list[psutil.Process]:
    """Processes of jobs that are alive."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "refinery.server.jobs.child" in child.cmdline():
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def a_process() -> psutil.Process:
    """The process of a job, once there is one."""
    until = time.monotonic() + 60
    while not (found := processes()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found[0]


def head(root: Path) -> str:
    return git(root, "rev-parse", "HEAD").strip()


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Api]:
    """A server with a failed and a passing trace, outside any repository."""
    with api(tmp_path / "state") as running:
        running.store.write_runs(sample("bad", failed="boom").runs)
        running.store.write_runs(sample("good").runs)
        yield running
    assert processes() == []


@pytest.mark.timeout(600)  # whole trials, on machines that do other things too
def test_a_fix_is_edited_approved_rolled_back_and_redone(shop: Shop) -> None:
    before = head(shop.root)
    with api(shop.root / ".refinery") as asked:
        job_id = asked.order("fix", shop.failing, repeats=4, max_runs=40)
        events = []
        for name, data in asked.events(job_id):
            events.append((name, data))
            if name == "state" and data["state"] == "awaiting_approval":
                break
        job = asked.get(f"/jobs/{job_id}")

        proposed = job["approval"]
        assert proposed["verdict"] == "fixed"
        assert proposed["held_items"] == []
        assert proposed["needs_held"] is False
        assert "sorted(" in proposed["diff"]
        assert job["result"]["session_id"] == job["session_id"]
        assert events[0][0] == "state"
        assert any("replaying" in data["text"] for name, data in events if name == "progress")
        assert asked.get(f"/traces/{shop.failing}")["findings"][0]["cause_run_id"]

        asked.post(f"/jobs/{job_id}/approve", {"digest": "0" * 64}, 409)
        for wrong, code in (
            ("no diff at all", "input"),
            (_with_a_key(proposed["diff"]), "refused"),
        ):
            asked.post(f"/jobs/{job_id}/edit", {"diff": wrong}, 202)
            job = asked.ended(job_id)
            assert (job["state"], job["error"]["code"]) == ("awaiting_approval", code)
            assert job["approval"] == proposed
        assert head(shop.root) == before

        edited = _with_a_comment(proposed["diff"])
        asked.post(f"/jobs/{job_id}/edit", {"diff": edited}, 202)
        job = asked.ended(job_id)
        assert job["result"]["edited"]["is_proven"], job["progress"]
        assert job["approval"]["change"]["engine"] == "person"
        assert job["approval"]["digest"] != proposed["digest"]
        asked.post(f"/jobs/{job_id}/approve", {"digest": proposed["digest"]}, 409)
        assert head(shop.root) == before

        answer = {"digest": job["approval"]["digest"], "held": job["approval"]["needs_held"]}
        asked.post(f"/jobs/{job_id}/approve", answer, 202)
        done = asked.ended(job_id)
        assert done["state"] == "done", done["error"]
        assert done["result"]["change"]["commit"] == head(shop.root)

        _rolls_back_and_redoes(asked, shop.root, before, job["approval"]["diff"])


def _rolls_back_and_redoes(asked: Api, root: Path, before: str, diff: str) -> None:
    (change,) = asked.get("/changes")["changes"]
    name = change["id"]
    assert asked.get(f"/changes/{name}")["diff"] == diff

    planned = asked.post(f"/changes/{name}/rollback", {"dry_run": True})
    assert (planned["dry_run"], planned["change"]["state"]) == (True, "applied")
    assert asked.get("/changes")["changes"][0]["state"] == "applied"
    asked.post(f"/changes/{name}/rollback")
    assert git(root, "diff", "--stat", before, "HEAD") == ""
    asked.post(f"/changes/{name}/rollback", status=404)
    asked.post(f"/changes/{name}/redo")
    assert git(root, "diff", "--stat", before, "HEAD") != ""
    asked.post(f"/changes/{name}/redo", status=404)

    verifying = asked.post(f"/changes/{name}/verify", status=202)["job_id"]
    assert asked.get(f"/jobs/{verifying}")["kind"] == "verify"
    asked.post(f"/jobs/{verifying}/cancel")


def _added(diff: str, line: str) -> str:
    """The diff with one more line added behind its first added line."""
    lines = diff.splitlines(keepends=True)
    place = next(i for i, text in enumerate(lines) if text.startswith("+") and i > 1)
    indent = lines[place][1 : len(lines[place]) - len(lines[place][1:].lstrip())]
    lines.insert(place, f"+{indent}{line}\n")
    hunk = next(i for i, text in enumerate(lines) if text.startswith("@@"))
    start, _, rest = lines[hunk].partition("+")
    place_of, _, tail = rest.partition(" ")
    first, _, count = place_of.partition(",")
    lines[hunk] = f"{start}+{first},{int(count or 1) + 1} {tail}"
    return "".join(lines)


def _with_a_comment(diff: str) -> str:
    return _added(diff, "# The newest note counts.")


def _with_a_key(diff: str) -> str:
    return _added(diff, 'key = "AKIA' + "QWERTYUIOPASDFGH" + '"')


@pytest.mark.timeout(600)  # whole trials, on machines that do other things too
def test_a_rejected_fix_ends_without_a_change(shop: Shop) -> None:
    before = head(shop.root)
    with api(shop.root / ".refinery") as asked:
        job_id = asked.order("fix", shop.failing, repeats=4, max_runs=40)
        assert asked.ended(job_id)["state"] == "awaiting_approval"

    with api(shop.root / ".refinery") as asked:  # it waits for longer than a server runs
        job = asked.get(f"/jobs/{job_id}")
        assert job["state"] == "awaiting_approval"
        assert job["approval"]["digest"]
        asked.post(f"/jobs/{job_id}/reject", {"reason": "not like this"}, 202)
        job = asked.ended(job_id)
        assert (job["state"], job["reason"]) == ("done", "not like this")
        assert job["result"]["change"] is None
        asked.post(f"/jobs/{job_id}/approve", {"digest": "x"}, 409)
    assert head(shop.root) == before


def test_replays_and_counterfactuals_give_the_commands_documents(shop: Shop) -> None:
    with api(shop.root / ".refinery") as asked:
        replay = asked.ended(asked.order("replay", shop.failing))
        assert replay["state"] == "done", replay["error"]
        assert replay["result"]["same"] is True

        varied = asked.order("what_if", shop.failing, models=["small-2"], temperatures=[0, 1])
        job = asked.ended(varied)
        assert job["state"] == "done", job["error"]
        labels = [one["label"] for one in job["result"]["variations"]]
        assert labels == ["model small-2, temperature 0", "model small-2, temperature 1"]
        made = job["result"]["variations"][0]["trace_id"]
        assert asked.get("/diff", left=shop.failing, right=made)["rows"]


def test_a_diagnosis_leaves_its_findings_on_the_trace(asked: Api) -> None:
    job_id = asked.order("diagnose", "bad", failed=True)
    job = asked.ended(job_id)

    assert job["state"] == "done", job["error"]
    assert job["result"]["findings"]
    assert asked.get("/traces/bad")["findings"] == job["result"]["findings"]
    assert asked.get("/traces/good")["findings"] == []
    assert list(asked.events(job_id))[-1] == (
        "state",
        {"job_id": job_id, "state": "done", "error": None},
    )
    (line,) = asked.get("/jobs")["jobs"]
    assert (line["job_id"], line["result"]) == (job_id, None)


def test_a_job_that_fails_says_why(asked: Api) -> None:
    job = asked.ended(asked.order("replay", "bad"))

    assert job["state"] == "failed"
    assert job["error"]["code"] == "input"
    assert job["error"]["message"]
    assert job["result"] is None


WRONG_ORDERS: list[tuple[dict[str, object], int]] = [
    ({"kind": "diagnose", "trace_id": "none", "options": {}}, 404),
    ({"kind": "dance", "trace_id": "bad", "options": {}}, 422),
    ({"kind": "fix", "trace_id": "bad", "options": {"unsandboxed": True}}, 400),
    ({"kind": "fix", "trace_id": "bad", "options": {"max_runs": 1}}, 400),
    ({"kind": "replay", "trace_id": "bad", "options": {"models": ["x"]}}, 400),
    ({"kind": "what_if", "trace_id": "bad", "options": {"base_url": "http://x"}}, 400),
    ({"kind": "what_if", "trace_id": "bad", "options": {"temperatures": [-1]}}, 400),
    ({"kind": "decide", "trace_id": "bad", "options": {"session_id": "x"}}, 422),
]


def test_an_order_that_cannot_be_taken_starts_nothing(asked: Api) -> None:
    for body, status in WRONG_ORDERS:
        assert asked.status("POST", "/jobs", json=body) == status, body
    assert asked.get("/jobs")["jobs"] == []


def test_more_than_the_limit_is_told_to_come_again(asked: Api) -> None:
    taken = [asked.order("diagnose", "bad") for _ in range(MAX_RUNNING + MAX_WAITING)]
    body = {"kind": "diagnose", "trace_id": "bad", "options": {}}
    refused = asked.client.post("/jobs", json=body)
    states = [asked.get(f"/jobs/{job_id}")["state"] for job_id in taken]

    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "busy"
    assert states.count("queued") == MAX_WAITING
    for job_id in reversed(taken):
        assert asked.post(f"/jobs/{job_id}/cancel")["state"] == "cancelled"


def test_a_cancelled_job_leaves_no_process(asked: Api) -> None:
    job_id = asked.order("diagnose", "bad")
    process = a_process()

    asked.post(f"/jobs/{job_id}/cancel")

    assert not process.is_running()
    assert asked.get(f"/jobs/{job_id}")["state"] == "cancelled"
    assert asked.post(f"/jobs/{job_id}/cancel")["state"] == "cancelled"
    asked.post(f"/jobs/{job_id}/approve", {"digest": "x"}, 409)


def test_a_process_that_dies_fails_its_job_alone(asked: Api) -> None:
    job_id = asked.order("diagnose", "bad")
    a_process().send_signal(signal.SIGKILL)
    job = asked.ended(job_id)

    assert (job["state"], job["error"]["code"]) == ("failed", "crashed")
    assert "signal 9" in job["error"]["message"]
    assert asked.ended(asked.order("diagnose", "bad"))["state"] == "done"


def test_a_server_that_ends_leaves_jobs_failed_and_nothing_half_written(tmp_path: Path) -> None:
    with api(tmp_path) as asked:
        asked.store.write_runs(sample("bad", failed="boom").runs)
        taken = [asked.order("diagnose", "bad") for _ in range(4)]
        a_process()
    assert processes() == []

    with api(tmp_path) as asked:
        jobs = {job["job_id"]: job for job in asked.get("/jobs")["jobs"]}
        assert list(jobs) == taken[::-1]
        for job in jobs.values():
            assert job["state"] in ("done", "failed")
            assert job["state"] == "done" or job["error"]["code"] == "interrupted"
    kept = list((tmp_path / "jobs").iterdir())
    assert not [file for file in kept if file.suffix == ".new"]
    for file in kept:
        assert file.stat().st_mode & 0o077 == 0, file


def test_what_a_killed_server_left_is_not_taken_for_work_in_progress(tmp_path: Path) -> None:
    records = Records(tmp_path / "jobs")
    left = Job("job-00000001", "fix", "bad", {}, State.RUNNING, session_id="session-1")
    records.write(left, {})
    (tmp_path / "jobs" / "job-00000002.json").write_text('{"job_id": "job-000')
    (tmp_path / "jobs" / "job-00000003.json").write_text('{"job_id": "job-00000003", "state": 7}')

    with api(tmp_path) as asked:
        (job,) = asked.get("/jobs")["jobs"]
        assert (job["state"], job["error"]["code"]) == ("failed", "interrupted")
        assert job["session_id"] == "session-1"
        assert "resume" in job["error"]["hint"]


def test_jobs_of_a_second_server_are_left_alone(tmp_path: Path) -> None:
    with api(tmp_path) as first:
        first.store.write_runs(sample("bad", failed="boom").runs)
        job_id = first.order("diagnose", "bad")
        with api(tmp_path) as second:
            assert second.get("/jobs")["jobs"] == []
            assert second.status("GET", f"/jobs/{job_id}") == 404
        assert first.ended(job_id)["state"] == "done"
