"""What Refinery knows about building agents: guides, what the user adds, and how to search them.

`library.Library(folder, embedder)` searches. SQLite (`truth.py`) holds the passages and the
lexical index and is the truth; Chroma (`chroma.py`) holds vectors that can be rebuilt from it at
any time. `passages.py` cuts markdown into passages. Guides are `guides/*.md`: one `#` title, then
`##` sections that each stand alone, because a section is what a search returns and what a
hypothesis cites as `guide-name#heading`. Adding a guide is adding one file.
"""
