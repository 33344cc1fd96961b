"""Reading documents: plain data, the line of everything in it, and errors that say what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from themis_documents import DocumentError, Kind, Source, parse_source, read_source
from themis_documents.toml_and_json import Positions

BENCHMARK_YAML = """\
project:                                     # optional
  project_name: maths
  global_seed: 7
  storage: {backend: sqlite, root_dir: .themis}
  plugins: {mine: ./my_metrics.py}
benchmark:
  benchmark_id: gsm8k
  models:
    - model_id: small-1
      provider: openai/chat
      extras: {base_url: "http://127.0.0.1:8000/v1", api_key_env: OPENAI_API_KEY}
  prompt_variants:
    - id: cot
      messages:
        - {role: system, content: You are careful with numbers.}
        - role: user
          content: |
            {{ item.question }}
            [not.a.table] # nor a comment: "quoted"
            End with a line 'A: <number>'.
  inference_grid:
    params: [{max_tokens: 512}]
    overrides: {temperature: [0.0, 0.7]}
  slices:
    - slice_id: test
      dataset: {source: files/jsonl, dataset_id: data/test.jsonl, fields: {id: id, reference: gold}}
      dataset_query: {kind: stratified, count: 200, strata_field: topic}
      generation: {}
      parses:
        - name: number
          extractors:
            - {id: extract/regex, config: {pattern: '(?m)^A: (-?[0-9.,]+)'}}
            - extract/last_number
      scores:
        - {name: accuracy, parse: number, metrics: [text/numeric_match]}
        - name: graded
          metrics:
            - id: judge/correctness
              judge: {model: {model_id: judge-1, provider: openai/chat}, params: {temperature: 0.0}}
"""

BENCHMARK_TOML = '''\
[project] # optional
project_name = "maths"
global_seed = 7
storage = { backend = "sqlite", root_dir = ".themis" }
plugins.mine = "./my_metrics.py"

[benchmark]
benchmark_id = "gsm8k"

[[benchmark.models]]
model_id = "small-1"
provider = "openai/chat"
"extras".base_url = "http://127.0.0.1:8000/v1"
extras.api_key_env = 'OPENAI_API_KEY'

[[benchmark.prompt_variants]]
id = "cot"

[[benchmark.prompt_variants.messages]]
role = "system"
content = "You are careful with numbers."

[[benchmark.prompt_variants.messages]]
role = "user"
content = """
{{ item.question }}
[not.a.table] # nor a comment: "quoted"
End with a line 'A: <number>'.
"""

[benchmark.inference_grid]
params = [
    { max_tokens = 512 }, # one, [for now]
]
overrides = { temperature = [
    0.0,
    0.7,
] }

[[benchmark.slices]]
slice_id = "test"
dataset_query = { kind = "stratified", count = 200, strata_field = "topic" }
generation = {}

[benchmark.slices.dataset]
source = "files/jsonl"
dataset_id = "data/test.jsonl"
fields = { id = "id", reference = "gold" }

[[benchmark.slices.parses]]
name = "number"
extractors = [
    { id = "extract/regex", config = { pattern = \'(?m)^A: (-?[0-9.,]+)\' } },
    "extract/last_number",
]

[[benchmark.slices.scores]]
name = "accuracy"
parse = "number"
metrics = ["text/numeric_match"]

[[benchmark.slices.scores]]
name = "graded"

[[benchmark.slices.scores.metrics]]
id = "judge/correctness"

[benchmark.slices.scores.metrics.judge]
model = { model_id = "judge-1", provider = "openai/chat" }
params.temperature = 0.0
'''

BENCHMARK_JSON = json.dumps(parse_source(BENCHMARK_YAML, "yaml", "gsm8k.yaml").data, indent=2)


def everywhere(part: str, before: int) -> dict[Kind, tuple[str, int]]:
    return {"yaml": (part, before), "toml": (part, before), "json": (part, before)}


SLICE = ("benchmark", "slices", 0)

# Where something is: a text that occurs in its line, and how many lines with that text come before.
PLACES: list[tuple[tuple[str | int, ...], dict[Kind, tuple[str, int]]]] = [
    (("project", "global_seed"), everywhere("global_seed", 0)),
    (("project", "storage", "root_dir"), everywhere("root_dir", 0)),
    (("project", "plugins", "mine"), everywhere("my_metrics", 0)),
    (("benchmark",), {"yaml": ("benchmark:", 0), "toml": ("[benchmark]", 0), "json": ('"benchmark"', 0)}),
    (("benchmark", "models", 0), {"yaml": ("small-1", 0), "toml": ("[[benchmark.models]]", 0)}),
    (("benchmark", "models", 0, "extras", "api_key_env"), everywhere("api_key", 0)),
    (
        ("benchmark", "prompt_variants", 0, "messages", 1, "content"),
        {"yaml": ("content: |", 0), "toml": ('content = """', 0), "json": ('"content"', 1)},
    ),
    (
        ("benchmark", "inference_grid", "overrides", "temperature", 1),
        {"yaml": ("temperature", 0), "toml": ("    0.7", 0), "json": (" 0.7", 0)},
    ),
    ((*SLICE, "dataset", "fields", "reference"), everywhere("gold", 0)),
    ((*SLICE, "generation"), everywhere("generation", 0)),
    (
        (*SLICE, "parses", 0, "extractors", 0, "config", "pattern"),
        everywhere("(?m)^A", 0),
    ),
    ((*SLICE, "parses", 0, "extractors", 1), everywhere("last_number", 0)),
    ((*SLICE, "scores", 0, "metrics", 0), everywhere("numeric_match", 0)),
    ((*SLICE, "scores", 1, "name"), everywhere("graded", 0)),
    (
        (*SLICE, "scores", 1, "metrics", 0, "judge", "params", "temperature"),
        {"yaml": ("judge:", 0), "toml": ("params.temperature", 0), "json": ('"temperature": 0.0', 0)},
    ),
]


