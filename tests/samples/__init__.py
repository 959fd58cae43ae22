"""Small agents that tests copy into repositories of their own."""
