"""What the Python of a repository stands for, without running it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tiffin.errors import InvalidInputError
from tiffin.feast_repository.collecting import read_definitions

HEAD = """\
import os
import datetime as dt
from datetime import timedelta
from pathlib import Path
import feast
from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Float32, Int64, PrimitiveFeastType, String
user = Entity(name="user", join_keys=["user_id"])
source = FileSource(path="data/rows.parquet", timestamp_field="at")
schema = [Field(name="a", dtype=Int64)]
"""
VIEW = 'view = FeatureView(name="view", entities=[user], schema=schema, source=source)\n'


def read(folder: Path, text: str = "", **files: str):
    """Read a repository of these files; the first has what all need at its head."""
    for name, content in {"features": HEAD + text, **files}.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return read_definitions(folder)


def only_view(folder: Path, text: str, **files: str):
    found = read(folder, text, **files)
    assert [view.name for view in found.views] == ["view"], found.left_out
    return found.views[0]


def why_left_out(folder: Path, text: str, **files: str) -> str:
    """Say why the only definition is left out, and where it stands."""
    found = read(folder, text, **files)
    assert not found.views
    (left_out,) = found.left_out
    return f"{left_out.where}: {left_out.what}: {left_out.why}"


def view_with(**arguments: str) -> str:
    given = {"name": '"view"', "entities": "[user]", "schema": "schema", "source": "source", **arguments}
    return f"view = FeatureView({', '.join(f'{name}={value}' for name, value in given.items())})\n"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("timedelta(days=1)", timedelta(days=1)),
        ("timedelta(1, seconds=30)", timedelta(days=1, seconds=30)),
        ("dt.timedelta(hours=24 * 7)", timedelta(days=7)),
        ("3 * timedelta(hours=2) - timedelta(minutes=-1)", timedelta(hours=6, minutes=1)),
        ("timedelta(days=0)", None),
        ("None", None),
        ("timedelta(days=1) if True else None", timedelta(days=1)),
    ],
)
def test_a_ttl_is_worked_out(tmp_path, written, meant):
    assert only_view(tmp_path, view_with(ttl=written)).ttl == meant


@pytest.mark.parametrize(
    "path",
    [
        '"data/rows.parquet"',
        'str(Path(__file__).parent / "data" / "rows.parquet")',
        'os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "rows.parquet")',
        'f"{Path(__file__).resolve().parent}/data/{NAME}.parquet"',
        '"data/" + NAME + ".parquet"',
        'PATHS["rows"]',
    ],
)
def test_a_path_is_worked_out(tmp_path, path):
    text = 'NAME = "rows"\nPATHS = {"rows": Path("data").joinpath("rows.parquet").as_posix()}\n'
    source = f'FileSource(path={path}, timestamp_field="at")'
    assert only_view(tmp_path, text + view_with(source=source)).source.path == tmp_path / "data" / "rows.parquet"


@pytest.mark.parametrize(
    "written",
    [
        '[Field(name="a", dtype=Int64), Field(name="b", dtype=Int64)]',
        'schema + [Field(name="b", dtype=Int64)]',
        '[*schema, Field(name="b", dtype=Int64)]',
        '[Field(name=name, dtype=Int64) for name in ("a", "b")]',
        '[Field(name=name, dtype=kind) for name, kind in [("a", Int64), ("b", feast.types.Int64)]]',
        '[Field(name=name, dtype=PrimitiveFeastType.INT64) for name in {"a": 1, "b": 2}]',
    ],
)
def test_a_schema_is_worked_out(tmp_path, written):
    fields = only_view(tmp_path, view_with(schema=written)).fields
    assert [(field.name, str(field.kind)) for field in fields] == [("a", "Int64"), ("b", "Int64")]


def test_a_list_that_grows_is_followed_for_all_its_names(tmp_path):
    text = 'more = schema\nmore += [Field(name="b", dtype=Array(Float32))]\n' + VIEW
    assert [str(field.kind) for field in only_view(tmp_path, text).fields] == ["Int64", "Array(Float32)"]


def test_what_happens_to_a_list_after_it_was_used_does_not_matter(tmp_path):
    text = VIEW + 'schema += [Field(name="b", dtype=Int64)]\nschema.append(Field(name="c", dtype=Int64))\n'
    assert [field.name for field in only_view(tmp_path, text).fields] == ["a"]


@pytest.mark.parametrize(
    ("imported", "used"),
    [
        ("from views import view as other", "other"),
        ("import views", "views.view"),
        ("import views as v", "v.view"),
        ("from deep.views import view", "view"),
        ("import deep.views", "deep.views.view"),
        ("from deep import views", "views.view"),
        ("from views import *", "view"),
        ("try:\n    from views import view\nexcept ImportError:\n    view = None", "view"),
    ],
)
def test_files_import_each_other(tmp_path, imported, used):
    content = HEAD + VIEW
    place = "deep/views" if "deep" in imported else "views"
    services = f"{imported}\nfrom feast import FeatureService\none = FeatureService(name='one', features=[{used}])\n"
    found = read(tmp_path, **{place: content, "services": services, "deep/__init__": "from . import views\n"})
    assert [view.name for view in found.views] == ["view"]
    assert found.services[0].parts[0].view == "view"
    assert not found.left_out


def test_relative_imports_and_circles_end_as_in_python(tmp_path):
    files = {
        "deep/__init__": "",
        "deep/keys": "from feast import Entity\nuser = Entity(name='user_id')\nfrom .views import view\n",
        "deep/views": HEAD.replace("user = ", "_ = ") + "from .keys import user\n" + VIEW,
    }
    found = read(tmp_path, **files)
    assert [view.keys for view in found.views] == [("user_id",)]


def test_a_dict_is_imported_as_a_dict(tmp_path):
    text = "from paths import PATHS\n" + view_with(source="FileSource(path=PATHS['rows'])")
    paths = "PATHS = {'rows': 'data/rows.parquet', 'schema': None}\n"
    assert only_view(tmp_path, text, paths=paths).source.written == "data/rows.parquet"


def test_nothing_is_run(tmp_path):
    marker = tmp_path / "was_run"
    text = f"Path({str(marker)!r}).write_text('x')\nos.system('touch {marker}')\n" + VIEW
    only_view(tmp_path, text)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (view_with(ttl="timedelta(days=int(os.environ['DAYS']))"), "features.py:11: FeatureView view: ttl"),
        (view_with(ttl="make_ttl()"), "make_ttl is not defined in this file"),
        ("def ttl():\n    return 1\n" + view_with(ttl="ttl()"), "calls ttl(), which would have to be run"),
        (view_with(schema="[Field(name='a', dtype=kind) for kind in kinds]"), "kinds is not defined"),
        (view_with(source="None"), "its source is None, not a file"),
        (view_with(source="feast.BigQuerySource(table='t')"), "its source is BigQuerySource, not a file"),
        (view_with(source="FileSource(path='s3://bucket/x')"), "is on another machine"),
        (view_with(source="FileSource(path='d', file_format=feast.data_format.DeltaFormat())"), "not Parquet"),
        (view_with(source="FileSource(path=os.getenv('PATH'))"), "calls os.getenv(), which would have to be run"),
        (view_with(version="'v2'"), "pinned to an older version"),
        (view_with(enabled="False"), "it is not enabled"),
        (view_with(schema="[Field(name='a', dtype=Flaot32)]"), "Flaot32 is not defined in this file"),
        (view_with(schema="[Field(name='a', dtype=feast.types.Flaot32)]"), "feast.types.Flaot32 is no type"),
        (view_with(entities="['nobody']"), "entities of FeatureView view"),
        (VIEW.replace("FeatureView(", "feast.BatchFeatureView(udf=print, "), "computed by code (udf)"),
        (VIEW + "view.ttl = timedelta(days=3)\n", "view is assigned in a way that is not followed"),
        (view_with(conflict_policy="feast.ConflictPolicy.MAJORITY_VOTE"), "settled by a conflict policy"),
        ("for i in range(3):\n    schema.append(Field(name=str(i), dtype=Int64))\n" + VIEW, "schema is set in a loop"),
        ("schema.append(Field(name='b', dtype=Int64))\n" + VIEW, "schema is changed by a call"),
        ("grow(schema)\n" + VIEW, "schema is changed by a call"),
        ("popped = schema.pop()\n" + VIEW, "schema is changed by a call"),
        ("def grow(schema):\n    pass\ngrown = grow(schema)\n" + VIEW, "schema is changed by a call"),
        ("print(schema := [])\n" + VIEW, "schema is changed by a call"),
        ("other = (schema := [])\n" + VIEW, "schema is assigned within an expression"),
        ("schema[0] = Field(name='b', dtype=Int64)\n" + VIEW, "schema is assigned"),
        ("if os.name == 'nt':\n    schema = []\n" + VIEW, "schema depends on a condition"),
        ("with open('x') as schema:\n    pass\n" + VIEW, "schema is set in a with statement"),
    ],
)
def test_what_would_have_to_be_run_is_left_out_with_its_place(tmp_path, text, said):
    assert said in why_left_out(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def make():\n    return FeatureView(name='view', source=source)\nview = make()\n", "it stands in a function"),
        ("for name in 'ab':\n    globals()[name] = feast.FeatureView(name='view')\n", "it stands in a function"),
        ("views = [make(lambda: FeatureView(name='view'))]\n", "it stands in a function"),
        ("if os.path.exists('x'):\n    view = FeatureView(name='view', source=source)\n", "loop or condition"),
        ("globals()['a'] = FeatureView(name='view')\n", "it is not assigned to a plain name"),
        ("from ours import FeatureView\nview = FeatureView(name='view')\n", "calls ours.FeatureView()"),
        ("del FeatureView\nview = FeatureView(name='view')\n", "FeatureView is deleted"),
    ],
)
def test_a_definition_that_is_not_followed_is_not_overlooked(tmp_path, text, why):
    said = why_left_out(tmp_path, text)
    assert "FeatureView view: " in said
    assert why in said


def test_names_may_all_come_from_feast_at_once(tmp_path):
    text = "from feast import *\nfrom feast.types import *\n" + VIEW.replace("[user]", "[Entity(name='id')]")
    (view,) = read(
        tmp_path,
        features=text.replace("=schema", "=[Field(name='a', dtype=Int64)]").replace("=source", "=FileSource(path='x')"),
    ).views
    assert (view.keys, str(view.fields[0].kind)) == (("id",), "Int64")


def test_what_is_not_for_tables_is_left_out_in_the_order_of_the_files(tmp_path):
    text = VIEW + (
        "asked = feast.RequestSource(name='asked', schema=schema)\n"
        "pushed = PushSource(name='pushed', batch_source=source)\n"
        "@feast.on_demand_feature_view.on_demand_feature_view(sources=[view, asked], schema=schema)\n"
        "def computed(inputs):\n    return inputs\n"
        "service = FeatureService(name='service', features=[view, computed, view.with_name('x'), 'view@v1:a'])\n"
        "late = FeatureView(name='late')\n"
    )
    found = read(tmp_path, text)
    assert [(each.where, each.what) for each in found.left_out] == [
        ("features.py:12", "RequestSource asked"),
        ("features.py:13", "PushSource pushed"),
        ("features.py:14", "OnDemandFeatureView computed"),
        ("features.py:17", "a part of FeatureService service"),
        ("features.py:17", "a part of FeatureService service"),
        ("features.py:17", "a part of FeatureService service"),
        ("features.py:18", "FeatureView late"),
    ]
    assert [part.view for part in found.services[0].parts] == ["view"]


def test_views_of_other_kinds_are_views_too(tmp_path):
    text = VIEW.replace("FeatureView(", "feast.BatchFeatureView(") + view_with(name="'other'", ttl="None").replace(
        "view = FeatureView", "labels = feast.LabelView"
    )
    found = read(tmp_path, text)
    assert [(view.name, view.online) for view in found.views] == [("view", False), ("other", True)]


def test_two_views_of_one_name_are_an_error(tmp_path):
    with pytest.raises(InvalidInputError, match=r"two feature views are called 'view': features.py:11 and more.py:11"):
        read(tmp_path, VIEW, more=HEAD + VIEW)


def test_an_object_that_several_files_import_is_one(tmp_path):
    found = read(tmp_path, VIEW, more="from features import *\n", most="from more import view, source\n")
    assert len(found.views) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("view = FeatureView(\n", r"features.py:11 cannot be read as Python"),
        ("x = '\0'\n", r"features.py.* cannot be read as Python"),
        ("x = " + "(" * 5000, r"features.py.* cannot be read as Python"),
        ("x = " + "-" * 100_000 + "1\n", r"features.py.*(nested|cannot be read)"),
    ],
)
def test_what_is_no_python_is_an_error_that_names_the_file(tmp_path, text, said):
    with pytest.raises(InvalidInputError, match=said):
        read(tmp_path, text)


def test_what_would_grow_without_end_does_not(tmp_path):
    doubled = "a = 'x' * 1 if False else 'xxxxxxxxxxxxxxxx'\n" + "a = a + a\n" * 200
    squared = "n = 7\n" + "n = n * n\n" * 200
    shared = "s = [1]\n" + "s = [s, s]\n" * 200
    text = doubled + squared + shared + view_with(description="a") + "other = FeatureView(name='n', ttl=n, tags=s)\n"
    found = read(tmp_path, text)
    assert [left.what for left in found.left_out] == ["FeatureView view", "FeatureView n"]
    looped = "x = [[[0 for a in xs] for b in xs] for c in xs]\n"
    with pytest.raises(InvalidInputError, match="makes more values than can be read"):
        read(tmp_path, f"xs = {[*range(150)]}\n" + looped)


def test_ignored_files_are_not_read(tmp_path):
    (tmp_path / ".feastignore").write_text("drafts/  # not yet\nold_*.py\n\n")
    broken = "this is no Python\n"
    found = read(tmp_path, VIEW, **{"drafts/one": broken, "old_views": broken})
    assert len(found.views) == 1


def test_a_pattern_that_is_none_is_an_error(tmp_path):
    (tmp_path / ".feastignore").write_text("/etc/*\n")
    with pytest.raises(InvalidInputError, match="feastignore is no pattern"):
        read(tmp_path, VIEW)
