import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.retrieval_quality import figures, labelled
from refinery.embedders.hash import HashEmbedder
from refinery.errors import InputError, StoreError
from refinery.knowledge.library import Library, Passage
from tests.kits.timing import soonest


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with Library(tmp_path_factory.mktemp("knowledge"), HashEmbedder()) as library:
        yield library


def test_both_arms_find_the_section_that_answers(shared: Library) -> None:
    best = shared.search("prefer the newest document of one subject", k=3)

    assert best[0].citation == "rag-freshness#Prefer the newest of one subject"
    assert best[0].arm == "both"
    assert [p.score for p in best] == sorted((p.score for p in best), reverse=True)
    assert shared.arms == ("lexical", "vector")
    assert shared.embedder_name == "hash-512"


def test_the_measured_quality_of_fused_search_holds(shared: Library) -> None:
    def rank(query: str) -> list[str]:
        return [passage.citation for passage in shared.search(query, k=10)]

    found = figures(rank, str)

    assert found["recall@5"]["mean"] >= 0.49
    assert found["nDCG@10"]["mean"] >= 0.50


def test_every_labelled_answer_is_a_passage(shared: Library) -> None:
    known = {passage.citation for passage in shared.passages()}

    assert {name for _, wanted in labelled() for name in wanted} <= known


def test_a_text_of_the_user_is_taken_out_again_and_no_guide_is(tmp_path: Path) -> None:
    with Library(tmp_path, HashEmbedder()) as library:
        library.add("# Zebra\n\nstriped quagga", "zoo")
        assert library.search("quagga", 1)[0].guide == "zoo"

        assert library.remove("zoo") == 1
        assert library.remove("zoo") == library.remove("caching") == 0
        assert all(passage.guide != "zoo" for passage in library.search("quagga", 5))


def test_words_alone_need_no_chroma(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from refinery.knowledge.library import Library;"
        f"l = Library(Path({str(tmp_path)!r}), None);"
        "print(l.search('outdated price')[0].guide, l.arms, l.embedder_name);"
        "print('chromadb' in sys.modules)"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "rag-freshness ('lexical',) none\nFalse"


@pytest.mark.parametrize("query", ["", "   ", "the of and", '"', "*", "NEAR(", "a AND", "guide:"])
def test_a_query_without_usable_words_does_no_harm(shared: Library, query: str) -> None:
    assert len(shared.search(query)) <= 5


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(query=st.text(max_size=200), k=st.integers(1, 12))
def test_any_query_gives_at_most_k_passages(shared: Library, query: str, k: int) -> None:
    assert len(shared.search(query, k)) <= k


def test_the_index_is_reused_by_the_next_opening(tmp_path: Path) -> None:
    with Library(tmp_path, HashEmbedder()) as library:
        library.search("loop")
        first = sorted(p.name for p in tmp_path.glob("vectors-*"))
    with Library(tmp_path, HashEmbedder()) as library:
        library.search("loop")
        second = sorted(p.name for p in tmp_path.glob("vectors-*"))

    assert first == second
    assert len(first) == 1


def test_another_embedder_gets_another_index(tmp_path: Path) -> None:
    with Library(tmp_path, HashEmbedder(64)) as library:
        library.search("loop")
        first = {p.name for p in tmp_path.glob("vectors-*")}
    with Library(tmp_path, HashEmbedder(128)) as library:
        found = library.search("loop")
        second = {p.name for p in tmp_path.glob("vectors-*")}

    assert found
    assert first.isdisjoint(second)
    assert len(second) == 1


def test_a_changed_guide_replaces_its_passages(tmp_path: Path) -> None:
    guides = tmp_path / "guides"
    guides.mkdir()
    page = guides / "page.md"
    page.write_text("# Page\n\n## Kettles\n\nBoil water.\n")
    with Library(tmp_path / "k", HashEmbedder(), guides=guides) as library:
        assert library.search("boil")[0].citation == "page#Kettles"
    page.write_text("# Page\n\n## Teapots\n\nPour tea.\n")

    with Library(tmp_path / "k", HashEmbedder(), guides=guides) as library:
        assert [p.citation for p in library.search("boil pour tea")] == ["page#Teapots"]


def test_what_a_user_adds_is_found_and_kept(tmp_path: Path) -> None:
    note = tmp_path / "billing.md"
    note.write_text("# Billing\n\n## Zebra tariff\n\nThe zebra tariff ended in May.\n")
    with Library(tmp_path / "k", HashEmbedder()) as library:
        library.search("anything")
        assert library.add(note) == 1
        assert library.add(note) == 0
        assert library.add("Ask Ms Okapi about refunds over 900.", name="people") == 1
    with Library(tmp_path / "k", HashEmbedder()) as library:
        zebra = library.search("zebra tariff")[0]
        okapi = library.search("okapi")[0]

    assert (zebra.citation, zebra.origin) == ("billing#Zebra tariff", "user")
    assert okapi.citation == "people#people"


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    with Library(tmp_path / "k", None) as library:
        with pytest.raises(InputError, match="cannot be read as text"):
            library.add(tmp_path / "picture.png")
        with pytest.raises(InputError, match="cannot be read as text"):
            library.add(tmp_path / "missing.md")
        with pytest.raises(InputError, match="no text"):
            library.add("  \n ")


@pytest.mark.parametrize("damage", ["truncate", "garbage", "unmarked", "rows"])
def test_a_damaged_vector_index_is_built_again(tmp_path: Path, damage: str) -> None:
    with Library(tmp_path, HashEmbedder()) as library:
        before = [p.citation for p in library.search("retry storm")]
    index = next(tmp_path.glob("vectors-*"))
    if damage == "truncate":
        (index / "chroma.sqlite3").write_bytes(b"")
    elif damage == "garbage":
        (index / "chroma.sqlite3").write_bytes(b"not a database" * 500)
    elif damage == "unmarked":
        (index / "complete").unlink()
    else:
        with sqlite3.connect(index / "chroma.sqlite3") as db:
            db.execute("DELETE FROM embeddings")

    with Library(tmp_path, HashEmbedder()) as library:
        after = [p.citation for p in library.search("retry storm")]

        assert after == before
        assert library.arms == ("lexical", "vector")
        assert "damaged" in library.notes[0]


@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_truth_is_set_aside_and_built_again(tmp_path: Path, whole: bool) -> None:
    with Library(tmp_path, None):
        pass
    path = tmp_path / "knowledge.db"
    kept = b"" if whole else path.read_bytes()[:8_192]
    path.write_bytes(kept + b"not a database" * 20_000)

    with Library(tmp_path, None) as library:
        assert library.search("outdated price")
        assert "damaged" in library.notes[0]
    assert len(list(tmp_path.glob("damaged-*.db"))) == 1


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="cannot be opened"):
        Library(tmp_path / "file" / "knowledge", None)