@pytest.mark.parametrize(
    ("kind", "text"), [("yaml", BENCHMARK_YAML), ("toml", BENCHMARK_TOML), ("json", BENCHMARK_JSON)]
)
def test_a_benchmark_gives_the_same_data_and_true_lines_in_every_format(kind: Kind, text: str) -> None:
    source = parse_source(text, kind, "gsm8k")
    assert source.data == json.loads(BENCHMARK_JSON)
    assert set(source.lines) == set(locs(source.data))
    for loc, places in PLACES:
        if kind in places:
            part, before = places[kind]
            assert source.line(loc) == lines_with(part, text)[before], loc


def test_the_line_of_something_unknown_is_that_of_what_is_around_it() -> None:
    source = parse_source("a:\n  - b: 1\n", "yaml", "x.yaml")
    assert source.line(["a", 0, "b", "no", "such"]) == 2
    assert source.line(["a", 7]) == 1
    assert source.line(["z"]) is None
    assert source.line([]) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("NULL", None),
        ("true", True), ("False", False), ("yes", "yes"), ("no", "no"), ("on", "on"), ("y", "y"),
        ("5", 5), ("-5", -5), ("+5", 5), ("010", 10), ("0x1F", 31), ("0o17", 15),
        ("1_000", "1_000"), ("0b1", "0b1"), ("-0x1F", "-0x1F"),
        ("1.5", 1.5), ("1e-3", 0.001), ("1E3", 1000.0), (".5", 0.5), ("5.", 5.0), (".", "."), ("-.5", -0.5),
        ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"), ("=", "="), ("nan", "nan"), ("inf", "inf"),
        ("'5'", "5"), ('"true"', "true"), ('".nan"', ".nan"),
        ("!!str 5", "5"), ("!!str", ""), ("!!int '5'", 5), ("!!float 5", 5.0), ("!!null ''", None),
        ("!!bool 'true'", True), ("!!seq [1]", [1]), ("!!map {a: 1}", {"a": 1}),
        ("[a, [b, {c: d}]]", ["a", ["b", {"c": "d"}]]), ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
    ],
)  # fmt: skip
def test_yaml_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    data = parse_source(f"x: {text}", "yaml", "x.yaml").data
    assert data == {"x": value}
    assert isinstance(data["x"], type(value))
    assert isinstance(data["x"], bool) == isinstance(value, bool)


