"""Tables as sources: csv and parquet."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl_edge.data import tables
from mtl_edge.data.source import CLASSES_FILE, prepare
from mtl_edge.data.splits import Splits
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.preprocessing import CategoricalColumn, NumericColumn, Table, Tokens
from mtl_edge.recipe import DataSpec, Recipe, load_recipe

RECIPE = """\
seed = 1
[data]
source = "{source}"
input = "row"
{data}

[tasks.rich]
kind = "multiclass"
target = "income"
classes = 2

[tasks.old]
kind = "regression"
target = "age"

[net]
trunk = "resnet"
"""

Columns = dict[str, Sequence[object]]


def _people(count: int = 60) -> Columns:
    """Rows that ``hours`` tells from each other."""
    return {
        "age": [20 + row % 45 for row in range(count)],
        "hours": [row + 0.5 for row in range(count)],
        "children": [row % 4 for row in range(count)],
        "job": [("clerk", "cook", "judge")[row % 3] for row in range(count)],
        "income": [("<=50K", ">50K")[row % 2] for row in range(count)],
    }


def _write_csv(path: Path, columns: Columns) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(
            [["" if cell is None else cell for cell in row] for row in zip(*columns.values(), strict=True)]
        )


def _write_parquet(path: Path, columns: Columns) -> None:
    pq.write_table(pa.table(columns), path, row_group_size=7)


@pytest.fixture(params=["csv", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of table."""
    return str(request.param)


@pytest.fixture
def people(kind: str, tmp_path: Path, write_recipe: Callable[[str], Path]) -> Callable[..., Recipe]:
    """Write columns as a table, and a recipe beside it."""

    def write(columns: Columns | None = None, data: str = "", tasks: Iterable[tuple[str, str]] = ()) -> Recipe:
        (_write_csv if kind == "csv" else _write_parquet)(tmp_path / f"people.{kind}", columns or _people())
        text = RECIPE.format(source=f"{kind}:people.{kind}", data=data)
        for old, new in tasks:
            assert old in text
            text = text.replace(old, new)
        return load_recipe(write_recipe(text))

    return write


def _table(recipe: Recipe, folder: Path) -> Table:
    folder.mkdir(exist_ok=True)
    preprocessing = prepare(recipe, folder)
    assert isinstance(preprocessing, Table)
    return preprocessing


