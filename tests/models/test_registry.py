import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import torch

from segcli.errors import UsageError
from segcli.models import checkpoint, plugins, registry

PLUGIN = """
    from segcli.errors import UsageError
    from segcli.plugin import Family, Published
    from segcli.types import ModelInfo, Resize

    def info(variant):
        return ModelInfo("{name}", variant, ("red",), (1,), Resize(64, 128), 32)

    def build(info):
        from torch import nn
        network = nn.Linear(2, {outputs})
        network.info = info
        return network

    def convert(published, info):
        if set(published) != {{"{name}.w", "{name}.b"}}:
            raise UsageError(f"not a {name}: first difference " + sorted(published)[0])
        return {{"weight": published["{name}.w"], "bias": published["{name}.b"]}}

    VARIANTS = {{variant: info(variant) for variant in ("small", "large")}}
    PAGE = Published(url="https://their.page/large.pth", licence="MIT", source="their page")
    FAMILY = Family("{name}", VARIANTS, build, convert, {{"large": PAGE}})
"""


def install(
    folder: Path, name: str, code: str = PLUGIN, *, outputs: int = 3, lines: str = ""
) -> Path:
    """What an installed plugin is on disk: a package, and its entry points beside it."""
    package = folder / f"segcli_{name}"
    package.mkdir()
    (package / "__init__.py").write_text(dedent(code).format(name=name, outputs=outputs))
    about = folder / f"segcli_{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: segcli_{name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        f"[segcli.families]\n{name} = segcli_{name}:FAMILY\n{lines}"
    )
    return package


def ship(package: Path, model: str) -> Path:
    """Put weights of `model` into a package; all its numbers are 0.5."""
    path = package / "weights" / f"{model.partition('/')[2]}.safetensors"
    path.parent.mkdir(exist_ok=True)
    family, info = registry.find(model)
    state = {name: t.clone().fill_(0.5) for name, t in family.build(info).state_dict().items()}
    checkpoint.save(path, state, info, half=True)
    return path


