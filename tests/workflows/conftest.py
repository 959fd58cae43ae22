"""Fixtures of the tests of whole workflows."""

from tests.workflows.shop import server, shop

__all__ = ["server", "shop"]
