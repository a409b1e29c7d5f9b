"""Running an Inspect task with the step's model: every condition, every epoch, into the step's own directory of logs."""

from __future__ import annotations

import importlib
import importlib.util
import inspect as python_inspect
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from specsci.core.context import StepContext
from specsci.core.errors import StepFailed
from specsci.core.extras import need
from specsci.core.ids import digest
from specsci.evals.agents.kind import LOGS
from specsci.evals.harness import frame_in
from specsci.generate.request_rows import write_requests
from specsci.generate.settings import GeneratorSettings
from specsci.study.frame import Frame

MODULES = {"specsci": "specsci.evals.agents.tasks"}
SUBJECT, JUDGE = "subject", "judge"


def run_task(context: StepContext) -> Iterator[dict[str, Any]]:
    """Run the step's task; yields the transcripts, rows of `specsci.evals.samples.ROWS`."""
    need("inspect_ai", "evals of kind inspect")
    from specsci.evals.agents.provider import MODELS, GeneratorWorker, SubjectWorker

    frame = frame_in(context.inputs)
    names = {role: f"{role}-{context.digest[:10]}" for role in (SUBJECT, JUDGE)}
    workers: dict[str, Any] = {}
    judge = context.runtime.get("generator")
    with _subject(context, frame) as subject:
        if judge:
            workers[names[JUDGE]] = GeneratorWorker(judge["name"], _client(context, judge))
        workers[names[SUBJECT]] = SubjectWorker(names[SUBJECT], subject, context.params)
        MODELS.update(workers)
        try:
            folder = _run(context, frame, names, with_judge=bool(judge))
        finally:
            for name, worker in workers.items():
                worker.stop()
                MODELS.pop(name, None)
    _write_requests(context, workers.get(names[JUDGE]), judge)
    shutil.copytree(folder, context.out / LOGS)
    yield from _transcripts(context)


def _subject(context: StepContext, frame: Frame) -> AbstractContextManager[Any]:
    from specsci.evals.agents.subject import LocalSubject, ServedSubject

    served = context.runtime.get("eval", {}).get("served")
    return nullcontext(ServedSubject.of(context, frame, served)) if served else LocalSubject.of(context, frame)


def _client(context: StepContext, told: dict[str, Any]) -> Callable[[], Any]:
    from specsci.generate.client import Client

    settings = GeneratorSettings.model_validate(told["settings"])
    if settings.identity() != context.params["judge"]:
        raise StepFailed("the judge's settings changed after the plan was made", hint="run the study again")
    assert context.store is not None
    store = context.store
    return lambda: Client(store, told["study"], told["name"], settings, told["study_usd"])


def _run(context: StepContext, frame: Frame, names: dict[str, str], *, with_judge: bool) -> Path:
    """Run every condition; an earlier try's finished samples are kept. Returns the directory of the logs."""
    from inspect_ai import eval_set
    from inspect_ai.model import get_model

    params = context.params
    folder = (context.checkpoints or context.scratch) / LOGS
    folder.mkdir(parents=True, exist_ok=True)
    make = _task(context)
    grader = get_model(f"specsci/{names[JUDGE]}", memoize=False) if with_judge else None
    tasks = [make(**_arguments(make, run, frame, grader)) for run in params["runs"]]
    for number, made in enumerate(tasks):
        made.metadata = {**(made.metadata or {}), "step": context.digest, "condition": number}
    os.environ.setdefault("INSPECT_DISPLAY", "none")
    done, logs = eval_set(
        tasks, log_dir=str(folder), model=get_model(f"specsci/{names[SUBJECT]}", memoize=False), model_roles={"grader": grader} if grader else None,
        epochs=params["epochs"], fail_on_error=False, continue_on_fail=True, retry_attempts=0, retry_immediate=False, display="none",
        log_level="error", log_format="eval", max_samples=64, max_tasks=max(1, min(8, len(tasks))), log_dir_allow_dirty=True, score_display=False,
        ctl_server=False, acp_server=False,
        max_tokens=params["max_tokens"], temperature=params["temperature"],
    )  # fmt: skip
    _check(context, logs, done)
    context.progress(len(tasks), len(tasks))
    return folder


