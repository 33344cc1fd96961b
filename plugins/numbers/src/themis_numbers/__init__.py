"""Numbers as people and models write them: one language for those who find numbers and those who compare them.

From below: `tokens`; `cursor`, the place in them; the values of `numerals`, `magnitudes` and `quantities`; the
`grammar` of what stands around them; `prose`, where nothing does; and `reading`, which is what others call. `words` has
multipliers and units.
"""

from themis_numbers.grammar import Found
from themis_numbers.notation import Notation
from themis_numbers.reading import find_numbers, read_number

__all__ = ["Found", "Notation", "find_numbers", "read_number"]
