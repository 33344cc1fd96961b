"""What a command prints and writes: text that is safe for terminals, tables, and files that are whole or not there.

Standard output is the command's own, whatever the code that it calls prints.
"""

from themis_output.files import CannotWrite, atomic_output, whole_folder
from themis_output.notebook import html_line, html_table
from themis_output.printing import (
    CannotPrint,
    as_json,
    cell,
    cut,
    echo,
    excerpt,
    format_option,
    heading,
    leave_stdout,
    number,
    own_path,
    own_stdout,
    printing,
    quoted,
    safe,
    sentences,
    shortened,
    stdout,
    store_options,
)
from themis_output.sharing import crossed, told_once
from themis_output.stderr import lasting_stderr
from themis_output.tables import Figure, aligned, fits, lines, table

__all__ = [
    "CannotPrint",
    "CannotWrite",
    "Figure",
    "aligned",
    "as_json",
    "atomic_output",
    "cell",
    "crossed",
    "cut",
    "echo",
    "excerpt",
    "fits",
    "format_option",
    "heading",
    "html_line",
    "html_table",
    "lasting_stderr",
    "leave_stdout",
    "lines",
    "number",
    "own_path",
    "own_stdout",
    "printing",
    "quoted",
    "safe",
    "sentences",
    "shortened",
    "stdout",
    "store_options",
    "table",
    "told_once",
    "whole_folder",
]
