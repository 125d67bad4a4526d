"""The layers of the house, and which module owns which library, held by reading the code's imports."""

import ast
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = SOURCE / "tiffin"

# A module may import what stands on a line above its own (and its own package's modules), nothing else of Tiffin.
LAYERS = [
    {"errors", "version", "locks"},
    {"schema"},
    {"files"},
    {"config", "frames"},
    {"tables", "cache", "online", "registry", "access"},
    {"reading", "diff", "doctor"},
    {"asof", "features"},
    {"training"},
    {"materialize"},
    {"serving"},
    {"agreement", "definitions", "derived", "lineage", "search", "quality"},
    {"wire", "backup"},
    {"client", "store"},
    {"simple"},
    {"server", "feast_repository"},
    {"cli"},
    {"__main__"},
]
APART = {"engineering": {"errors"}}
OWNERS = {
    "pandas": {"frames", "simple", "engineering"},
    "pyarrow": {"frames", "engineering", "cache", "wire", "cli"},  # cli: its CSV reader refuses ragged lines
    "numpy": {"frames", "asof", "training", "online", "materialize", "derived", "cli"},  # cli: the demo's model
    "lmdb": {"online"},
    "redis": {"online"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "pydantic": {"server"},
    "prometheus_client": {"server"},
    "zstandard": {"server", "client"},
    "httptools": {"client"},
    "feast": set(),
    "deltalake": set(),
    "tomli_w": {"definitions"},
    "typer": {"cli"},
    "rich": {"cli"},
    "resvg_py": {"cli"},
    "xxhash": {"files", "tables", "cache", "frames", "lineage", "online"},
    "fcntl": {"files"},
    "mmap": {"files"},
    "shutil": set(),
    "tempfile": set(),
}
BANNED = {"pickle", "shelve", "marshal", "dill", "joblib", "cloudpickle"}
BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
BANNED_ATTRIBUTES = {
    ("yaml", "load"), ("yaml", "load_all"), ("yaml", "full_load"), ("yaml", "unsafe_load"), ("tempfile", "mktemp"),
    ("os", "system"), ("os", "popen"), ("numpy", "load"), ("np", "load"), ("ssl", "CERT_NONE"),
    ("ssl", "_create_unverified_context"), ("random", "SystemRandom"), ("subprocess", "getoutput"),
}  # fmt: skip
BANNED_ARGUMENTS = {("allow_pickle", True), ("shell", True), ("verify", False), ("check_hostname", False)}
FILE_CALLS = {
    "open", "unlink", "rename", "replace", "rmdir", "mkdir", "makedirs", "remove", "fsync", "write_bytes",
    "write_text",
    "touch", "symlink_to", "hardlink_to", "rmtree", "truncate",
}  # fmt: skip


@cache
def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def home(path: Path) -> str:
    """The top-level module of Tiffin that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def upward(path: Path) -> set[str]:
    """What a file imports that its layer must not know."""
    here = home(path)
    own = {part.split(".")[1] for part in imports(path) if part.startswith("tiffin.")} - {here}
    used = own & (set().union(*LAYERS) | set(APART))
    if here in APART:
        return used - APART[here]
    level = next(number for number, layer in enumerate(LAYERS) if here in layer)
    allowed = set().union(*LAYERS[:level], set(APART) if here in {"simple", "cli"} else set())
    return used - allowed


def test_imports_run_downward_only():
    wrong = {str(path): found for path in modules() if home(path) != "__init__" and (found := upward(path))}
    assert wrong == {}


def test_every_module_has_a_place():
    assert {home(path) for path in modules()} <= set().union(*LAYERS) | set(APART) | {"__init__"}


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_each_library_has_its_owner(library):
    users = {home(path) for path in modules() if library in {name.split(".")[0] for name in imports(path)}}
    assert users <= OWNERS[library]


def test_nothing_runs_code_from_data():
    for path in modules():
        calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
        named = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
        assert not {name.split(".")[0] for name in imports(path)} & BANNED, path
        assert not named & BANNED_CALLS, path


def doors(code: ast.AST) -> set[str]:
    """Name what would let others run code, or listen: what is banned by attribute, argument or assignment."""
    found = set()
    for node in ast.walk(code):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if (owner, name) in BANNED_ATTRIBUTES:
                found.add(f"{owner}.{name}")
            case ast.keyword(arg=name, value=ast.Constant(value=value)) if (name, value) in BANNED_ARGUMENTS:
                found.add(f"{name}={value}")
            case ast.Assign(targets=[ast.Attribute(attr="check_hostname")], value=ast.Constant(value=False)):
                found.add("check_hostname")
    return found


def test_no_known_door_is_opened():
    assert {str(path): found for path in modules() if (found := doors(tree(path)))} == {}


@pytest.mark.parametrize(
    "code",
    [
        "yaml.load(text)", "yaml.unsafe_load(text)", "tempfile.mktemp()", "os.system('a')",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)", "httpx.get(url, verify=False)", "context.check_hostname = False",
        "context.verify_mode = ssl.CERT_NONE", "ssl._create_unverified_context()",
    ],
)  # fmt: skip
def test_each_known_door_would_be_seen(code):
    assert doors(ast.parse(code))


def test_file_operations_go_through_files():
    for path in modules():
        if home(path) not in {"files", "cli"}:
            past = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and touches_files(node)]
            assert not past, f"{path}:{past[0]} works on files past tiffin.files"


def touches_files(call: ast.Call) -> bool:
    match call.func:
        case ast.Name(id="open"):
            return True
        case ast.Attribute(value=ast.Name(id="os" | "shutil"), attr=name) if name in FILE_CALLS:
            return True
        case ast.Attribute(attr="write_bytes" | "write_text" | "hardlink_to"):
            return True
    return False


def test_files_and_functions_stay_short():
    for path in modules():
        text = path.read_text()
        assert text.count("\n") <= 600, path
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                size = (node.end_lineno - body[0].lineno + 1) if body else 0
                assert size <= 60, f"{path}:{node.lineno} {node.name} has {size} lines"


def test_every_public_name_is_documented():
    for path in modules():
        for node in tree(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list):
                    continue
                assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name}"
