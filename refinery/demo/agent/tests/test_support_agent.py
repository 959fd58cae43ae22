from pathlib import Path

from retrieval import DocumentRetriever, read_document

DOCUMENTS = Path(__file__).parent.parent / "documents"


def test_a_document_is_read_with_its_date():
    document = read_document(DOCUMENTS / "refunds.md")

    assert document.metadata["updated"] == "2025-06-12"
    assert "30 days" in document.page_content


def test_the_refund_question_finds_the_refund_document():
    found = DocumentRetriever(folder=DOCUMENTS).invoke("How long do I have to ask for a refund?")

    assert "refunds.md" in [document.metadata["source"] for document in found]
