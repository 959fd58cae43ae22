"""The part of a store that a user's token opens."""

from pathlib import Path

import pytest

from refinery.model.trace import Feedback, Run, Trace
from refinery.ports import Analysing, Indexing, Packing, Tallying
from refinery.server.answers import RequestError
from refinery.server.api.confined import confined
from refinery.server.grants import Grants
from refinery.stores.sqlite import SqliteStore
from tests.kits.traces import run


class Watched(SqliteStore):
    """A store that tells which traces are read whole, and may change one just before."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read: list[str] = []
        self.late: list[Run] = []

    def get_trace(self, trace_id: str) -> Trace | None:
        """As it is, after what comes late was written."""
        self.read.append(trace_id)
        self.write_runs(self.late)
        return super().get_trace(trace_id)


def test_anothers_trace_is_not_even_read(tmp_path: Path) -> None:
    """Reading a large one takes long, which would tell that it is there."""
    store = Watched(tmp_path / "t.db")
    store.write_runs([run("own", user_id="ada"), run("theirs", user_id="bob"), run("nobodys")])
    part = confined(store, Grants(tmp_path).add("ada")[0])

    assert [part.get_trace(one) for one in ("theirs", "nobodys", "nothing")] == [None] * 3
    assert store.read == []
    assert part.get_trace("own") is not None
    store.close()


def test_a_trace_that_becomes_anothers_while_it_is_read_is_not_shown(tmp_path: Path) -> None:
    store = Watched(tmp_path / "t.db")
    store.write_runs([run("own", user_id="ada")])
    part = confined(store, Grants(tmp_path).add("ada")[0])
    store.late = [run("own/1", parent="own", user_id="bob")]

    assert part.get_trace("own") is None
    assert store.read == ["own"]
    store.close()


def test_nothing_is_written_or_counted_through_a_part_of_a_store(tmp_path: Path) -> None:
    store = Watched(tmp_path / "t.db")
    store.write_runs([run("own", user_id="ada"), run("theirs", user_id="bob")])
    reference = store.put_blob(b"bytes", "own")
    part = confined(store, Grants(tmp_path).add("ada")[0])
    said = [Feedback("f", "theirs", "helpful", value=1)]
    for refused in (
        lambda: part.write_runs([run("own")]),
        lambda: part.write_batches([]),
        lambda: part.put_blob(b"x", "own"),
        lambda: part.get_blob(reference),
        lambda: part.delete_traces(["own"]),
        lambda: part.write_feedback(said),
        lambda: part.find_ids("o"),
        part.projects,
        part.stats,
        part.close,
    ):
        with pytest.raises(RequestError) as error:
            refused()
        assert error.value.status == 403
    assert part.get_feedback("theirs") == []
    assert not isinstance(part, Tallying | Analysing | Indexing | Packing)
    assert store.stats()["runs"] == 2
    store.close()