def _fault(recipe: Recipe, folder: Path, error: type[Exception] = DataError) -> str:
    with pytest.raises(error) as caught:
        prepare(recipe, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_stay_whole_and_each_is_in_one_split(
    people: Callable[..., Recipe], splits_of: Callable[..., Splits]
) -> None:
    """Numbers stay in their unit, categories become codes, and labels stay with their rows."""
    splits = splits_of(people())
    seen = []
    for samples in (splits.train, splits.val, splits.test):
        rows = samples["row"]
        assert (rows.dtype, rows.shape[1]) == (np.float32, 3)
        number = (rows[:, 0] - 0.5).astype(int)
        np.testing.assert_array_equal(samples["age"], 20 + number % 45)
        np.testing.assert_array_equal(samples["income"], number % 2)
        seen += number.tolist()
    assert sorted(seen) == list(range(60))
    assert (splits.train["age"].dtype, splits.train["income"].dtype) == (np.int64, np.int64)


def test_kinds_of_columns_are_told_by_what_they_hold(people: Callable[..., Recipe], tmp_path: Path) -> None:
    """Texts and few whole numbers are categories, other numbers are numbers; targets are no inputs."""
    table = _table(people(), tmp_path)
    assert [(type(column), column.name) for column in table.columns] == [
        (NumericColumn, "hours"),
        (CategoricalColumn, "children"),
        (CategoricalColumn, "job"),
    ]
    jobs = table.columns[2]
    assert isinstance(jobs, CategoricalColumn)
    assert sorted(jobs.categories) == ["clerk", "cook", "judge"]


def test_the_recipe_can_say_otherwise(people: Callable[..., Recipe], tmp_path: Path) -> None:
    """``columns``, ``drop``, ``numeric`` and ``categorical`` overrule what was inferred; order is the recipe's."""
    data = 'columns = ["children", "hours"]\nnumeric = ["children"]\ncategorical = ["hours"]\nmin_count = 1'
    first, second = _table(people(data=data), tmp_path).columns
    assert (type(first), first.name) == (NumericColumn, "children")
    assert isinstance(second, CategoricalColumn)
    assert len(second.categories) == 42
    table = _table(people(data='drop = ["job"]'), tmp_path / "second")
    assert [column.name for column in table.columns] == ["hours", "children"]


def test_everything_is_fitted_on_train_alone(
    people: Callable[..., Recipe], splits_of: Callable[..., Splits], tmp_path: Path
) -> None:
    """A category of the test split is unknown, and mean and deviation are those of the training rows."""
    rows = splits_of(people(data='numeric = ["hours"]')).test["row"]
    strange = int(rows[0, 0] - 0.5)
    columns = _people()
    columns["job"] = [*columns["job"][:strange], "astronaut", *columns["job"][strange + 1 :]]
    recipe = people(columns, data="min_count = 1")
    splits = splits_of(recipe)
    numbers, _, jobs = _table(recipe, tmp_path).columns
    assert isinstance(jobs, CategoricalColumn)
    assert "astronaut" not in jobs.categories
    assert splits.test["row"][0, 2] == 0
    assert isinstance(numbers, NumericColumn)
    hours = splits.train["row"][:, 0].astype(np.float64)
    assert (numbers.mean, numbers.std) == (pytest.approx(hours.mean()), pytest.approx(hours.std()))


def test_missing_cells_are_nan_code_zero_or_no_label(
    people: Callable[..., Recipe], splits_of: Callable[..., Splits]
) -> None:
    """A gap in a number is NaN, in a category code 0, in a target a label that nobody gave."""
    columns = {name: list(values) for name, values in _people().items()}
    for name, row in (("age", 3), ("hours", 5), ("job", 7), ("income", 9)):
        columns[name][row] = None
    columns["number"] = [row + 0.25 for row in range(60)]
    splits = splits_of(people(columns, data='columns = ["number", "hours", "job"]'))
    for samples in (splits.train, splits.val, splits.test):
        numbers = (samples["row"][:, 0] - 0.25).astype(int)
        np.testing.assert_array_equal(np.isnan(samples["age"]), numbers == 3)
        np.testing.assert_array_equal(np.isnan(samples["row"][:, 1]), numbers == 5)
        np.testing.assert_array_equal(samples["row"][:, 2] == 0, numbers == 7)
        np.testing.assert_array_equal(np.isnan(samples["income"]), numbers == 9)
        assert samples["age"].dtype == samples["income"].dtype == np.float32


def test_a_target_can_be_a_comparison(people: Callable[..., Recipe], splits_of: Callable[..., Splits]) -> None:
    """``equals`` makes 1 of a value and 0 of all others, of texts and of numbers."""
    data = (
        '[data.targets.judge]\ncolumn = "job"\nequals = "judge"\n[data.targets.single]\ncolumn = "children"\nequals = 0'
    )
    tasks = [
        ('target = "income"', 'target = "judge"'),
        ('kind = "regression"\ntarget = "age"', 'kind = "multiclass"\nclasses = 2\ntarget = "single"'),
    ]
    samples = splits_of(people(data=data, tasks=tasks)).train
    assert samples["row"].shape[1] == 3  # age, hours, income: what a target is made of is no input
    number = (samples["row"][:, 1] - 0.5).astype(int)
    np.testing.assert_array_equal(samples["judge"], number % 3 == 2)
    np.testing.assert_array_equal(samples["single"], number % 4 == 0)


def test_texts_are_classes_in_the_order_that_the_recipe_gives(
    people: Callable[..., Recipe], splits_of: Callable[..., Splits]
) -> None:
    """Alphabetical order is only the default."""
    data = '[data.targets.income]\nvalues = [">50K", "<=50K"]'
    samples = splits_of(people(data=data)).train
    np.testing.assert_array_equal(samples["income"], 1 - (samples["row"][:, 0] - 0.5).astype(int) % 2)


def test_the_names_of_classes_are_kept(people: Callable[..., Recipe], tmp_path: Path) -> None:
    """Beside the splits, in the order of their numbers."""
    prepare(people(), tmp_path)
    assert msgspec.json.decode((tmp_path / CLASSES_FILE).read_bytes()) == {"income": ["<=50K", ">50K"]}


def test_text_becomes_word_numbers(people: Callable[..., Recipe], tmp_path: Path) -> None:
    """One column of text is the input: words of the training rows, rare ones unknown, short texts padded."""
    columns = _people()
    columns["remark"] = [f"Good work, w{row}!" if row % 5 else None for row in range(60)]
    recipe = people(columns, data='text = "remark"\nmax_words = 5')
    preprocessing = prepare(recipe, tmp_path)
    assert preprocessing == Tokens(vocabulary=("good", "work"), length=3)
    ids = np.load(tmp_path / "test" / "row.npy")
    assert ids.dtype == np.int64
    assert {tuple(row) for row in ids.tolist()} == {(2, 3, 1), (0, 0, 0)}


def test_published_splits_are_kept(people: Callable[..., Recipe], splits_of: Callable[..., Splits], kind: str) -> None:
    """``test_source`` is the test split in its own order; validation is cut from train."""
    recipe = people(data=f'test_source = "{kind}:test.{kind}"')
    columns = {name: list(values)[:9] for name, values in _people().items()}
    (_write_csv if kind == "csv" else _write_parquet)(recipe.folder / f"test.{kind}", columns)
    splits = splits_of(recipe)
    assert splits.test["row"][:, 0].tolist() == columns["hours"]
    assert sorted([*splits.train["row"][:, 0], *splits.val["row"][:, 0]]) == _people()["hours"]
    assert len(splits.val) == round(60 * 0.1 / 0.8)


def test_splits_by_time_hold_the_latest_for_the_test(
    people: Callable[..., Recipe], splits_of: Callable[..., Splits]
) -> None:
    """Every training row is earlier than every validation row, and these than every test row."""
    columns = _people()
    columns["day"] = [f"2020-01-{1 + (row * 7) % 31:02}" for row in range(60)]
    splits = splits_of(people(columns, data='split_by = "time"\nsplit_column = "day"'))
    days = [
        [(int(hour - 0.5) * 7) % 31 for hour in part["row"][:, 0]] for part in (splits.train, splits.val, splits.test)
    ]
    assert max(days[0]) <= min(days[1]) <= max(days[1]) <= min(days[2])
    splits = splits_of(people(columns, data='split_by = "time"\ndrop = ["day"]'))
    assert sorted(splits.test["row"][:, 0]) == _people()["hours"][48:]


def test_a_group_is_in_one_split_alone(people: Callable[..., Recipe], splits_of: Callable[..., Splits]) -> None:
    """The rows of one person do not stand on both sides."""
    columns = _people()
    columns["person"] = [f"p{row // 3}" for row in range(60)]
    splits = splits_of(people(columns, data='split_by = "group"\nsplit_column = "person"'))
    parts = [{int(hour - 0.5) // 3 for hour in part["row"][:, 0]} for part in (splits.train, splits.val, splits.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 20
    assert len(splits.train) == pytest.approx(42, abs=3)


def test_a_column_can_name_the_splits(people: Callable[..., Recipe], splits_of: Callable[..., Splits]) -> None:
    """What is named train, val and test is that; without val, it is cut from train."""
    columns = _people()
    columns["part"] = [("train", "train", "val", "test")[row % 4] for row in range(60)]
    recipe = people(columns, data='split_by = "column"\nsplit_column = "part"')
    splits = splits_of(recipe)
    for number, part in ((2, splits.val), (3, splits.test)):
        assert {int(hour - 0.5) % 4 for hour in part["row"][:, 0]} == {number}
    columns["part"] = [("train", "train", "train", "test")[row % 4] for row in range(60)]
    assert len(splits_of(people(columns, data='split_by = "column"\nsplit_column = "part"')).val) == round(45 / 8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('columns = ["hour"]', "data.columns: no array 'hour' in the data, found {names}; did you mean 'hours'?"),
        ('drop = ["jobs"]', "data.drop: no array 'jobs' in the data, found {names}; did you mean 'job'?"),
        ('numeric = ["job"]', "data.numeric: column 'job' must be numbers, found 'clerk' in row 1"),
        (
            'columns = ["job"]\ndrop = ["job"]',
            "data.columns: at least one column must be left for the input, found none",
        ),
        ('text = "hours"', "data.text: column 'hours' must be text, found float64"),
        ('text = "job"\nmin_count = 900', "data.text: column 'job' must have words that occur 900 times"),
        (
            'split_by = "column"\nsplit_column = "job"',
            "column 'job' must say train, val or test, found 'clerk' in row 1",
        ),
        ('split_by = "group"\nsplit_column = "jop"', "data.split_column: no array 'jop' in the data"),
        ('[data.targets.age]\ncolumn = "agee"', "data.targets.age.column: no array 'agee' in the data"),
    ],
)
def test_wrong_columns_are_one_line(
    people: Callable[..., Recipe], tmp_path: Path, kind: str, data: str, message: str
) -> None:
    """The place, the rule, and what was found, with the name that may have been meant."""
    fault = _fault(people(data=data), tmp_path)
    assert fault.startswith(f"{kind}:people.{kind}: " + message.format(names=", ".join(sorted(_people()))))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('text = "job"\ncolumns = ["hours"]', "data.text: must stand alone"),
        ('split_by = "group"', "data.split_column: is needed by split_by = 'group', found none"),
        ("[data.targets.nobody]\nequals = 1", "data.targets.nobody: must be the target of a task, found age, income"),
        (
            'numeric = ["hours"]\ncategorical = ["hours"]',
            "data.categorical: must not hold what data.numeric does, found 'hours' in both",
        ),
        ('numeric = ["age"]', "data.numeric: must hold columns of the input, hours, children, job, found 'age'"),
    ],
)
def test_recipes_that_contradict_themselves_are_one_line(
    people: Callable[..., Recipe], tmp_path: Path, data: str, message: str
) -> None:
    """What is wrong in the recipe is told as such."""
    assert _fault(people(data=data), tmp_path, RecipeError).startswith(message)


