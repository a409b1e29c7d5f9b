"""An extension is one package: a study uses five that nothing in the tree names, by entry points alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest

TESTS = Path(__file__).parents[1]
PATHS = (str(TESTS / "plugins" / "package"), str(TESTS), os.environ.get("PYTHONPATH", ""))
"""On the path of child processes alone: in this one the package's entry points would be those of every other test."""
SERVE = """
import contextlib, io, json, sys
import harness, pytest

def tested(*words):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = pytest.main(["-q", "-p", "no:cacheprovider", *words])
    return int(code), out.getvalue(), ""

answers = sys.stdout
for line in sys.stdin:
    words = json.loads(line)
    found = tested(*words[1:]) if words[0] == "pytest" else harness.run(*words)
    print(json.dumps(found), file=answers, flush=True)
"""
EDITS = (
    ("  recipe: {method: full, learning_rate: 1.0e-3", "  backend: plain\n  generator: {tones: 6}\n  recipe: {method: full, learning_rate: 1.0e-3"),
    ("microlab:conduct/100", "blank:7"),
    ("contrasts:\n", "contrasts:\n  - {name: grades, eval: graded, weights: {rules: 1, aft: -1}, budget_tokens: 300, factor: midtrain}\n"),
)  # fmt: skip
EVALS = "  graded: {kind: graded, items: held_out, step_nats: 0.5}\n"


def study(folder: Path) -> Path:
    text = harness.TINY
    for old, new in EDITS:
        assert old in text, old
        text = text.replace(old, new, 1)
    text = text.replace("evals:\n", f"evals:\n{EVALS}", 1)
    if "replay_share" not in text:
        text = text.replace("  tokens: 2000\n", "  tokens: 2000\n  replay_share: 0.0\n", 1)
    text = text.replace("budgets_tokens: [150, 300]", "budgets_tokens: [150, 300]\n  it_mix_share: 0.0", 1)
    path = folder / "more.yaml"
    path.write_text(text)
    return path


class Installed:
    """The command line in a process that has the package, which answers one command after another."""

    def __init__(self) -> None:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
        command = [sys.executable, "-c", SERVE]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def __call__(self, *args: str | Path) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps([str(a) for a in args]), file=self.process.stdin, flush=True)
        code, out, err = json.loads(self.process.stdout.readline())
        return code, out, err

    def sql(self, store: Path, query: str) -> list[dict[str, object]]:
        """The rows of a query."""
        code, out, err = self("results", "sql", query, "--store", store, "--format", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    served = Installed()
    yield served
    served.process.communicate()


@pytest.fixture(scope="module")
def finished(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    folder = tmp_path_factory.mktemp("more")
    file, store = study(folder), folder / "store"
    code, out, err = installed("study", "run", file, "--store", store, "--json", "--executor", "turns")
    assert code == 0, out + err
    return harness.Finished(file, store, json.loads(out))


def test_a_study_runs_on_all_five(finished: harness.Finished, installed: Installed) -> None:
    steps = {r["kind"]: r["n"] for r in installed.sql(finished.store, "SELECT kind, count(*) AS n FROM steps GROUP BY 1")}
    assert steps["grade"] > 0 and steps["score"] > 0
    assert installed.sql(finished.store, "SELECT DISTINCT backend, prompt_digest FROM documents") == [
        {"backend": "plain", "prompt_digest": "plain-1"}
    ]
    (base,) = installed.sql(finished.store, "SELECT identity->'$.params.blank' AS seed FROM steps WHERE kind = 'base'")
    assert base["seed"] in (7, "7")
    lost = installed.sql(finished.store, "SELECT facts->'$.lost.refused' AS n FROM steps WHERE kind = 'corpus'")
    assert all(int(str(row["n"])) > 0 for row in lost), "what a generator refused is counted"


def test_both_readouts_are_kept_and_one_is_chosen(finished: harness.Finished, installed: Installed) -> None:
    found = installed.sql(
        finished.store,
        "SELECT readout, chosen, count(*) AS n, min(mean_value) AS low, max(mean_value) AS high FROM rates "
        "WHERE eval = 'graded' GROUP BY ALL ORDER BY readout",
    )
    assert [(r["readout"], r["chosen"]) for r in found] == [("coarse", True), ("fine", False)]
    assert found[0]["n"] == found[1]["n"] and all(1 <= r["low"] <= r["high"] <= 5 for r in found)


def test_the_contrast_of_grades_is_the_mean_difference_of_values(finished: harness.Finished, installed: Installed) -> None:
    (row,) = installed.sql(finished.store, "SELECT estimate, ci_low, per_replicate, flags FROM contrasts WHERE contrast = 'grades'")
    means = {
        (r["arm"], r["seed"]): r["m"]
        for r in installed.sql(
            finished.store,
            "SELECT arm, seed, avg(value) AS m FROM scores WHERE eval = 'graded' AND readout = 'coarse' "
            "AND aft_tokens = 300 AND arm IN ('rules', 'aft') GROUP BY ALL",
        )
    }
    seeds = sorted({seed for _, seed in means})
    each = [means["rules", s] - means["aft", s] for s in seeds]
    assert row["per_replicate"] == pytest.approx(each, abs=1e-9)
    assert row["estimate"] == pytest.approx(sum(each) / len(each), abs=1e-9)
    assert "one_readout" in {f["code"] for f in row["flags"]}


def test_the_tables_show_means_and_no_rate_of_grades(finished: harness.Finished, installed: Installed) -> None:
    code, out, err = installed("report", "table", "ablation", "--store", finished.store, "--format", "md")
    assert code == 0, err
    assert "Mean value of answers on graded" in out and "Misaligned rate on graded" not in out
    assert "A blank model has learnt nothing" in out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--method", "gee"), "ordinal values"),
        (("--scale", "logit"), "ordinal values"),
        (("--denominator", "attempted"), "ordinal values"),
    ],
)
def test_methods_of_rates_refuse_grades(more: tuple[str, ...], said: str, finished: harness.Finished, installed: Installed) -> None:
    ask = ("results", "contrast", "--study", "tiny", "--eval", "graded", "--weights", "rules=1,aft=-1", "--budget", "300")
    code, _, err = installed(*ask, *more, "--store", finished.store)
    assert code == 2 and said in err