def test_a_newer_knowledge_base_is_left_alone(tmp_path: Path) -> None:
    with Library(tmp_path, None):
        pass
    with sqlite3.connect(tmp_path / "knowledge.db") as db:
        db.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreError, match="newer"):
        Library(tmp_path, None)


def test_rebuild_makes_a_new_index_of_every_passage(tmp_path: Path) -> None:
    with Library(tmp_path, HashEmbedder()) as library:
        library.search("loop")
        first = next(tmp_path.glob("vectors-*")).name

        count = library.rebuild()

        assert count == len(library.passages())
        assert [p.name for p in tmp_path.glob("vectors-*")] != [first]
        assert library.search("loop")


def test_a_passage_knows_how_it_is_cited() -> None:
    assert Passage("tool-design", "Names", "text").citation == "tool-design#Names"


@pytest.mark.slow
def test_a_second_process_reads_words_only_while_the_first_owns_the_vectors(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from pathlib import Path; from refinery.embedders.hash import HashEmbedder;"
        "from refinery.knowledge.library import Library;"
        f"l = Library(Path({str(tmp_path)!r}), HashEmbedder());"
        "l.search('loop'); print('ready', flush=True); sys.stdin.read(); l.close()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    try:
        assert owner.stdout.readline() == "ready\n"
        with Library(tmp_path, HashEmbedder(), wait_s=0.1) as library:
            assert library.search("loop")
            assert library.arms == ("lexical",)
            with pytest.raises(InputError, match="another process"):
                library.rebuild()
            owner.stdin.close()
            owner.wait(60)
            assert library.search("loop")
            assert library.arms == ("lexical", "vector")
    finally:
        owner.kill()
        owner.wait()


@pytest.mark.slow
def test_two_processes_that_build_at_once_leave_one_good_index(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from refinery.embedders.hash import HashEmbedder;"
        "from refinery.knowledge.library import Library;"
        f"l = Library(Path({str(tmp_path)!r}), HashEmbedder(), wait_s=60);"
        "print(len(l.search('retry storm')), l.arms, l.notes); l.close()"
    )
    command = [sys.executable, "-c", code]
    builders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [builder.communicate(timeout=60)[0].strip() for builder in builders]

    assert said == ["5 ('lexical', 'vector') []"] * 2
    assert len(list(tmp_path.glob("vectors-*"))) == 1


@pytest.mark.slow
def test_the_first_search_is_quick_including_the_import_of_chroma(tmp_path: Path) -> None:
    code = (
        "import time; t = time.monotonic();"
        "from pathlib import Path; from refinery.embedders.hash import HashEmbedder;"
        "from refinery.knowledge.library import Library;"
        f"l = Library(Path({str(tmp_path)!r}), HashEmbedder()); l.search('loop');"
        "print(time.monotonic() - t)"
    )

    def first_s(_: int) -> float:
        command = [sys.executable, "-c", code]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # About 1.7 s on a quiet machine; the bound leaves room for a busy one.
    assert soonest(first_s, 8, 3) < 8
