"""Numbers as people and models write them: one language for those who find numbers and those who compare them."""

from themis_numbers.reading import Found, Notation, find_numbers, read_number

__all__ = ["Found", "Notation", "find_numbers", "read_number"]
