"""Tables on a narrow terminal: figures, times and ids are whole, words give way."""

import io

import pytest
from rich.console import Console

from refinery.cli import output

ID = "01a200bc-2dec-78f7-a3c4-4cf7ebf0c85c"


def drawn(
    width: int, columns: tuple[str, ...], *rows: tuple[object, ...], spare: tuple[str, ...] = ()
) -> list[str]:
    file = io.StringIO()
    screen = Console(file=file, width=width, markup=False, emoji=False)
    output.table(screen, columns, rows, spare)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_figures_times_and_ids_are_never_broken(width: int) -> None:
    row = (ID, "12.5 ms", "1.96 (1.94 to 1.97)", "2026-11-22 00:51:02", "95.0%", None)

    lines = drawn(width, ("trace", "p50", "ratio", "start", "success", "user"), row)

    assert len(lines) == 2
    assert all(str(cell) in lines[1] for cell in row if cell)


def test_words_give_way_to_what_must_be_whole() -> None:
    words = "it waits for the model, so ask for less or run calls side by side"

    lines = drawn(80, ("item", "trace", "what to do"), ("7e017f2e", ID, words))

    assert max(map(len, lines)) <= 80
    assert len(lines) > 2
    assert "".join(line[48:] for line in lines[1:]).replace(" ", "") == words.replace(" ", "")
    assert f"7e017f2e  {ID}  it" in "\n".join(lines)


def test_figures_stand_on_the_right_and_nothing_else_does() -> None:
    rows = (("ask", 1, "7 ms", "-", "5e5"), ("find", 189, "1,990.5 ms", "99.9%", "abc"))

    assert drawn(80, ("name", "runs", "p50", "success", "commit"), *rows) == [
        "name  runs         p50  success  commit",
        "ask      1        7 ms        -  5e5",
        "find   189  1,990.5 ms    99.9%  abc",
    ]


def test_a_narrow_terminal_does_without_the_spare_columns_in_their_order() -> None:
    columns, row = ("trace", "runs", "start", "source"), (ID, 5, "2026-11-22 00:51:02", "otlp")

    seen = [
        drawn(width, columns, row, spare=("source", "runs"))[0].split() for width in (80, 66, 58)
    ]

    assert seen == [list(columns), ["trace", "runs", "start"], ["trace", "start"]]


def test_only_the_mark_of_a_line_has_a_colour() -> None:
    line = output.marked("✓ llm answer", "green")

    assert [(span.start, span.end, str(span.style)) for span in line.spans] == [(0, 1, "green")]


def test_a_table_without_rows_has_its_columns() -> None:
    assert drawn(80, ("trace", "start")) == ["trace  start"]


def test_what_is_long_and_one_word_is_folded() -> None:
    lines = drawn(80, ("name", "runs"), ("x" * 200, 5))

    assert max(map(len, lines)) <= 80
    assert sum(line.count("x") for line in lines) == 200
