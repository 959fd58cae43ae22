"""SQL over a store: what is answered, and what is refused."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refinery.errors import BudgetError, InputError, RefusedError, StoreError
from refinery.model.trace import Run
from refinery.performance.sql import Reader, open_reader
from refinery.ports import Store
from refinery.stores import hybrid, sqlite
from refinery.workflows import perf
from tests.kits.traces import llm, run, sample


@pytest.fixture(scope="module", params=["sqlite", "hybrid"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    if request.param == "sqlite":
        opened: Store = sqlite.open_store(str(folder / "traces.db"))
    else:
        opened = hybrid.open_store(f"hybrid://{folder}/traces?auto_sync=off&durability=process")
    opened.write_runs(sample("a", failed="no stock").runs, source="otlp", project="Zürich 検索")
    opened.write_runs([run("b", name='it\'s 100% "quoted" _ *')])
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    store = sqlite.open_store(str(tmp_path_factory.mktemp("reader") / "traces.db"))
    store.write_runs(sample("a").runs)
    with open_reader(store.analytics()) as opened:  # type: ignore[attr-defined]  # SQLite has it
        yield opened
    store.close()


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM runs", [(5,)]),
        (
            "select name from runs where name = 'it''s 100% \"quoted\" _ *'",
            [('it\'s 100% "quoted" _ *',)],
        ),
        ("SELECT DISTINCT project FROM runs WHERE project = 'Zürich 検索'", [("Zürich 検索",)]),
        ("SELECT sum(total_tokens) FROM model_calls;", [(30,)]),
        ("WITH x AS (SELECT 1 AS a) SELECT a FROM x", [(1,)]),
        ("FROM traces SELECT count(*)", [(2,)]),
        ("SELECT inputs->>'$.question' FROM runs WHERE run_id = 'a'", [("price?",)]),
        ("-- a comment\nSELECT 1 /* ; DROP TABLE runs */", [(1,)]),
    ],
)
def test_questions_are_answered(store: Store, sql: str, rows: list[tuple[object, ...]]) -> None:
    assert list(perf.ask(store, sql).rows) == rows


def test_times_with_a_zone_are_answered_as_texts(reader: Reader) -> None:
    epoch = reader.ask("SELECT to_timestamp(0)::VARCHAR").rows[0][0]

    several = reader.ask("SELECT 7 AS a, to_timestamp(0) AS a, [to_timestamp(0)] AS b; -- once; ")
    ordered = reader.ask("SELECT to_timestamp(range), range FROM range(3) ORDER BY 2 DESC -- so")
    cut = reader.ask("FROM range(9) SELECT now()", max_rows=2)

    assert epoch.startswith(("1970-01-01", "1969-12-31"))
    assert several.columns == ("a", "a", "b")
    assert several.rows == ((7, epoch, f"['{epoch}']"),)
    assert [row[1] for row in ordered.rows] == [2, 1, 0]
    assert (len(cut.rows), cut.is_cut) == (2, True)


def test_a_text_that_is_no_unicode_is_a_value(reader: Reader) -> None:
    assert reader.ask("SELECT '\udcff'").rows == (("?",),)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE runs",
        "DELETE FROM runs",
        "UPDATE runs SET name = 'x'",
        "INSERT INTO runs SELECT * FROM runs",
        "CREATE TABLE x (a INTEGER)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "ATTACH '{folder}/other.db'",
        "ATTACH '{folder}/other.db' AS o (TYPE sqlite)",
        "DETACH traces",
        "USE memory",
        "COPY runs TO '{folder}/out.csv'",
        "COPY (SELECT 1) TO '{folder}/out.parquet' (FORMAT parquet)",
        "COPY runs FROM '{folder}/secret.csv'",
        "EXPORT DATABASE '{folder}/out'",
        "IMPORT DATABASE '{folder}/out'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA enable_profiling",
        "PRAGMA database_list",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "RESET enable_external_access",
        "CALL pragma_version()",
        "CHECKPOINT",
        "VACUUM",
        "BEGIN",
        "SELECT 1; DROP TABLE runs",
        "SELECT 1; SELECT 2",
        "PREPARE x AS SELECT 1",
        "EXECUTE x",
        "EXPLAIN ANALYZE COPY runs TO '{folder}/out.csv'",
        "EXPLAIN ANALYZE DELETE FROM runs",
        "SELECT * FROM read_csv('{folder}/secret.csv')",
        "SELECT * FROM '{folder}/secret.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT * FROM sqlite_scan('{folder}/traces.db', 'runs')",
        "WITH x AS (DELETE FROM runs RETURNING *) SELECT * FROM x",
        "SELECT * FROM query('DROP TABLE runs')",
        "SELECT nextval('s')",
    ],
)
def test_whatever_writes_or_reaches_elsewhere_is_refused(
    reader: Reader, sql: str, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "secret.csv").write_text("a,b\n1,2\n")

    with pytest.raises((RefusedError, InputError)):
        reader.ask(sql.replace("{folder}", str(folder)))

    assert [file.name for file in folder.iterdir()] == ["secret.csv"]
    assert reader.ask("SELECT count(*) FROM runs").rows == ((4,),)


def test_variables_of_python_are_no_tables(reader: Reader) -> None:
    import pyarrow

    hidden = pyarrow.table({"secret": [1]})

    with pytest.raises(InputError):
        reader.ask("SELECT * FROM hidden")
    assert hidden.num_rows == 1


@pytest.mark.parametrize(
    "sql", ["", "   ", "SELEC 1", "SELECT nothing FROM runs", "\x00", "é", ";;"]
)
def test_what_is_no_sql_is_an_error_of_input(reader: Reader, sql: str) -> None:
    with pytest.raises(InputError):
        reader.ask(sql)


def test_a_question_without_end_is_stopped(reader: Reader) -> None:
    endless = (
        "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE a.range % 7 = b.range"
    )

    with pytest.raises(BudgetError, match="longer than"):
        reader.ask(endless, timeout_s=0.2)


def test_a_long_answer_is_cut_and_says_so(reader: Reader) -> None:
    found = reader.ask("SELECT * FROM range(100)", max_rows=10)

    assert (len(found.rows), found.is_cut) == (10, True)


def test_what_changed_since_is_seen(tmp_path: Path) -> None:
    store = sqlite.open_store(str(tmp_path / "traces.db"))
    counting = "SELECT count(*), count(DISTINCT project), count_if(outputs IS NOT NULL) FROM runs"
    store.write_runs(sample("a").runs)
    first = perf.ask(store, counting).rows
    store.write_runs([run("a", outputs="more")], project="shop")
    store.write_runs(sample("b").runs)
    second = perf.ask(store, counting).rows
    store.delete_traces(["a"])
    third = perf.ask(store, counting).rows
    store.close()

    assert (first, second, third) == (((4, 0, 3),), ((8, 1, 7),), ((4, 0, 3),))


def test_a_trace_deleted_and_written_anew_is_copied_anew(tmp_path: Path) -> None:
    store = sqlite.open_store(str(tmp_path / "traces.db"))
    store.write_runs([run("a", inputs={"model": "one"})])
    perf.ask(store, "SELECT 1")
    store.delete_traces(["a"])
    store.write_runs([run("a", inputs={"model": "three"})])

    assert perf.ask(store, "SELECT inputs FROM runs").rows == (('{"model":"three"}',),)
    store.close()


def test_a_damaged_copy_is_filled_anew(tmp_path: Path) -> None:
    store = sqlite.open_store(str(tmp_path / "traces.db"))
    store.write_runs([run("a")])
    perf.ask(store, "SELECT 1")
    (tmp_path / "traces.duckdb").write_bytes(b"no database at all" * 1000)

    assert perf.ask(store, "SELECT count(*) FROM runs").rows == ((1,),)
    store.close()


def test_values_of_any_size_are_copied(tmp_path: Path) -> None:
    store = sqlite.open_store(str(tmp_path / "traces.db"))
    odd = Run("t", "t", name="\ud800 x", start_ns=10**30, inputs={"n": 10**400, "x": float("nan")})
    store.write_runs([odd, llm("t/1", "t", "q" * 50_000, "a")])

    found = perf.ask(store, "SELECT name, start_ns, length(inputs) FROM runs ORDER BY number").rows

    assert found == (("? x", None, 417), ("t/1", 1780000000000000000, 8_000))
    store.close()


@pytest.mark.slow
def test_a_copy_in_use_by_another_program_is_said(tmp_path: Path) -> None:
    store = sqlite.open_store(str(tmp_path / "traces.db"))
    store.write_runs([run("a")])
    path = store.analytics()  # type: ignore[attr-defined]  # a SQLite store has it
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    store.write_runs([run("b")])

    with pytest.raises(StoreError, match="in use"):
        perf.ask(store, "SELECT 1")

    other.communicate(b"\n")
    assert perf.ask(store, "SELECT count(*) FROM runs").rows == ((2,),)
    store.close()