def test_a_comparison_with_what_is_not_there_is_refused(people: Callable[..., Recipe], tmp_path: Path) -> None:
    """A typing error would be a target that never is."""
    fault = _fault(people(data='[data.targets.income]\nequals = ">50k"'), tmp_path)
    assert fault == (
        "data.targets.income.equals: must be one of the texts of 'income', '<=50K', '>50K', found '>50k'; "
        "did you mean '>50K'?"
    )


def test_a_number_to_predict_cannot_be_text(people: Callable[..., Recipe], tmp_path: Path, kind: str) -> None:
    """The first cell that is no number is told with its row."""
    columns = {name: list(values) for name, values in _people().items()}
    columns["age"] = [*map(str, columns["age"][:30]), "thirty", *map(str, columns["age"][31:])]
    assert _fault(people(columns), tmp_path) == (
        f"{kind}:people.{kind}: tasks.old.target: column 'age' must be numbers, found 'thirty' in row 31"
    )


def test_more_texts_than_classes_are_refused(people: Callable[..., Recipe], tmp_path: Path, kind: str) -> None:
    """The message shows them."""
    recipe = people(tasks=[('target = "income"', 'target = "job"')])
    assert _fault(recipe, tmp_path) == (
        f"{kind}:people.{kind}: tasks.rich.target: classes = 2 allows no more texts, found 'clerk', 'cook', 'judge'"
    )


