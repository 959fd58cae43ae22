"""The domain expert's session: from a wrong answer to a proven fix, in plain words."""
