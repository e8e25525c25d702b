"""The rules of the house, read off the source: layers, doors, sizes, words, a light --help."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS = (
    "errors",
    "types categories keypoints keys cameras time_patterns partitions files suggest machine "
    "startup cloud plurals",
    "plugin",
    "sources images models masks store video",
    "annotations zones",
    "pipeline train evaluate viz stats export report manifest environment retention track",
    "api",
    "cli",
)
LAYER = {unit: number for number, units in enumerate(LAYERS) for unit in units.split()}
STAGES = 3
# Stages and uses know nothing of one another, but for these.
ALLOWED = {
    ("sources", "video"),  # a video is listed as its frames
    ("store", "masks"),  # run lengths are checked when an output is verified
    ("report", "stats"),
    ("report", "viz"),
    ("report", "evaluate"),
    ("export", "viz"),  # images are found by their keys in one way
    ("retention", "stats"),  # the time and the camera of an image
    ("train", "evaluate"),
    ("train", "stats"),
    ("track", "stats"),  # time and camera of an image are found in one way
}

# Third-party library -> the units that may import it: its doors.
DOORS = {
    # annotations fills circles as LabelMe does, which uses Pillow
    "PIL": {"images", "viz", "annotations"},
    "imagecodecs": {"images"},
    "tifffile": {"images"},
    "simplejpeg": {"images"},
    "pi_heif": {"images"},
    # evaluate computes on the batches of the store, manifest is a table of its own
    "pyarrow": {"store", "sources", "evaluate", "manifest"},
    "duckdb": {"store"},
    "pycocotools": {"masks", "evaluate"},
    "typer": {"cli"},
    "rich": {"cli"},
    "av": {"video", "viz"},
    "safetensors": {"models"},
    "prometheus_client": {"cli"},
    "ray": {"pipeline"},
    "matplotlib": {"stats", "evaluate", "train"},
    "jinja2": {"report", "evaluate", "zones"},
    "markupsafe": {"report", "zones"},
    "contourpy": {"report"},
    "yaml": {"annotations"},
    "obstore": {"cloud"},
    "huggingface_hub": {"cloud"},
}
PLUGIN_IMPORTS = {"segcli", "segcli_blocks", "torch", "torchvision", "numpy"}
# Further libraries, each with the files of the plugins that may import it.
PLUGIN_DOORS = {
    "scipy": {"segcli_blocks/regions.py", "segcli_blocks/set_prediction.py"},
    "transformers": {"segcli_blocks/hugging_face.py"},
}
HEAVY = ("torch", "torchvision", "numpy", "pyarrow", "PIL", "transformers")


@cache
def tracked() -> tuple[Path, ...]:
    """The files of the project: what git tracks, or everything where there is no git."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode == 0:
        return tuple(
            ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()
        )
    return tuple(path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts)


def python_files(*folders: str) -> list[Path]:
    return [
        path
        for path in tracked()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders
    ]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, TYPE_CHECKING blocks left out."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def unit_of(path: Path) -> str:
    return path.relative_to(ROOT / "segcli").parts[0].removesuffix(".py")


def segcli_files() -> list[Path]:
    return [p for p in python_files("segcli") if unit_of(p) not in ("__init__", "__main__")]


def test_every_file_of_segcli_has_a_layer() -> None:
    assert {unit_of(path) for path in segcli_files()} <= set(LAYER)


def test_a_file_imports_only_from_lines_above_its_own() -> None:
    wrong = []
    for path in segcli_files():
        ours = unit_of(path)
        for module in imports(path):
            theirs = module.split(".")[1] if module.startswith("segcli.") else ""
            if theirs not in LAYER or theirs == ours:
                continue
            beside = LAYER[theirs] == LAYER[ours] and (ours, theirs) not in ALLOWED
            if LAYER[theirs] > LAYER[ours] or (beside and LAYER[ours] >= STAGES):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_each_library_has_its_doors() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in segcli_files()
        for module in imports(path)
        if unit_of(path) not in DOORS.get(module.split(".")[0], {unit_of(path)})
    ]
    assert wrong == []


def test_segcli_names_no_plugin() -> None:
    families = [path.name.removeprefix("segcli_") for path in (ROOT / "plugins").glob("segcli_*")]
    words = re.compile(rf"\bsegcli_(?:{'|'.join(families)})\b")
    assert [str(path) for path in python_files("segcli") if words.search(path.read_text())] == []


def test_plugins_import_the_contracts_and_never_one_another() -> None:
    wrong = []
    for path in python_files("plugins"):
        own = path.relative_to(ROOT / "plugins").parts[0]
        for module in imports(path):
            top = module.split(".")[0]
            foreign = top not in PLUGIN_IMPORTS | {own} | set(sys.stdlib_module_names)
            if top in PLUGIN_DOORS:
                foreign = str(path.relative_to(ROOT / "plugins")) not in PLUGIN_DOORS[top]
            deep = top == "segcli" and LAYER.get(module.split(".")[1], 9) >= STAGES
            if foreign or deep or (own == "segcli_blocks" and top == "segcli_blocks" != own):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_family_modules_load_no_torch() -> None:
    code = (
        "import sys; from segcli.models.registry import plugins;"
        "print([(p.name, p.error) for p in plugins() if p.error]);"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    assert run_python(code).splitlines() == ["[]", "[]"]


def test_files_and_functions_are_short() -> None:
    long = []
    for path in python_files("segcli", "plugins", "scripts"):
        text = path.read_text()
        if (lines := text.count("\n")) > 300:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                if size > 50:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} has {size} lines")
    assert long == []


