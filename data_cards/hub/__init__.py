"""The way to and from the Hugging Face Hub: tables of embedded videos, cards, push and pull."""
