"""Declared experiments: variants of a method, their contrasts, and one page that says what they show."""
