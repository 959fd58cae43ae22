"""The local collector: receives traces over HTTP, and answers questions about them.

`app` puts the parts together · `security` decides who may ask · `writer` commits what arrived
before it is acknowledged · `ingest/` one protocol a file · `routes/` what can be read.
"""