def test_no_module_of_odds_and_ends() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "misc"}
    parts = {
        part.removesuffix(".py") for path in tracked() for part in path.relative_to(ROOT).parts
    }
    assert parts & banned == set()


def test_the_library_speaks_of_arguments_and_not_of_options() -> None:
    # Other programs have options too: Ray and pip.
    allowed = {"--head", "--no-deps"}
    named = []
    for path in segcli_files():
        if unit_of(path) not in ("annotations", "pipeline", *LAYERS[STAGES].split()):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                options = {*re.findall(r"[ `(](--[a-z][a-z-]*)", node.value)} - allowed
                named += [f"{path.relative_to(ROOT)}: {option}" for option in sorted(options)]
    assert named == []


def test_scripts_shows_the_commands_and_folders_of_modules() -> None:
    inside = {
        path.relative_to(ROOT / "scripts").parts
        for path in tracked()
        if path.is_relative_to(ROOT / "scripts")
    }
    commands = {parts[0] for parts in inside if len(parts) == 1}
    assert commands == {"bench", "check", "demo", "lock", "setup", "soak", "test"}
    assert {parts[0] for parts in inside} - commands == {
        "benchmarks",
        "ci",
        "data",
        "figures",
        "gpu_check",
        "studies",
    }


def test_scripts_are_executable() -> None:
    scripts = [path for path in tracked() if path.parent == ROOT / "scripts" and not path.suffix]
    assert len(scripts) >= 5
    assert [
        str(path) for path in [*scripts, ROOT / ".ci/run"] if not os.access(path, os.X_OK)
    ] == []


def test_tracked_files_name_no_machine() -> None:
    # Written so that this file does not name them either.
    paths = r"/(?:work|root|tmp/bash_jobs|tmp/brief|opt/(?:pypi|wheels))(?:/|\b)"
    hosts = r"python" + r"hosted\.org|pypi" + r"\.org|registry\.npm" + r"js"
    words = re.compile(rf"(?<![\w.~]){paths}|{hosts}")
    named = {}
    for path in tracked():
        data = path.read_bytes() if path != Path(__file__).resolve() else b""
        text = "" if b"\0" in data[:4096] else data.decode(errors="replace")
        if found := words.search(text):
            named[str(path.relative_to(ROOT))] = found.group()
    assert named == {}


def test_no_large_file_and_no_lock_of_uv_is_tracked() -> None:
    sizes = {str(p.relative_to(ROOT)): p.stat().st_size for p in tracked()}
    assert "uv.lock" not in sizes
    assert {name: size for name, size in sizes.items() if size > 16_000_000} == {}
    weights = sum(size for name, size in sizes.items() if name.endswith(".safetensors"))
    assert weights < 25_000_000


def test_lock_pins_every_requirement_without_addresses() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.match(r"[a-z0-9.-]+==[\w.+]+", line) for line in pins)
    assert not any("://" in line for line in lines)
    plain = [line for line in pins if line.startswith("pillow==")]
    assert all(line.endswith("sys_platform == 'never'") for line in plain), "beside Pillow-SIMD"


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout


def commands() -> list[tuple[str, ...]]:
    """Every command, as the words after `segcli`."""
    from typer.main import get_command

    from segcli.cli import app

    found: list[tuple[str, ...]] = [()]
    pending = [((), get_command(app))]
    while pending:
        words, command = pending.pop()
        for name, child in getattr(command, "commands", {}).items():
            found.append((*words, name))
            pending.append(((*words, name), child))
    return sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_is_light(words) -> None:
    code = (
        "import sys; from segcli.cli import app\n"
        f"try: app({[*words, '--help']!r})\n"
        "except SystemExit as end: code = end.code\n"
        f"print('loaded', code, sorted(set({HEAVY}) & set(sys.modules)))"
    )
    shown, _, loaded = run_python(code).rpartition("loaded")
    assert "Usage:" in shown
    assert loaded.split() == ["0", "[]"]


def test_readme_commands_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = "\n".join(re.findall(r"```(?:sh|console|bash)\n(.*?)```", readme, re.DOTALL))
    known = {words[0] for words in commands() if words}
    used = set(re.findall(r"\bsegcli ([a-z]+)", blocks))
    assert used, "the README shows no segcli command"
    assert used <= known
    scripts = set(re.findall(r"(?:^|\s)\.?/?(scripts/\w+)", blocks))
    assert {"scripts/demo", "scripts/test"} <= scripts
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)