def _check(context: StepContext, logs: list[Any], done: bool) -> None:
    """Every condition has its log, of the version that is wanted, with the approval that was asked for."""
    params = context.params
    if len(logs) != len(params["runs"]):
        raise StepFailed(f"{len(logs)} of {len(params['runs'])} conditions have a log", hint="look at the step's log")
    failed = [log for log in logs if log.status != "success"]
    if failed:
        said = failed[0].error.message.splitlines()[0] if failed[0].error else failed[0].status
        raise StepFailed(f"the task '{params['task']}' fails: {said}", hint="run it by hand with `inspect eval` to see more")
    gone = {log.location: said for log in logs if (said := _server_failed(log))}
    if gone:
        for location in gone:  # the next run asks these conditions again
            Path(location.removeprefix("file://")).unlink(missing_ok=True)
        raise StepFailed(f"{next(iter(gone.values()))}, in {len(gone)} of {len(logs)} conditions", hint="look at the server's log, and run the study again")
    versions = {str(log.eval.task_version) for log in logs}
    wanted = params.get("task_version")
    if wanted and versions != {wanted}:
        raise StepFailed(f"the task is of version {', '.join(sorted(versions))}, and the study wants {wanted}", hint="install that version, or change task_version")


def _server_failed(log: Any) -> str:
    """What is said of the model's server in a sample that it failed in; empty where there is none."""
    from inspect_ai.log import read_eval_log

    from specsci.evals.agents.subject import ServerFailed

    samples = read_eval_log(log.location).samples or ()  # an eval set gives the heads of its logs
    errors = (sample.error for sample in samples if sample.error is not None)
    return next((str(error.message) for error in errors if ServerFailed.__name__ in (error.traceback or "")), "")


def _task(context: StepContext) -> Callable[..., Any]:
    """The function that makes the task.

    Raises:
        StepFailed: there is none of that name.
    """
    named = context.params["task"]
    file, at, name = named.partition("@")
    if at:
        folder = context.scratch / "task"
        context.take_externals(folder)
        spec = importlib.util.spec_from_file_location(f"specsci_task_{digest(named)[:8]}", folder / file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        package, _, name = named.rpartition("/")
        module_name = MODULES.get(package, package.replace("/", "."))
        try:
            module = importlib.import_module(module_name)
            if not callable(getattr(module, name, None)):
                module = importlib.import_module(f"{module_name}.{name}")
        except ImportError as error:
            raise StepFailed(f"the task '{named}' cannot be imported ({error})", hint='install its package: pip install "specsci[evals]"') from error
    made = getattr(module, name, None)
    if not callable(made):
        raise StepFailed(f"'{named}' is no task", hint="name a function with @task")
    found: Callable[..., Any] = made
    return found


def _arguments(make: Callable[..., Any], run: dict[str, Any], frame: Frame, grader: Any) -> dict[str, Any]:
    """A condition's arguments, those of the harness among them, and the grader where the task takes one.

    Raises:
        StepFailed: the task has no such argument.
    """
    takes = python_inspect.signature(make).parameters
    given = {**run, **(frame.agent or {})}
    unknown = [key for key in given if key not in takes]
    if unknown:
        raise StepFailed(f"the task takes no argument '{unknown[0]}'", hint=f"it takes {', '.join(takes) or 'none'}")
    if "grader_model" in takes and grader is not None:
        given["grader_model"] = grader
    return given


def _write_requests(context: StepContext, worker: Any, told: dict[str, Any] | None) -> None:
    """The requests to the judge, an empty table where there is none."""
    if worker is not None and told is not None:
        with _client(context, told)() as client:
            write_requests(client, worker.asked.values(), context.out)
        return
    from specsci.generate.request_rows import write_none

    write_none(context.out)


def _transcripts(context: StepContext) -> Iterator[dict[str, Any]]:
    from specsci.evals.agents.conditions import logged

    for sample, place in logged(context.out / LOGS, context.params["runs"]):
        before = sample.messages[:-1] if sample.messages and sample.messages[-1][0] == "assistant" else sample.messages
        reply = f"<think>{sample.reasoning}</think>{sample.reply}" if sample.reasoning else sample.reply
        yield {
            **place, "prompt": "\n\n".join(f"[{role}]\n{text}" for role, text in before), "reply": reply, "state": sample.state,
            "input_tokens": sample.input_tokens, "output_tokens": sample.output_tokens,
        }  # fmt: skip

