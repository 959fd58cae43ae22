"""Reader accounts."""

from langchain_core.tools import tool

READERS = {
    "R-100": {"name": "Ada Holm", "fines": {"amount": 3.5}, "loans": 2},
    "R-200": {"name": "Bo Lind", "loans": 0},
    "R-300": {"name": "Cai Berg", "loans": 5},
    "R-400": {"name": "Dag Moe", "fines": {"amount": 12}, "loans": 1},
}


@tool
def reader_fines(reader_id: str) -> str:
    """Unpaid fines of a reader, by reader id."""
    record = READERS[reader_id]
    fines = record["fines"]
    return f"The reader has unpaid fines of {fines['amount']} euros."


@tool
def reader_loans(reader_id: str) -> str:
    """Number of books a reader has on loan, by reader id."""
    return f"The reader has {READERS[reader_id]['loans']} books on loan."