def test_a_table_without_rows_is_refused(people: Callable[..., Recipe], tmp_path: Path) -> None:
    """A header alone is not a data set."""
    assert "must hold at least one row" in _fault(people({name: [] for name in _people()}), tmp_path)


def test_a_missing_table_is_named(people: Callable[..., Recipe], tmp_path: Path, kind: str) -> None:
    """By the source that names it."""
    recipe = people()
    (recipe.folder / f"people.{kind}").unlink()
    assert _fault(recipe, tmp_path).startswith(f"{kind}:people.{kind}: cannot be read: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Empty CSV file"),
        (b"age,income\n1,a\n2\n", "Expected 2 columns, got 1: 2"),
        (b"age,income\n1,\xff\xfe\n", "UTF"),
        (b"age,age\n1,2\n", "column names must differ, found 'age' twice"),
    ],
)
def test_damaged_csvs_are_one_line(
    tmp_path: Path, write_recipe: Callable[[str], Path], content: bytes, message: str
) -> None:
    """Whatever the file holds."""
    (tmp_path / "x.csv").write_bytes(content)
    fault = _fault(load_recipe(write_recipe(RECIPE.format(source="csv:x.csv", data=""))), tmp_path)
    assert fault.startswith("csv:x.csv: ")
    assert message in fault


