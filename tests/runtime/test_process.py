"""Starting the command again with its settings."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from runtime.cli.first_step import LEAST, Sooner, touched
from runtime.cli.process import SETTINGS, SWITCH, described, missing

SHOWN = f"import os; print(*(os.environ.get(n, '-') for n in ('MALLOC_MMAP_MAX_', '{SWITCH}')))"


def run(code: str, **environment: str) -> list[str]:
    kept = {n: v for n, v in os.environ.items() if n not in SETTINGS and n != SWITCH}
    done = subprocess.run([sys.executable, "-c", code, "word"], env=kept | environment,
                          capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_settings_of_the_user_are_left_alone():
    assert missing({}, "linux") == SETTINGS
    assert missing({"MALLOC_MMAP_MAX_": "5"}, "linux") == {}
    assert missing({SWITCH: "0"}, "linux") == {}


def test_other_systems_have_no_such_settings():
    assert missing({}, "darwin") == {}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_the_command_starts_again_once_with_the_same_arguments():
    begin = "import sys; from runtime.cli.process import restart; restart(); print(sys.argv[1:])"
    code = f"{begin}; {SHOWN}"
    assert run(code) == ["['word']", "0", "done"]
    assert run(code, **{SWITCH: "0"}) == ["['word']", "-", "0"]


def test_importing_the_library_changes_no_process():
    assert run(f"import flaxspec, runtime.cli.train; {SHOWN}") == ["-", "-"]


def test_verbose_names_the_settings_and_the_switch():
    text = described(SETTINGS | {SWITCH: "done"})
    assert "MALLOC_MMAP_MAX_=0" in text and f"{SWITCH}=0" in text


def test_a_recipe_may_ask_for_plain_kernels():
    from compiler.diagnostics import Report
    from compiler.lower.build import build_model
    from runtime.run import prepare

    prepared = prepare("digits-resnet", Report(), assignments=["train.compile.kernels=reference"])
    assert prepared.training.train.compile.kernels == "reference"
    assert build_model(prepared.graph, abstract=True, kernels="reference")._kernels == "reference"


def test_memory_is_readied_only_where_it_stays_and_is_there():
    assert 2**31 > touched(2**30, 2**20, SETTINGS, 2**40) > 2**30
    assert touched(2**30, 2**20, {}, 2**40) == 0
    assert touched(LEAST, 2**20, SETTINGS, 2**40) == 0
    assert touched(2**40, 2**20, SETTINGS, 2**32) == 2**30


def test_garbage_is_collected_again_from_the_second_step():
    sooner = Sooner(0, 0)
    try:
        sooner.step(5, dict)
        assert not gc.isenabled()
        sooner.step(6, dict)
        assert gc.isenabled()
    finally:
        sooner.close()


def test_garbage_is_collected_again_after_a_run_that_made_no_step():
    Sooner(0, 0).close()
    assert gc.isenabled()
