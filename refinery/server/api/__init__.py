"""Our own JSON API under `/refinery/v1`: what the pages and programs ask and order.

`assembly` puts it together · one resource a file · `shapes` how answers look (for OpenAPI) ·
`replies` how they are written. What is answered is made by the same functions as the documents
of the command line (`refinery.workflows`).
"""
