"""Files as people have them: what is a row, and what is said of those that are none."""

import codecs
import datetime
from math import inf, nan
from pathlib import Path

import pytest

from deepseek_math.batch import input_file, output_file
from deepseek_math.batch.row import RESULTS
from deepseek_math.jobs import JobError

pytestmark = pytest.mark.unit


def read(file: Path, content: bytes) -> list[tuple[object, str]]:
    """Columns and fault of each row."""
    file.write_bytes(content)
    return [(row.columns, row.fault) for row in input_file.rows(file, input_file.format_of(file))]


def test_a_byte_order_mark_crlf_and_blank_lines_change_nothing(tmp_path: Path) -> None:
    plain = b'{"a": "1"}\n{"a": "2"}\n'
    windows = codecs.BOM_UTF8 + b'{"a": "1"}\r\n\r\n{"a": "2"}'
    table = codecs.BOM_UTF8 + b"a\r\n1\r\n\r\n2\r\n"
    for name, content in (("a.jsonl", plain), ("a.jsonl", windows), ("a.csv", table), ("a.csv", b"a\n1\n2")):
        assert read(tmp_path / name, content) == [({"a": "1"}, ""), ({"a": "2"}, "")]


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d"
    assert read(tmp_path / "a.jsonl", f'{{"a": "{text}"}}\n'.encode()) == [({"a": text}, "")]
    assert read(tmp_path / "a.csv", f"a\n{text}\n".encode()) == [({"a": text}, "")]


def test_quotes_in_csv_hold_line_feeds_commas_and_quotes(tmp_path: Path) -> None:
    content = b'q,n\n"first\r\nsecond, ""third""",1\n" $\\frac12$ ",2\n'
    first = {"q": 'first\r\nsecond, "third"', "n": "1"}
    assert read(tmp_path / "a.csv", content) == [(first, ""), ({"q": " $\\frac12$ ", "n": "2"}, "")]


@pytest.mark.parametrize(("name", "content"), [("a.csv", b"q;n\n1,5;2\n"), ("a.tsv", b"q\tn\n1,5\t2\n")])
def test_semicolons_and_tabs_part_cells_too(name: str, content: bytes, tmp_path: Path) -> None:
    assert read(tmp_path / name, content) == [({"q": "1,5", "n": "2"}, "")]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"a": ', "Line 2 is not valid JSON"),
        (b'{"a": NaN}', "Line 2 is not valid JSON (NaN is not a number of JSON)"),
        (b'["a"]', "Line 2 is not a JSON object"),
        (b'"a"', "Line 2 is not a JSON object"),
        (b'{"a": "\xff"}', "Line 2 is not UTF-8 at byte 8"),
        (b"[" * 100_000, "Line 2 is not valid JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "Line 2 is not valid JSON"),
    ],
)
def test_a_bad_line_is_a_row_with_a_fault_between_its_neighbours(line: bytes, fault: str, tmp_path: Path) -> None:
    first, bad, last = read(tmp_path / "a.jsonl", b'{"a": "1"}\n' + line + b'\n{"a": "2"}\n')
    assert (first, last) == (({"a": "1"}, ""), ({"a": "2"}, ""))
    assert bad[0] == {}
    assert bad[1].startswith(fault)


def test_a_row_of_too_few_or_too_many_cells_is_named_by_its_line(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", b'q,n\n"1\n1",2\n3\n4,5,6\n')
    faults = [fault for _, fault in rows]
    assert faults == [
        "",
        "The row that ends in line 4 has 1 cells, and the header has 2.",
        "The row that ends in line 5 has 3 cells, and the header has 2.",
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", '{"a": "1"}'.encode("utf-16"), "is UTF-16. Save it as UTF-8"),
        ("a.csv", "a\n1\n".encode("utf-16"), "is UTF-16. Save it as UTF-8"),
        ("a.csv", "题目\n一加一\n".encode("gbk"), "is not UTF-8"),
        ("a.csv", b'a,b\n"1,2\n3,4\n', "is not valid CSV after line 1: unexpected end of data"),
        ("a.csv", b"a,b,a\n1,2,3\n", "has 2 columns called 'a'"),
        ("a.txt", b"a\n", "ends in none of .jsonl, .ndjson, .csv"),
        ("a.parquet", b"PAR1", "can't be read as Parquet"),
    ],
)
def test_a_file_that_can_t_be_read_says_why(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed here: make setup-evaluate")
    with pytest.raises(JobError) as error:
        read(tmp_path / name, content)
    assert reason in str(error.value)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.csv can't be read: No such file"):
        list(input_file.rows(tmp_path / "none.csv", "csv"))


def test_a_cell_of_csv_may_be_longer_than_python_s_own_limit(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", b"a\n" + b"x" * 200_000 + b"\n") == [({"a": "x" * 200_000}, "")]


LINE = dict.fromkeys(RESULTS)
ROWS = [
    {"a": "x,\ny\ud83d", "n": 1, "d": None} | LINE | {"completion": "\\boxed{1}\n", "agreement": 0.5},
    {"a": "求", "n": 2, "b": [True]} | LINE,
]


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    names = list(dict.fromkeys(name for row in ROWS for name in row))
    output_file.write(tmp_path / "a.jsonl", "jsonl", names, None, iter(ROWS))
    assert [row.columns for row in input_file.rows(tmp_path / "a.jsonl", "jsonl")] == ROWS
    output_file.write(tmp_path / "a.csv", "csv", names, None, iter(ROWS))
    first, second = [row.columns for row in input_file.rows(tmp_path / "a.csv", "csv")]
    assert list(first) == names
    assert (first["a"], first["n"], first["completion"], first["agreement"]) == (
        "x,\ny\\ud83d",
        "1",
        "\\boxed{1}\n",
        "0.5",
    )
    assert (second["a"], second["b"], second["completion"]) == ("求", "[true]", "")


def test_numbers_that_json_does_not_have_are_null(tmp_path: Path) -> None:
    rows = [{"a": nan, "b": [inf, 1.5, {"c": -inf}], "d": "\ud83d"}]
    output_file.write(tmp_path / "a.jsonl", "jsonl", [], None, rows)
    assert [row.columns for row in input_file.rows(tmp_path / "a.jsonl", "jsonl")] == [
        {"a": None, "b": [None, 1.5, {"c": None}], "d": "\ud83d"}
    ]


def test_parquet_keeps_the_types_of_the_columns(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed here: make setup-evaluate")
    pyarrow = input_file.import_pyarrow()
    day = datetime.date(2026, 1, 2)
    carried = [{"a": "x", "n": 1, "day": day}] + [{"a": "y", "late": [1.5]}] * 1500
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(carried[:1]), tmp_path / "q.parquet")
    assert [row.columns for row in input_file.rows(tmp_path / "q.parquet", "parquet")] == carried[:1]
    schema = output_file.parquet_schema(carried, "new_")
    new = {f"new_{name}": None for name in RESULTS} | {"new_answer": "7", "new_completion_tokens": 3}
    output_file.write(tmp_path / "a.parquet", "parquet", [], schema, (row | new for row in carried))
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert (table.num_rows, table.schema.field("day").type) == (1501, pyarrow.date32())
    assert table.to_pylist()[-1] == {"a": "y", "n": None, "day": None, "late": [1.5]} | new
    with pytest.raises(JobError, match="can't be written as Parquet"):
        output_file.parquet_schema([{"a": 1}, {"a": "x"}], "")
