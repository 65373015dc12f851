"""What is installed: all of the code, the zoo and the embedded data, and nothing else."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from compiler.diagnostics import Report
from runtime.run import prepare

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CODE = ("compiler", "runtime")
SHIPPED = (*CODE, "specs")
MODULES = {f"{name}.py" for name in PROJECT["tool"]["setuptools"]["py-modules"]}


def files(folder: str, pattern: str) -> set[str]:
    """Paths under a folder of the checkout, relative to the checkout."""
    return {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob(pattern)
            if p.is_file() and "__pycache__" not in p.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, so that nothing is left in the checkout."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in SHIPPED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*MODULES, "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(out), str(copy)], check=True, cwd=out)
    (built,) = out.glob("flaxspec-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents in a folder of their own, as in site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(installed: Path, cwd: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python far from the checkout, with the installed copy on the path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, text=True, capture_output=True, check=False,
        env=environment | {"PYTHONPATH": str(installed)})


def test_every_package_is_listed() -> None:
    packages = {p.removesuffix("/__init__.py").replace("/", ".")
                for folder in CODE for p in files(folder, "__init__.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) - {"flaxspec_specs"} == packages


def test_every_folder_with_code_is_a_package() -> None:
    folders = {Path(p).parent.as_posix() for folder in CODE for p in files(folder, "*.py")}
    assert {f for f in folders if not (ROOT / f / "__init__.py").exists()} == set()


def test_the_zoo_holds_yaml_and_its_schema_only() -> None:
    others = {p for p in files("specs", "*") if not p.endswith(".yaml")}
    assert others == {"specs/flaxspec.schema.json"}


def test_scripts_lead_to_functions() -> None:
    for target in PROJECT["project"]["scripts"].values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("command", ["flaxspec", "compile_and_train"])
def test_another_package_of_a_generic_name_is_told_and_named(
    name: str, command: str, tmp_path: Path,
) -> None:
    other = tmp_path / name / "__init__.py"
    other.parent.mkdir()
    other.write_text("")
    done = subprocess.run(
        [sys.executable, "-c", f"import flaxspec_commands; flaxspec_commands.{command}()"],
        text=True, capture_output=True, check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: flaxspec needs its own package `{name}` from {ROOT / name}, but Python finds "
        f"{other} first: rename that one, or take its folder off sys.path\n")


def test_pins_fulfil_the_floors() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition(";")[0].strip().partition("==")
            pins[name.lower()] = version
    for requirement in PROJECT["project"]["dependencies"]:
        name, _, floor = requirement.partition(">=")
        assert numbers(pins[name]) >= numbers(floor), name


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_readme_names_what_there_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", readme)
    assert [link for link in links if not (ROOT / link).exists()] == []
    known = {Path(p).name for folder in (*CODE, "tests") for p in files(folder, "*.py")} | MODULES
    assert set(re.findall(r"\b[a-z_]+\.py\b", readme)) - known == set()


def sections() -> dict[str, str]:
    """What the map in README says of each thing at the root, by its name."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    chart = readme.split("## The map\n")[1].split("\n## ")[0]
    return {text.split()[0].rstrip("/"): text
            for text in re.split(r"^ {4}(?=\S)", chart, flags=re.M)[1:]}


def test_the_map_in_readme_has_everything_at_the_root() -> None:
    told = " ".join(sections().values())
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and (
        path.name in SHIPPED or any(path.glob("*.py")) or any(path.glob("*.md")))}
    assert {name for name in folders | MODULES if name not in told} == set()


@pytest.mark.parametrize("folder", SHIPPED)
def test_the_map_in_readme_has_every_file_and_folder_of(folder: str) -> None:
    there = {p.name for p in (ROOT / folder).iterdir()
             if (p.suffix == ".py" or p.is_dir()) and not p.name.startswith("__")}
    told = sections()[folder]
    lacking = {name for name in there if not re.search(rf"(?<![\w./]){re.escape(name)}\b", told)}
    assert lacking == set()


@pytest.mark.parametrize("folder", SHIPPED)
def test_the_map_in_readme_has_nothing_that_is_not_there(folder: str) -> None:
    told = re.findall(r"(?<![\w./])([a-z_]+(?:\.py|/))", sections()[folder].removeprefix(folder))
    known = {p.name + ("/" if p.is_dir() else "") for p in (ROOT / folder).rglob("*")}
    assert set(told) - known - {"/"} == set()


def test_the_spec_in_readme_is_a_recipe_in_order(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "tiny.yaml"
    path.write_text(readme.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    report = Report()
    assert prepare(path, report).inputs == {"image": "image"}
    assert report.diagnostics == []


@pytest.mark.slow
def test_the_wheel_holds_the_code_the_zoo_and_the_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    payload = {n for n in names if not n.split("/")[0].endswith(".dist-info")}
    code = {p for folder in CODE for p in files(folder, "*.py")} | MODULES
    zoo = {p.replace("specs/", "flaxspec_specs/", 1) for p in files("specs", "*")}
    data = files("runtime", "*") - files("runtime", "*.py")
    data |= files("compiler", "*.js") | files("compiler", "*.css") | files("compiler", "*.yaml")
    assert any(p.endswith("digits.npz") for p in data)
    assert payload == code | zoo | data
    notices = {n.rsplit("/", 1)[-1] for n in names - payload}
    assert {"LICENSE", "NOTICE"} <= notices


@pytest.mark.slow
def test_the_zoo_is_found_when_installed(installed: Path, tmp_path: Path) -> None:
    result = run_installed(
        installed, tmp_path,
        "from compiler import zoo; path, variant = zoo.find('resnet50');"
        "print(path); print(variant)")
    path = installed / "flaxspec_specs/cnn/resnet.yaml"
    assert result.stdout.split() == [str(path), "resnet50"], result.stderr


@pytest.mark.slow
def test_embedded_data_is_found_when_installed(installed: Path, tmp_path: Path) -> None:
    result = run_installed(
        installed, tmp_path,
        "from runtime.data.embedded import path; print(path('digits.npz').stat().st_size)")
    size = (ROOT / "runtime/data/embedded/digits.npz").stat().st_size
    assert result.stdout.split() == [str(size)], result.stderr