def test_damaged_parquet_is_one_line(tmp_path: Path, write_recipe: Callable[[str], Path]) -> None:
    """Whatever the file holds."""
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and then nothing")
    fault = _fault(load_recipe(write_recipe(RECIPE.format(source="parquet:x.parquet", data=""))), tmp_path)
    assert fault.startswith("parquet:x.parquet: cannot be read: ")


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    """In the order of their names; files of other columns are refused."""
    for number in (2, 1):
        _write_parquet(tmp_path / f"{number}.parquet", {"a": [number, number * 10]})
    rows = tables.open_parquet(tmp_path, "here")
    assert [value for batch in rows.batches(["a"]) for value in batch["a"]] == [1, 10, 2, 20]
    _write_parquet(tmp_path / "3.parquet", {"b": [1]})
    with pytest.raises(DataError, match=r"3\.parquet: must have the columns and types of 1\.parquet, found others"):
        tables.open_parquet(tmp_path, "here")


def test_parquet_types_become_numbers_texts_and_truth_values(tmp_path: Path) -> None:
    """Narrow, decimal, dictionary and null types too."""
    columns = {
        "small": pa.array([1, 2], pa.uint8()),
        "gap": pa.array([1, None], pa.int32()),
        "half": pa.array([1.5, 2.5], pa.float32()),
        "true": pa.array([True, False]),
        "maybe": pa.array([True, None]),
        "word": pa.array(["a", "b"], pa.large_string()),
        "code": pa.array(["a", None]).dictionary_encode(),
        "none": pa.array([None, None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    rows = tables.open_parquet(tmp_path / "x.parquet", "here")
    (batch,) = rows.batches(list(columns))
    assert {name: values.dtype.kind for name, values in batch.items()} == dict(zip(columns, "iffbOOOf", strict=True))
    assert all(batch[name].dtype == field.dtype for name, field in rows.fields.items())
    assert batch["maybe"].tolist() == [True, None]
    assert batch["code"].tolist() == ["a", None]
    assert np.isnan(batch["none"]).all()


_CELLS = st.one_of(
    st.none(), st.integers(-(2**40), 2**40), st.floats(-1e9, 1e9).map(float), st.sampled_from(["a", "b c", 'q"', "x,y"])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_CELLS, _CELLS), min_size=1, max_size=30))
def test_a_csv_is_read_as_python_wrote_it(tmp_path: Path, cells: list[tuple[object, object]]) -> None:
    """Whatever a column holds, each cell comes back as the number or the text that it is."""
    _write_csv(tmp_path / "x.csv", {"n": range(len(cells)), "a": [a for a, _ in cells], "b": [b for _, b in cells]})
    rows = tables.open_csv(tmp_path / "x.csv", "here", DataSpec())
    assert len(rows) == len(cells)
    for position, name in enumerate("ab"):
        wanted = [row[position] for row in cells]
        found = [value for batch in rows.batches([name]) for value in batch[name].tolist()]
        if any(isinstance(cell, str) for cell in wanted):
            assert found == [None if cell is None else str(cell) for cell in wanted]
        else:
            np.testing.assert_array_equal(
                np.array(found, float), np.array([np.nan if c is None else c for c in wanted], float)
            )
