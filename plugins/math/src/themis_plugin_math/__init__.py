"""Mathematical equivalence of answers."""