def test_yaml_keys_are_their_source_text() -> None:
    text = "1: a\n1.50: b\nnull: c\nno: d\n'q': e\n2024-01-01: f\n!!str g: g\n"
    data = parse_source(text, "yaml", "x.yaml").data
    assert data == {"1": "a", "1.50": "b", "null": "c", "no": "d", "q": "e", "2024-01-01": "f", "g": "g"}


def test_yaml_anchors_and_merges_point_to_where_the_value_is_written() -> None:
    text = (
        "base: &base\n  a: 1\n  b: 2\nother: &other {b: 3, c: 4}\n"  # 1 to 4
        "x:\n  <<: [*base, *other]\n  a: 5\n"  # 5 to 7
        "y: *base\n"
    )
    source = parse_source(text, "yaml", "x.yaml")
    assert source.data["x"] == {"a": 5, "b": 2, "c": 4}
    assert source.data["y"] == {"a": 1, "b": 2}
    wanted = {("x",): 5, ("x", "a"): 7, ("x", "b"): 3, ("x", "c"): 4, ("y",): 8, ("y", "b"): 3}
    assert {loc: source.lines[loc] for loc in wanted} == wanted


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert parse_source("'<<': 1", "yaml", "x.yaml").data == {"<<": 1}
    assert parse_source('{"<<": 1}', "json", "x.json").data == {"<<": 1}


