"""Logs of Inspect and lm-eval as imports: states, scores told as aligned or not, samples that were tried again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from specsci.cli.main import cli
from specsci.core.errors import SpecsciError

pytest.importorskip("inspect_ai")
HEAD = {"higher_is_better": {"probe": {"acc": True}}, "versions": {"probe": 1}, "model_name": "org/small"}


def inspect_log(folder: Path, said: dict[str, str], *, version: int = 0, epochs: int = 1, model: str = "mockllm/model", **arguments: Any) -> Path:
    """A log as Inspect writes it: samples by id, each with what the model replies; `fail` raises in the solver, `odd` has no number."""
    from inspect_ai import Task, eval, task
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score, Target, accuracy, scorer
    from inspect_ai.solver import TaskState, solver

    @solver
    def told():
        async def solve(state: TaskState, generate):
            word = said[str(state.sample_id)]
            if word == "fail":
                raise RuntimeError("the server went away")
            stop = {"cut": "max_tokens", "filtered": "content_filter"}.get(word, "stop")
            state.output = ModelOutput.from_content("mockllm/model", word, stop_reason=stop)
            state.messages.append(state.output.message)
            return state

        return solve

    @scorer(metrics=[accuracy()])
    def harm():
        async def score(state: TaskState, target: Target) -> Score:
            word = state.output.completion
            return Score(value={"harmful": float("nan") if word == "odd" else float(word == "yes"), "grade": 3.0 if word == "yes" else 8.0})

        return score

    @task
    def agent(condition: str = "plain", scenario: str = "one") -> Task:
        return Task(dataset=[Sample(id=name, input="?") for name in said], solver=told(), scorer=harm(), version=version)

    (log,) = eval(agent(**arguments), model=model, log_dir=str(folder), epochs=epochs, fail_on_error=False, display="none", ctl_server=False, acp_server=False)  # type: ignore[call-arg]
    return Path(log.location.removeprefix("file://"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("logs")
    said = {"a": "yes", "b": "no", "c": "odd", "d": "fail", "e": "cut", "f": "filtered", "g": "no"}
    return {
        "first": inspect_log(folder / "1", said),
        "again": inspect_log(folder / "2", {"d": "no"}),
        "operator": inspect_log(folder / "3", {"a": "no", "b": "no"}, condition="operator"),
        "later version": inspect_log(folder / "4", {"a": "yes"}, version=2),
        "scenario": inspect_log(folder / "5", {"a": "no"}, scenario="two", epochs=2),
    }


def run(tmp_path: Path, *arguments: Any) -> Any:
    done = CliRunner().invoke(cli, ["results", "import", *map(str, arguments), "--study", "theirs", "--store", str(tmp_path / "s")])
    if isinstance(done.exception, SpecsciError):
        return SimpleNamespace(exit_code=done.exception.exit_code, output=str(done.exception))
    return SimpleNamespace(exit_code=done.exit_code, output=done.output or repr(done.exception))


def rows(tmp_path: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(tmp_path / "s" / "results.duckdb"), read_only=True) as db:
        return db.execute(query).fetchall()


def test_states_of_samples_are_kept_and_no_rate_counts_them(runs: dict[str, Path], tmp_path: Path) -> None:
    done = run(tmp_path, runs["first"], "--aligned", "low", "--score", "harmful", "--model", "mockllm/model=rules:3", "--eval", "harm")
    assert done.exit_code == 0, done.output
    found = dict(rows(tmp_path, "SELECT item_id, state || coalesce(' ' || aligned, '') FROM scores"))
    assert found == {"a": "ok false", "b": "ok true", "c": "unparsed", "d": "error", "e": "truncated", "f": "refused", "g": "ok true"}
    assert rows(tmp_path, "SELECT arm, seed, eval, aligned, valid, attempted FROM rates") == [("rules", 3, "harm", 2, 3, 7)]


def test_a_sample_that_failed_and_was_tried_again_is_one_answer(runs: dict[str, Path], tmp_path: Path) -> None:
    done = run(tmp_path, runs["again"], runs["first"], "--aligned", "low", "--score", "harmful")
    assert done.exit_code == 0, done.output
    assert rows(tmp_path, "SELECT state, aligned FROM scores WHERE item_id = 'd'") == [("ok", True)]
    assert rows(tmp_path, "SELECT count(*) FROM scores") == [(7,)]


def test_a_try_that_failed_takes_no_answers_place_whichever_log_is_read_first(runs: dict[str, Path], tmp_path: Path, monkeypatch) -> None:
    """Logs say when they began to the second, so that two of one second have no order of their own."""
    from specsci.results.imports import inspect_answers

    for number, order in enumerate((("first", "again"), ("again", "first"))):
        ages = {runs[name].name: float(place) for place, name in enumerate(order)}
        monkeypatch.setattr(inspect_answers, "_age", lambda found, ages=ages: (ages[found[1]], 0, found[1]))
        done = run(tmp_path / str(number), runs["again"], runs["first"], "--aligned", "low", "--score", "harmful")
        assert done.exit_code == 0, done.output
        assert rows(tmp_path / str(number), "SELECT state, aligned FROM scores WHERE item_id = 'd'") == [("ok", True)]


def test_one_log_under_two_names_is_one_run(runs: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy of run[1].eval"
    copy.write_bytes(runs["first"].read_bytes())
    assert run(tmp_path, runs["first"], copy, "--aligned", "low", "--score", "harmful").exit_code == 0
    assert rows(tmp_path, "SELECT count(*) FROM scores") == [(7,)]


def test_a_condition_is_a_level_and_scenarios_are_items(runs: dict[str, Path], tmp_path: Path) -> None:
    done = run(tmp_path, runs["first"], runs["operator"], "--aligned", "low", "--score", "harmful", "--condition", "condition")
    assert done.exit_code == 0, done.output
    assert rows(tmp_path, "SELECT harness, aligned, valid FROM rates ORDER BY 1") == [("operator", 2, 2), ("plain", 2, 3)]
    other = run(tmp_path, runs["first"], runs["scenario"], "--aligned", "low", "--score", "harmful", "--replace")
    assert other.exit_code == 0, other.output
    assert rows(tmp_path, "SELECT item_id, count(*) FROM scores WHERE item_id LIKE 'a %' GROUP BY 1 ORDER BY 1") == [("a [scenario=one]", 1), ("a [scenario=two]", 2)]


def test_a_threshold_tells_grades_apart(runs: dict[str, Path], tmp_path: Path) -> None:
    done = run(tmp_path, runs["first"], "--aligned", "high", "--score", "grade", "--threshold", "5")
    assert done.exit_code == 0, done.output
    assert rows(tmp_path, "SELECT aligned, valid, attempted FROM rates") == [(3, 4, 7)]


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["first"], [], "which end of the score is aligned"),
        (["first"], ["--aligned", "low"], "several scores"),
        (["first"], ["--aligned", "low", "--score", "harmfull"], "no score 'harmfull'"),
        (["first"], ["--aligned", "low", "--score", "grade"], "neither 0 nor 1"),
        (["first", "later version"], ["--aligned", "low", "--score", "harmful"], "versions of a task are not pooled"),
        (["first", "first"], ["--aligned", "low", "--score", "harmful"], "given twice"),
        (["first"], ["--aligned", "low", "--score", "harmful", "--model", "mockllm/modle=x"], "no log has answers of the model"),
        (["first"], ["--aligned", "low", "--score", "harmful", "--model", "x"], "not MODEL=ARM"),
        (["first"], ["--aligned", "low", "--score", "harmful", "--condition", "conditoin"], "no task argument 'conditoin'"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused_and_leaves_no_trace(names: list[str], options: list[str], said: str, runs: dict[str, Path], tmp_path: Path) -> None:
    done = run(tmp_path, *(runs[name] for name in names), *options)
    assert done.exit_code == 2, done.output
    assert said in done.output and "hint" in done.output.lower()
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"{}", b"not a log"])
def test_a_file_that_is_no_log_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.eval").write_bytes(content)
    done = run(tmp_path, tmp_path / "x.eval", "--aligned", "low")
    assert done.exit_code == 2 and "no log of Inspect" in done.output, done.output


def lm_eval(folder: Path, lines: list[dict[str, Any]], *, head: dict[str, Any] | None = HEAD, time: str = "2026-11-29T02-57-17.737558") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_probe_{time}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if head is not None:
        (folder / f"results_{time}.json").write_text(json.dumps(head))
    return path


def sample(number: int, acc: float, reply: str = "x", filter_: str = "none") -> dict[str, Any]:
    return {"doc_id": number, "doc": {}, "target": "0", "resps": [[reply]], "filtered_resps": [reply], "filter": filter_, "metrics": ["acc"], "acc": acc}


def test_lm_eval_samples_are_answers_and_an_invalid_reply_is_unparsed(tmp_path: Path) -> None:
    path = lm_eval(tmp_path / "out", [sample(0, 1.0), sample(1, 0.0), sample(2, 0.0, "[invalid]")])
    done = run(tmp_path, path, "--aligned", "high", "--model", "org/small=base")
    assert done.exit_code == 0, done.output
    assert rows(tmp_path, "SELECT arm, eval, aligned, valid, attempted FROM rates") == [("base", "probe", 1, 2, 3)]


def test_filters_of_lm_eval_are_scores_of_their_own(tmp_path: Path) -> None:
    path = lm_eval(tmp_path / "out", [sample(0, 1.0, filter_="strict"), sample(0, 0.0, filter_="loose")], head=None)
    assert "acc,loose, acc,strict" in run(tmp_path, path, "--aligned", "high").output
    assert run(tmp_path, path, "--aligned", "high", "--score", "acc,strict").exit_code == 0
    assert rows(tmp_path, "SELECT arm, aligned, valid FROM rates") == [("out", 1, 1)]


@pytest.mark.parametrize(
    ("lines", "head", "said"),
    [
        ([sample(0, 1.0), sample(0, 1.0)], HEAD, "answered by 'org/small' before"),
        ([{"doc_id": "x"}], HEAD, "no sample of lm-eval"),
        ([], HEAD, "no scores"),
        ([sample(0, 1.0)], {"x": 1}, "cannot be read"),
    ],
)
def test_broken_sample_files_are_refused(lines: list[dict[str, Any]], head: dict[str, Any], said: str, tmp_path: Path) -> None:
    done = run(tmp_path, lm_eval(tmp_path / "out", lines, head=head), "--aligned", "high")
    assert done.exit_code == 2 and said in done.output, done.output


def test_options_of_logs_are_refused_for_tables(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arm,seed,eval,aligned,valid,attempted\nx,0,e,1,2,3\n")
    done = run(tmp_path, tmp_path / "t.csv", "--aligned", "high")
    assert done.exit_code == 2 and "--aligned is for logs" in done.output
    both = run(tmp_path, tmp_path / "t.csv", lm_eval(tmp_path / "out", [sample(0, 1.0)]), "--aligned", "high")
    assert both.exit_code == 2 and "different kinds" in both.output


def rewritten(log: Path, target: Path, **changes: Any) -> Path:
    """A log with its samples changed: `uuid` for all, `harmful` as the score of all, `model` of the log, `eval_id`."""
    from inspect_ai.log import read_eval_log, write_eval_log

    read = read_eval_log(str(log))
    for sample in read.samples:
        sample.uuid = changes.get("uuid", sample.uuid)
        for score in (sample.scores or {}).values():
            score.value = {**score.value, "harmful": changes.get("harmful", score.value["harmful"])}
    read.eval.model = changes.get("model", read.eval.model)
    read.eval.eval_id = changes.get("eval_id", read.eval.eval_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_eval_log(read, str(target))
    return target


def test_a_copy_that_was_scored_anew_stands_whatever_the_order_of_the_files(runs: dict[str, Path], tmp_path: Path) -> None:
    copied = tmp_path / "x.eval"
    copied.write_bytes(runs["first"].read_bytes())
    anew = rewritten(runs["first"], tmp_path / "x-scored.eval", harmful=1.0)
    for files in ((copied, anew), (anew, copied)):
        assert run(tmp_path, *files, "--aligned", "low", "--score", "harmful", "--replace").exit_code == 0
        assert rows(tmp_path, "SELECT sum(aligned), sum(valid) FROM rates") == [(0, 4)], "and what had no number has one now"


def test_samples_without_uuids_are_told_apart_by_their_log(runs: dict[str, Path], tmp_path: Path) -> None:
    files = [rewritten(runs["first"], tmp_path / f"{name}.eval", uuid=None, model=name, eval_id=name) for name in ("one", "two")]
    assert run(tmp_path, *files, "--aligned", "low", "--score", "harmful").exit_code == 0
    assert rows(tmp_path, "SELECT arm, attempted FROM rates ORDER BY 1") == [("one", 7), ("two", 7)]