@pytest.fixture(autouse=True)
def _fresh_scan() -> None:
    """Each test installs families of its own."""
    plugins._entries.cache_clear()


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    """A folder on the path, in which `install` puts plugins; nothing kept in the user's home."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("SEGCLI_WEIGHTS", str(tmp_path / "kept"))
    before = set(sys.modules)
    yield folder
    for module in set(sys.modules) - before:
        if (
            getattr(sys.modules[module], "__file__", None)
            and str(tmp_path) in sys.modules[module].__file__
        ):
            del sys.modules[module]


def test_find_takes_the_first_variant_unless_told(site) -> None:
    install(site, "pebble")
    assert registry.find("pebble")[1].variant == "small"
    assert registry.find("pebble/large")[1].variant == "large"


def test_find_suggests_a_near_family(site) -> None:
    install(site, "pebble")
    with pytest.raises(
        UsageError,
        match=r"no model family named 'peble'; installed: .*pebble.* did you mean 'pebble'",
    ):
        registry.find("peble")


def test_find_suggests_a_near_variant(site) -> None:
    install(site, "pebble")
    expected = r"pebble has no variant 'larg'; it has: large, small; did you mean 'large'"
    with pytest.raises(UsageError, match=expected):
        registry.find("pebble/larg")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = (", "SyntaxError"),
        ("raise RuntimeError('out of order')", "RuntimeError: out of order"),
        ("FAMILY = 3", "segcli_broken:FAMILY is a int, not a segcli.plugin.Family"),
        (
            "from segcli.plugin import Family; FAMILY = Family('other', {{}}, None, None)",
            "segcli_broken:FAMILY is named 'other'",
        ),
        (
            "from segcli.plugin import Family; FAMILY = Family('broken', {{}}, None, None)",
            "segcli_broken:FAMILY has no variants",
        ),
    ],
)
def test_a_broken_plugin_hides_no_other(code, reason, site) -> None:
    install(site, "pebble")
    install(site, "broken", code)
    assert "pebble" in registry.families()
    assert "broken" not in registry.families()
    errors = {plugin.name: plugin.error for plugin in registry.plugins()}
    assert errors["pebble"] is None
    assert reason in errors["broken"]
    with pytest.raises(UsageError, match="the model family 'broken' cannot be loaded"):
        registry.find("broken")


def test_no_family_at_all(monkeypatch) -> None:
    monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: ())
    assert registry.families() == {}
    with pytest.raises(UsageError, match="no model family is installed; `segcli doctor`"):
        registry.find(None)


def test_default_is_what_the_installation_says(site, monkeypatch) -> None:
    install(site, "zebra", lines="[segcli.default]\nzebra = segcli_zebra:FAMILY\n")
    install(site, "aardvark")
    ours = plugins.metadata.entry_points
    monkeypatch.setattr(
        plugins.metadata,
        "entry_points",
        lambda group: [e for e in ours(group=group) if e.name in ("zebra", "aardvark")],
    )
    assert registry.find(None)[1].family == "zebra"


def test_default_without_a_choice_is_what_ships_weights(site, monkeypatch) -> None:
    install(site, "aardvark")
    install(site, "zebra")
    ours = plugins.metadata.entry_points
    names = ("zebra", "aardvark")
    monkeypatch.setattr(
        plugins.metadata,
        "entry_points",
        lambda group: [e for e in ours(group=group) if e.name in names],
    )
    assert registry.find(None)[1].family == "aardvark"
    ship(site / "segcli_zebra", "zebra/small")
    assert registry.find(None)[1].family == "zebra"


def test_shipped_weights_are_loaded_by_model_and_by_name(site) -> None:
    path = ship(install(site, "pebble"), "pebble/small")
    assert registry.shipped("pebble") == {"small": path}
    for arguments in (("pebble", None), ("pebble/small", None), (None, "pebble/small")):
        loaded = registry.load_model(*arguments)
        assert loaded.weights == "pebble/small"
        assert loaded.info == registry.find("pebble")[1]
        assert torch.equal(loaded.model.weight, torch.full((3, 2), 0.5))
        assert loaded.sha256 == checkpoint.digest(path)
        assert not loaded.model.training


def test_weights_by_path_bring_their_own_info(site, tmp_path) -> None:
    import dataclasses

    install(site, "pebble")
    family, info = registry.find("pebble/large")
    trained = dataclasses.replace(info, categories=("nut", "bolt"), category_ids=(5, 9))
    checkpoint.save(tmp_path / "mine", family.build(info).state_dict(), trained)
    for model in (None, "pebble", "pebble/large"):
        loaded = registry.load_model(model, str(tmp_path / "mine"))
        assert loaded.info == trained
        assert loaded.weights == str(tmp_path / "mine")


def test_weights_of_a_variant_of_a_newer_version_are_refused(site, tmp_path) -> None:
    import dataclasses

    install(site, "pebble")
    family, info = registry.find("pebble/large")
    newer = dataclasses.replace(info, variant="huge")
    checkpoint.save(tmp_path / "newer", family.build(info).state_dict(), newer)
    for model in (None, "pebble"):
        with pytest.raises(UsageError, match="huge"):
            registry.locate(model, str(tmp_path / "newer"))


def test_weights_of_another_model_are_refused(site, tmp_path) -> None:
    install(site, "pebble")
    install(site, "granite")
    file = ship(site / "segcli_pebble", "pebble/large")
    expected = "has weights of pebble/large, not of granite; use `model='pebble/large'`"
    with pytest.raises(UsageError, match=expected):
        registry.locate("granite", str(file))
    with pytest.raises(UsageError, match="of pebble/large, not of pebble/small"):
        registry.locate("pebble/small", str(file))


def test_weights_with_other_keys_name_the_first_difference(site, tmp_path) -> None:
    install(site, "pebble")
    _, info = registry.find("pebble")
    checkpoint.save(tmp_path / "w", {"weight": torch.zeros(4, 2)}, info)
    expected = r"missing, first bias; 1 reshaped, first weight \(4, 2\) instead of \(3, 2\)"
    with pytest.raises(UsageError, match=expected):
        registry.load_model("pebble", str(tmp_path / "w"))


def test_published_checkpoint_is_converted(site, tmp_path) -> None:
    install(site, "pebble")
    torch.save({"pebble.w": torch.ones(3, 2), "pebble.b": torch.zeros(3)}, tmp_path / "p.pth")
    loaded = registry.load_model("pebble/large", str(tmp_path / "p.pth"))
    assert loaded.info.variant == "large"
    assert torch.equal(loaded.model.weight, torch.ones(3, 2))


@pytest.mark.slow
def test_published_checkpoint_of_another_family_says_which(site, tmp_path) -> None:
    install(site, "pebble")
    install(site, "granite")
    torch.save({"pebble.w": torch.ones(3, 2), "pebble.b": torch.zeros(3)}, tmp_path / "p.pth")
    expected = (
        "not a granite: first difference pebble.b; "
        "it looks like pebble/small, pebble/large: try `model='pebble/small'`"
    )
    with pytest.raises(UsageError, match=expected):
        registry.load_model("granite", str(tmp_path / "p.pth"))


def test_absent_weights_say_how_to_get_them(site) -> None:
    ship(install(site, "pebble"), "pebble/small")
    with pytest.raises(UsageError) as caught:
        registry.load_model("pebble/large", None)
    assert str(caught.value) == (
        "no weights for pebble/large are installed (shipped: pebble/small): `segcli weights fetch "
        "pebble/large` gets the published ones; or give a file as `weights`"
    )


def test_kept_weights_are_found(site, tmp_path) -> None:
    install(site, "pebble")
    family, info = registry.find("pebble/large")
    registry.kept(info).parent.mkdir(parents=True)
    checkpoint.save(registry.kept(info), family.build(info).state_dict(), info)
    assert registry.load_model("pebble/large", None).weights == "pebble/large"


def test_unknown_weights_list_what_ships(site) -> None:
    ship(install(site, "pebble"), "pebble/small")
    for given, what in (("nowhere.pth", "does not exist"), (str(site), "is a folder")):
        with pytest.raises(
            UsageError, match=f"as a path it {what}, and the shipped weights are .*pebble/small"
        ):
            registry.locate(None, given)


def test_facts_need_no_torch(site) -> None:
    path = ship(install(site, "pebble"), "pebble/small")
    code = (
        "import sys; from segcli.models import registry;"
        "info, path, sha256 = registry.weights_facts('pebble', None);"
        "print(info.variant, path.name, sha256, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(site)},
    )
    assert done.stdout == f"small small.safetensors {checkpoint.digest(path)} False False\n"