BOMB = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{i + 1}: &a{i + 1} {{<<: [*a{i}, *a{i}]}}\n" for i in range(40))
DEEP = 100_000
ALIAS_CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(300))


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        # numbers that no digest takes
        ("yaml", "a:\n  b: .inf\n", "x:2: .inf is not a finite number"),
        ("yaml", "a: [1,\n  .NaN]\n", "x:2: .NaN is not a finite number"),
        ("yaml", "a:\n  b: 1e999\n", "x:2: 1e999 is not a finite number"),
        ("yaml", "a: !!float 1" + "0" * 400, "is not a finite number"),
        ("toml", "[a]\nb = [1,\n -inf]\n", "x:3: -inf is not a finite number"),
        ("toml", "a = 1\nb.c = nan\n", "x:2: nan is not a finite number"),
        ("json", '{"a":\n {"b": NaN}}', "x:2: nan is not a finite number"),
        ("json", '{"a": [0,\n -Infinity]}', "x:2: -inf is not a finite number"),
        ("json", '{"a":\n 1e999}', "x:1: inf is not a finite number"),
        ("yaml", "\na: " + "1" * 5000, "x:2: a number has too many digits"),
        ("toml", "a = " + "1" * 5000, "x: a number has too many digits"),
        ("json", '{"a": ' + "1" * 5000 + "}", "x: a number has too many digits"),
        # keys
        ("yaml", "a: 1\nb: 2\n\na: 3\n", "x:4: the key 'a' is there twice, in lines 1 and 4"),
        ("yaml", "x:\n  1: a\n  '1': b\n", "x:3: the key '1' is there twice, in lines 2 and 3"),
        ("json", '{"a": 1,\n "b": {"c": 1,\n "c": 2}}', "x:3: the key 'c' is there twice, in lines 2 and 3"),
        ("json", '{"a": 1,\n "\\u0061": {"a": 1}}', "x:2: the key 'a' is there twice, in lines 1 and 2"),
        ("toml", "a = 1\na = 2\n", "x:2: "),
        ("yaml", "a:\n  ? [b]\n  : c\n", "x:2: a sequence is no key"),
        ("yaml", "a:\n  b: {{ item.question }}\n", "x:2: a mapping is no key: quote text that starts"),
        # tags
        ("yaml", "a:\n  b: !!python/object/apply:os.system ['x']\n", "x:2: the tag !!python/object/apply:os"),
        ("yaml", "a: !foo b\n", "x:1: the tag !foo is not allowed here: quote text that starts with '!'"),
        ("yaml", "!foo a: b\n", "x:1: the tag !foo is not allowed here"),
        ("yaml", "a: !!timestamp 2024-01-01\n", "x:1: the tag !!timestamp is not allowed here"),
        ("yaml", "a: !!set {b}\n", "x:1: the tag !!set is not allowed here"),
        ("yaml", "a: !!map [b]\n", "x:1: the tag !!map is not allowed here"),
        ("yaml", "a: !!int b\n", "x:1: 'b' is no int"),
        # aliases
        ("yaml", "a: &a\n  b: *a\n", "x:1: this anchor contains an alias of itself"),
        ("yaml", "a: &a\n  <<: *a\n", "x:1: this anchor contains an alias of itself"),
        ("yaml", "a: 1\nb: *c\n", "x:2: "),
        ("yaml", "a:\n  <<: 5\n", "x:2: '<<' merges a mapping or a list of mappings"),
        ("yaml", BOMB, "more than 100,000 values, aliases expanded: keep data in a dataset file"),
        ("yaml", MERGE_BOMB, "more than 100,000 values, aliases expanded"),
        # depth
        ("yaml", "a:\n " + "[" * DEEP, "x:2: nested more than 200 levels deep"),
        ("yaml", "a:\n " + "- " * DEEP, "x:2: nested more than 200 levels deep"),
        ("yaml", ALIAS_CHAIN, "nested more than 200 levels deep"),
        ("toml", "a = " + "[" * DEEP + "]" * DEEP, "x: nested more than 200 levels deep"),
        ("toml", "a" + ".a" * 300 + " = 1", "x:1: nested more than 200 levels deep"),
        ("json", '{"a": ' + "[" * DEEP + "]" * DEEP + "}", "x: nested more than 200 levels deep"),
        ("json", '{"a":\n' + "[" * 200 + "]" * 200 + "}", "x:2: nested more than 200 levels deep"),
        ("json", '{"a":' + "[" * 200 + "]" * 200 + "}", "x:1: nested more than 200 levels deep"),
        ("toml", "a = " + "[" * 200 + "]" * 200, "x:1: nested more than 200 levels deep"),
        ("yaml", "a: " + "[" * 200 + "]" * 200, "x:1: nested more than 200 levels deep"),
        # syntax
        ("yaml", "a: 1\n---\nb: 2\n", "x:2: a second document starts here: remove the '---'"),
        ("yaml", "a:\n\t- b\n", "x:2: …: quote text that starts with @, ` or %, and indent with spaces, not tabs"),
        ("yaml", "a: 1\nb: c: d\n", "x:2: …: quote text that contains ': ', and check the indentation"),
        ("yaml", 'a: 1\nb: "\\d"\n', "x:2: …: in double quotes a backslash starts an escape"),
        ("yaml", "a: [1,\n  2\nb: 3\n", "that starts in line 1: check indentation, brackets and quotes"),
        ("yaml", "a: 1\nb: \x07\n", "x:2: YAML does not allow the character U+0007: escape it"),
        ("yaml", "a: 1\nb: \ud800\n", "x:2: YAML does not allow the character U+D800"),
        ("toml", "a = 1\nb = c\n", "x:2: …: text needs quotes, booleans are true and false"),
        ("toml", "a = 1\nb = [1,\n", "x:2: "),
        ("yaml", "a: @b\n", "x:1: …: quote text that starts with @, ` or %"),
        ("yaml", "a: `b`\n", "x:1: …: quote text that starts with @, ` or %"),
        ("yaml", "a: 1\nb: %c\n", "x:2: …: quote text that starts with @, ` or %"),
        ("yaml", "a: 1\n b: 2\n", "x:2: …: quote text that contains ': ', and check the indentation"),
        ("yaml", "a: {b: c: d}\n", "x:1: …: check indentation, brackets and quotes"),
        ("yaml", "a: é\nb: \"ü\\q\"\n", "x:2: …: in double quotes a backslash starts an escape"),
        ("yaml", "a: 1\nb: *c\n", "x:2: …: check indentation, brackets and quotes; quote text that starts with one of"),
        ("toml", "a = true\na = false\n", "x:2: "),
        ("toml", "a = [1, yes]\n", "x:1: …: text needs quotes"),
        ("toml", "a = 1\nb.c = True\n", "x:2: …: text needs quotes, booleans are true and false"),
        ("json", '{"a": 1,\n b: 2}', "x:2: … (column 2)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_text_is_said_with_its_line(kind: Kind, text: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_source(text, kind, "x")
    printed = str(caught.value)
    assert all(part in printed for part in message.split("…"))  # … stands for the words of a library
    assert len(printed) < 300
    assert "\n" not in printed


@pytest.mark.parametrize("text", ["[a]\nb = 1\n[a]\n", "a.b = 1\n[a]\n", "a = {b = 1, b = 2}"])
def test_what_is_there_twice_in_toml_needs_no_quotes(text: str) -> None:
    with pytest.raises(DocumentError, match=r"(?i)twice|duplicate") as caught:
        parse_source(text, "toml", "x")
    assert "quotes" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a:\n\t- b\n", "a: [1,\n", "a: 1\nb: c: d\n", "a: \x07\n", "[" * 5000, "a: !b c", "a: @b", "é: *c", 'ü: "\\q"',
        "a: [1]]", "- a\nb: c",
    ],
)  # fmt: skip
def test_yaml_without_the_c_parser_has_the_same_lines_and_hints(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    def message() -> tuple[int | None, str, Source | None]:
        try:
            return None, "", parse_source(text, "yaml", "x")
        except DocumentError as exc:
            return exc.line, exc.message.rpartition(": ")[2], None

    fast = message()
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert message() == fast
    assert parse_source(BENCHMARK_YAML, "yaml", "x").data == json.loads(BENCHMARK_JSON)


@pytest.mark.parametrize(
    ("kind", "text", "data"),
    [
        ("yaml", "", None), ("yaml", "# nothing yet\n---\n", None), ("toml", " \n# nothing yet\n", None),
        ("json", "\n", None), ("yaml", "- a\n", ["a"]), ("yaml", "benchmark", "benchmark"), ("json", "[1]", [1]),
    ],
)  # fmt: skip
def test_a_document_may_be_empty_or_no_mapping(kind: Kind, text: str, data: Any) -> None:
    assert parse_source(text, kind, "x").data == data


@pytest.mark.parametrize("kind", ["yaml", "toml", "json"])
def test_two_hundred_levels_are_not_too_deep(kind: Kind) -> None:
    lists = "[" * 199 + "]" * 199
    text = {"yaml": f"a: {lists}", "toml": f"a = {lists}", "json": f'{{"a": {lists}}}'}[kind]
    assert len(parse_source(text, kind, "x").lines) == 199


def test_json_may_break_lines_anywhere() -> None:
    source = parse_source('{\n"a"\n:\n[\n1\n,\n{"b"\n:\n2\n}\n]\n,"c":3\n}', "json", "x.json")
    assert dict(source.lines) == {("a",): 2, ("a", 0): 5, ("a", 1): 7, ("a", 1, "b"): 7, ("c",): 12}


def test_toml_strings_keys_and_tables_of_every_kind_have_their_lines() -> None:
    text = (
        "a.b.\"c.d\".'e' = 1\n"  # 1
        '"\\u0066 f" = "x = [1]"\n'  # 2
        'g = """\n[no] # no\n\\""" no = 1\n"""""\n'  # 3 to 6: ends with two quotes of its own
        "h = '''\n[no]\n'''\n"  # 7 to 9
        "i = [ # [\n  'x', [1, 2],\n  { j = 1.5, k.l = 2024-01-01T10:00:00Z }\n]\n"  # 10 to 13
        "[ m . n ]\r\n"  # 14
        "o = 10:30:00\r\n"  # 15
        "[[p]]\nq = 1\n"  # 16, 17
        "[[p.r]]\n"  # 18
        "[p.r.s]\nt = 2024-01-01\n"  # 19, 20
        "[[p]] # again\n"  # 21
        "[[p.r]]\nu = {}\n"  # 22, 23
    )
    source = parse_source(text, "toml", "x.toml")
    assert source.data["g"] == '[no] # no\n""" no = 1\n""'
    assert source.data["i"][2] == {"j": 1.5, "k": {"l": "2024-01-01T10:00:00+00:00"}}
    assert source.data["m"]["n"]["o"] == "10:30:00"
    assert source.data["p"][0]["r"][0]["s"]["t"] == "2024-01-01"
    assert dict(source.lines) == {
        ("a",): 1, ("a", "b"): 1, ("a", "b", "c.d"): 1, ("a", "b", "c.d", "e"): 1,
        ("f f",): 2, ("g",): 3, ("h",): 7,
        ("i",): 10, ("i", 0): 11, ("i", 1): 11, ("i", 1, 0): 11, ("i", 1, 1): 11, ("i", 2): 12, ("i", 2, "j"): 12,
        ("i", 2, "k"): 12, ("i", 2, "k", "l"): 12, ("m",): 14, ("m", "n"): 14, ("m", "n", "o"): 15,
        ("p",): 16, ("p", 0): 16, ("p", 0, "q"): 17, ("p", 0, "r"): 18, ("p", 0, "r", 0): 18,
        ("p", 0, "r", 0, "s"): 19, ("p", 0, "r", 0, "s", "t"): 20, ("p", 1): 21, ("p", 1, "r"): 22,
        ("p", 1, "r", 0): 22, ("p", 1, "r", 0, "u"): 23,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["]", "a = [}", "a = {]", "a = [1", "[a", "a.", '"\\q" = 1', "[[a]", "=", "a = [1 2]"])
def test_a_surprise_costs_positions_only(text: str) -> None:
    import tomllib

    for toml in (True, False):
        Positions(text, {}, lambda token: tomllib.loads(f"key = {token}")["key"]).scan(toml=toml)


# --- properties ---------------------------------------------------------------------------------------------

# Not empty and without line breaks, which PyYAML writes as `? key`, into a line of their own.
KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=10)
TEXTS = st.text(st.characters(codec="utf-8"))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    value = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20)
    return st.dictionaries(KEYS, value, min_size=1)


