"""The metrics' own exam: who sits it, what is asked, and what came out."""
