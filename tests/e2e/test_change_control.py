"""Change control as `spec_variants/README.md` shows it: the session is run, and its output is the documented one."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import harness
import pytest

README = Path(__file__).parents[2] / "spec_variants" / "README.md"
STUDY = """\
study: small_change
title: What does one reworded rule do?
hypothesis: One other rule moves the choices it names and leaves the others.
family: my_conduct@1.0.0
contrasts:
  - {name: rules_over_aft, eval: trained, weights: {rules: 1, aft: -1}, budget_tokens: 300, factor: midtrain}
arms:
  base: {title: base model (no treatment)}
  aft: {title: AFT only, align: choices}
  rules: {title: MSM on the rules and AFT, midtrain: rules, align: choices}
evals:
  held_out: {items: held_out}
  trained: {items: trained, role: trained}
base_models:
  dev: {source: "microlab:conduct/100"}
replicates:
  - {seed: 1, base_model: dev}
midtrain:
  tokens: 4000
  recipe: {method: full, learning_rate: 1.0e-3, sequences_per_update: 8, max_length_tokens: 64}
align:
  budgets_tokens: [300]
  recipe: {method: full, learning_rate: 1.0e-4, sequences_per_update: 4, max_length_tokens: 65}
gates: {accept_few_updates: an example of change control}
runtime: {threads_per_worker: 1}
"""


def session(text: str) -> list[tuple[str, int, list[str]]]:
    """(command, exit code, documented lines) of every `console` block, in order."""
    out: list[tuple[str, int, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                command, _, comment = line[2:].partition("   # ends with ")
                out.append((command, int(comment or 0), []))
            else:
                out[-1][2].append(line)
    return out


def matches(documented: list[str], real: str) -> bool:
    """Whether an output is the documented one, `...` standing for anything."""
    parts = [re.escape(" ".join(line.split())) for line in documented if line.strip()]
    pattern = r"\s*".join(parts).replace(re.escape("..."), ".*?")
    return re.fullmatch(rf"\s*{pattern}\s*", " ".join(real.split()), re.DOTALL) is not None


def run_line(line: str, folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Run one line of the session: the project's own commands as `harness.run` does, others in a shell."""
    words = shlex.split(line)
    if words[0] == "specsci":
        return harness.run(*words[1:], cwd=folder, env=environment)
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_matcher_can_fail() -> None:
    assert matches(["a", "...", "c"], "a\nb\nc\n") and matches(["x ..."], "x y z")
    assert not matches(["a", "c"], "a\nb\nc\n") and not matches(["a"], "a\nb")


def test_the_documented_session_runs_as_documented(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    environment = {"SPECSCI_CACHE": str(tmp_path / "cache"), "SPECSCI_STORE": str(tmp_path / "store")}
    steps = session(README.read_text())
    assert len(steps) > 12
    for command, code, documented in steps:
        ended, out, err = run_line(command, tmp_path, environment)
        assert ended == code, f"{command}\n{out}{err}"
        assert matches(documented, out), f"{command}\n{out}\n--- documented:\n" + "\n".join(documented)


@pytest.fixture
def forked(tmp_path: Path, specsci) -> Path:
    """A family of one's own with its first version recorded."""
    assert specsci("spec", "fork", "microlab_conduct", "mine", cwd=tmp_path).returncode == 0
    bump = ("spec", "bump", "mine", "1.0.0", "--reason", "first", "--author", "me")
    assert specsci(*bump, cwd=tmp_path).returncode == 0
    return tmp_path / "spec_variants" / "mine"


def test_restore_puts_the_text_back(forked: Path, specsci) -> None:
    path = forked / "family.yaml"
    before = path.read_text()
    path.write_text(before.replace("act: hide-mail", "act: dodge-mail", 1))
    assert specsci("spec", "check", "mine", cwd=forked.parents[1]).returncode == 2
    done = specsci("spec", "restore", "mine", cwd=forked.parents[1])
    assert (done.returncode, done.stdout) == (0, "mine is as 1.0.0 was recorded; family.yaml changed\n")
    assert path.read_text() == before
    assert specsci("spec", "check", "mine", cwd=forked.parents[1]).returncode == 0


BUMPS = [
    (("1.0.0", "--reason", "x", "--author", "me"), "version 1.0.0 is not above 1.0.0"),
    (("0.9.0", "--reason", "x", "--author", "me"), "version 0.9.0 is not above 1.0.0"),
    (("1.1.0", "--reason", "x", "--author", "me"), "the text is that of version 1.0.0: nothing changed"),
    (("next", "--reason", "x", "--author", "me"), "'next' is not a valid version"),
    (("1.1.0", "--reason", " ", "--author", "me"), "a version needs an author and a reason in writing"),
]


@pytest.mark.parametrize(("arguments", "message"), BUMPS, ids=[b[1] for b in BUMPS])
def test_a_bump_that_says_nothing_is_refused(forked: Path, specsci, arguments, message) -> None:
    done = specsci("spec", "bump", "mine", *arguments, cwd=forked.parents[1])
    assert done.returncode == 2 and message in done.stderr
    assert [p.name for p in (forked / "versions").iterdir()] == ["1.0.0.zip"]


def test_a_damaged_snapshot_is_named_and_never_used(forked: Path, specsci, tmp_path: Path) -> None:
    path = forked / "family.yaml"
    path.write_text(path.read_text().replace("act: hide-mail", "act: dodge-mail", 1))
    assert specsci("spec", "bump", "mine", "1.1.0", "--reason", "r", "--author", "me", cwd=tmp_path).returncode == 0
    cache = {"SPECSCI_CACHE": str(tmp_path / "cache")}
    assert "hide-mail" in specsci("spec", "show", "mine@1.0.0:rules", cwd=tmp_path, env=cache).stdout
    snapshot = forked / "versions" / "1.0.0.zip"
    snapshot.write_bytes((forked / "versions" / "1.1.0.zip").read_bytes())
    fresh = {"SPECSCI_CACHE": str(tmp_path / "other")}
    done = specsci("spec", "show", "mine@1.0.0:rules", cwd=tmp_path, env=fresh)
    assert done.returncode == 2 and "the snapshot of 'mine' 1.0.0 is not what CHANGES.yaml recorded" in done.stderr
    snapshot.write_bytes(b"no archive")
    done = specsci("spec", "show", "mine@1.0.0:rules", cwd=tmp_path, env=fresh)
    assert done.returncode == 2 and "the snapshot cannot be read" in done.stderr and "Traceback" not in done.stderr


def test_an_unknown_version_names_the_nearest(forked: Path, specsci, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("my_conduct@1.0.0", "mine@1.0.1"))
    done = specsci("study", "plan", "study.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "study.yaml:4:9: family 'mine' has no version '1.0.1'\n  hint: did you mean '1.0.0'?" in done.stderr