def marked(data: Any, count: list[int]) -> Any:
    """Give every leaf a text that occurs once, so that a search says where it is."""
    if isinstance(data, dict):
        return {key: marked(value, count) for key, value in data.items()}
    if isinstance(data, list):
        return [marked(value, count) for value in data]
    count[0] += 1
    return f"<leaf-{count[0]}>"


def locs(data: Any, loc: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], Any]:
    members = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found: dict[tuple[str | int, ...], Any] = {}
    for key, value in members:
        found |= {(*loc, key): value} | locs(value, (*loc, key))
    return found


def lines_with(part: str, text: str) -> list[int]:
    return [number for number, line in enumerate(text.split("\n"), start=1) if part in line]


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_value(value: Any, broken: bool) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {toml_value(inner, False)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        end = ", # ]\n" if broken else ", "
        return "[" + "\n" * broken + "".join(toml_value(inner, broken) + end for inner in value) + "]"
    return quoted(value)


def toml_text(table: dict[str, Any], path: str, broken: bool) -> str:
    """Write a mapping as tables, and lists of non-empty mappings as arrays of tables."""
    plain, tables = [], []
    for key, value in table.items():
        name = f"{path}.{quoted(key)}" if path else quoted(key)
        if isinstance(value, dict):
            tables.append(f"[{name}]\n" + toml_text(value, name, broken))
        elif value and isinstance(value, list) and all(isinstance(element, dict) for element in value):
            tables += [f"[[{name}]]\n" + toml_text(element, name, broken) for element in value]
        else:
            plain.append(f"{quoted(key)} = {toml_value(value, broken)}\n")
    return "".join(plain + tables)


@settings(deadline=None)  # a machine may be slow
@given(nested(LEAVES), st.sampled_from([None, 2]))
def test_json_round_trips(data: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(data, indent=indent)
    assert parse_source(text, "json", "x").data == data


@settings(deadline=None)  # a machine may be slow
@given(nested(LEAVES), st.sampled_from([None, False, True]))
def test_yaml_round_trips(data: dict[str, Any], flow: bool | None) -> None:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes all text: what is plain text in YAML 1.1 may be a number in 1.2."""

        def represent_str(self, text: str) -> Any:
            return self.represent_scalar("tag:yaml.org,2002:str", text, style='"')

    Dumper.add_representer(str, Dumper.represent_str)
    text = yaml.dump(data, Dumper=Dumper, default_flow_style=flow, allow_unicode=True)
    assert parse_source(text, "yaml", "x").data == data


@settings(deadline=None)  # a machine may be slow
@given(nested(st.just(None)), st.sampled_from(["json", "compact", "flow", "block", "toml", "broken"]))
def test_every_leaf_has_the_line_where_it_is(shape: dict[str, Any], style: str) -> None:
    import yaml

    data = marked(shape, [0])
    if style in ("json", "compact"):
        text = json.dumps(data, indent=1 if style == "json" else None)
        source = parse_source(text, "json", "x")
    elif style in ("flow", "block"):
        text = yaml.safe_dump(data, default_flow_style=style == "flow", width=40)
        source = parse_source(text, "yaml", "x")
    else:
        text = toml_text(data, "", broken=style == "broken")
        source = parse_source(text, "toml", "x")
    assert source.data == data
    assert set(source.lines) == set(locs(data))
    for loc, value in locs(data).items():
        if isinstance(value, str):
            (where,) = lines_with(value, text)
            # A flow value may be folded into the line after its key.
            assert source.lines[loc] in ((where - 1, where) if style == "flow" else (where,))


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yaml", b"a: {b: 1}\n"), ("a.yml", b"\xef\xbb\xbfa:\r\n  b: 1\r\n"), ("a.toml", b"[a]\r\nb = 1\r\n"),
        ("a.toml", b"\xef\xbb\xbf[a]\nb = 1"), ("a.json", b'\xef\xbb\xbf{"a": {"b": 1}}'), ("a.YAML", b"a: {b: 1}"),
    ],
)  # fmt: skip
def test_a_file_is_read_by_its_suffix(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    source = read_source(file)
    assert source.path == str(file)
    assert source.data == {"a": {"b": 1}}
    assert source.line(["a"]) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gsm8k", "gsm8k: no such file: did you mean gsm8k.yaml?"),
        ("gms8k.yaml", "gms8k.yaml: no such file: did you mean gsm8k.yaml?"),
        ("other/thing.yaml", "other/thing.yaml: no such file"),
        ("folder", "folder: is a folder: name the file in it"),
        ("gsm8k.yaml/x.yaml", "gsm8k.yaml/x.yaml: cannot be read: Not a directory"),
        ("notes.txt", "notes.txt: the suffix '.txt' does not say the format: use .yaml, .yml, .toml, .json"),
        ("notes", "notes: a name without a suffix does not say the format: use .yaml"),
        ("latin.yaml", "latin.yaml:2: not UTF-8 (byte 0xfc at offset 9): save the file as UTF-8"),
        ("marked.yaml", "marked.yaml:1: not UTF-8 (byte 0xff at offset 4)"),
        ("utf16.yaml", "utf16.yaml:1: not UTF-8 (byte 0xff at offset 0)"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("gsm8k.yaml").write_text("a: 1")
    Path("notes").write_text("a: 1")
    Path("notes.txt").write_text("a: 1")
    Path("latin.yaml").write_bytes("a: 1\nb: fünf\n".encode("latin-1"))
    Path("marked.yaml").write_bytes(b"\xef\xbb\xbfa\xff")
    Path("utf16.yaml").write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(DocumentError) as caught:
        read_source(name)
    assert str(caught.value).startswith(message)