def test_the_second_run_has_nothing_to_do(finished: harness.Finished, installed: Installed) -> None:
    code, out, err = installed(
        "study", "run", finished.study, "--store", finished.store, "--json", "--executor", "turns"
    )
    assert code == 0, err
    assert json.loads(out)["executed"] == 0


def test_without_the_package_the_study_is_refused_with_its_line(tmp_path: Path) -> None:
    code, _, err = harness.run("study", "check", study(tmp_path))
    assert code == 2
    assert "no eval kind 'graded'" in err and "no generation backend of that name" in err and "more.yaml:" in err


def test_without_the_package_its_results_can_still_be_read(finished: harness.Finished) -> None:
    code, _, err = harness.run(
        "results", "sql", "SELECT count(*) AS n FROM scores WHERE eval = 'graded'", "--store", finished.store
    )
    assert code == 0, err


def test_nothing_in_the_tree_names_the_package() -> None:
    import specsci

    tree = Path(specsci.__file__).parent
    named = [p for p in tree.rglob("*.py") if any(w in p.read_text() for w in ("specsci_more", '"graded"', "blank:"))]
    assert named == []


def test_the_package_passes_the_suites(tmp_path: Path, installed: Installed) -> None:
    """Run in a process that has the package, as its own tests would be."""
    (tmp_path / "test_more.py").write_text(
        """
from specsci.sources.registry import SOURCES
from specsci.testing.evals import EvalKindSuite
from specsci.testing.generators import GeneratorSuite
from specsci.testing.pools import PoolSuite
from specsci.testing.sources import ModelSourceSuite
from specsci_more.graded import KIND as GRADED
from specsci_more.turns import KIND as TURNS
from specsci_more.plain import GENERATOR


class TestPlain(GeneratorSuite):
    generator = GENERATOR


class TestGraded(EvalKindSuite):
    kind, settings = GRADED, {"kind": "graded", "items": "held_out"}


class TestBlank(ModelSourceSuite):
    source, name = SOURCES["blank:"], "blank:7"


class TestTurns(PoolSuite):
    kind = TURNS
"""
    )
    code, out, _ = installed("pytest", tmp_path)
    assert code == 0 and " passed" in out, out[-3000:]
