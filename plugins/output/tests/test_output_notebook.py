from __future__ import annotations

from themis_output import html_table


def test_what_a_cell_holds_is_text() -> None:
    hostile = "</td><script>x</script>\"'&\u202e\n"
    assert html_table(("a<b",), [(hostile,), (None,), (0.12345,)], above="<i>") == (
        "<p>&lt;i&gt;</p><table><thead><tr><th>a&lt;b</th></tr></thead><tbody>"
        "<tr><td>&lt;/td&gt;&lt;script&gt;x&lt;/script&gt;&quot;&#x27;&amp;\\u202e\\n</td></tr>"
        "<tr><td>–</td></tr><tr><td>0.1235</td></tr></tbody></table>"
    )
