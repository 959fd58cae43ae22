"""The parts of LangSmith's read API: filters, pages, projects, shares, feedback, statistics."""
