"""The command line: frozen names, light start, and a user's mistake is a message with exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from specsci import __version__
from specsci.cli import main as entry
from specsci.cli.main import cli

FROZEN = {
    "study check": "STUDY --profile --set --limit --json --schema",
    "study explain": "STUDY --profile --set --store --json --limit",
    "study plan": "STUDY --profile --set --limit --store --json --power --spread --device",
    "study run": "STUDY --profile --set --limit --store --json --executor --address --workers --plain",
    "study slurm": "STUDY --profile --set --limit --store --runners --workers --sbatch --grace-s --out",
    "study lock": "STUDY --profile --store --json",
    "study diff": "A B --profile-a --profile-b --store --json",
    "study show": "STUDY --profile",
    "study status": "STUDY --profile --set --limit --store --json",
    "spec acknowledge": "FAMILY STUDY --reason --by",
    "spec approve": "FAMILY@VERSION --by --note",
    "spec audit": "MODEL_DIGEST --store --json --html",
    "spec bump": "FAMILY VERSION --reason --author",
    "spec check": "[FAMILY]... --tokenizer --json",
    "spec diff": "FAMILY[@VERSION]:VARIANT FAMILY[@VERSION]:VARIANT --store --json --html",
    "spec fork": "FAMILY NAME",
    "spec new": "NAME",
    "spec recall": "FAMILY:VARIANT FILE",
    "spec list": "[FAMILY]... --tokenizer --json",
    "spec log": "FAMILY --json",
    "spec materialize": "FAMILY VARIANT --out --name",
    "spec restore": "FAMILY VERSION",
    "spec show": "FAMILY VARIANT --tokenizer",
    "corpus audit": "MATCH --store --json",
    "corpus build": "STUDY --profile --set --store --json --until --executor --workers --plain",
    "corpus review": "MATCH --store --json --rows --seed --reviewer --out --in --status",
    "corpus import": "SOURCE FILE --column --files --config --split --limit --access --skip-unusable --json",
    "corpus peek": "MATCH --store --rows --provenance --prompts",
    "corpus export": "MATCH FILE --store --access --declassify --json",
    "results agreement": "FILE --human --level --format",
    "results claim": "NAME --study --contrast --text --withdraw --by --store --json",
    "results contrast": "--study --eval --weights --family --budget --scale --denominator --method --margin --looks --spending --paired/--unpaired --store --format",
    "results grid": "--study --eval --budget --scale --denominator --store --format",
    "results retire": "STEP|EVAL:STUDY/EVAL --reason --by --store --json",
    "results grade": "FILE --study --eval --by --store",
    "results sheet": "FILE --study --eval --rows --store",
    "results import": "FILE... --study --into --profile --title --replace --aligned --score --threshold --eval --model --condition --store --json",
    "results export": "DIR --study --store --access --declassify --json",
    "results rebuild": "--store --json",
    "results sql": "QUERY --file --store --format",
    "report card": "MODEL|CORPUS --out --store",
    "report html": "--study --out --store",
    "report plot": "NAME --study --eval --out --store",
    "report table": "NAME --study --store --format --replicates/--no-replicates",
    "microlab list": "--json",
    "microlab pretrain": "WORLD SEEDS --out --unique-tokens --threads",
    "model check": "SOURCE --trust-remote-code --json",
    "model export": "[MODEL_DIGEST] DIR --study --all --store --precision --adapter --json",
    "model serve": "STUDY --base --profile --store --python --host --port --adapters --length --print MORE",
    "model push": "MODEL_DIGEST NAMESPACE/NAME --store --branch --tag --public --precision --adapter --license --declassify --json",
    "store du": "--store --older-than --json",
    "store gc": "--store --older-than --kind --keep-models --yes --force --json",
    "store merge": "OTHER --store --json",
    "store rm": "[DIGEST]... --study --store --yes --force --json",
    "tune": "STUDY --profile --set --limit --store --json --executor --address --workers --plain --dry-run --show --figures",
    "init": "DIR",
    "doctor": "--store --json --verify --repair --executor --address",
}
"""Scripts rely on these names: add freely, take nothing away."""


def commands(command: click.Command, name: str = "") -> dict[str, str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        found = [(sub, command.get_command(context, sub)) for sub in command.list_commands(context)]
        return {k: v for sub, inner in found if inner for k, v in commands(inner, f"{name} {sub}".strip()).items()}
    names = [
        str(p.human_readable_name).upper() if isinstance(p, click.Argument) else "/".join([*p.opts, *p.secondary_opts])
        for p in command.params
    ]
    return {name: " ".join(names)}


def test_every_command_argument_and_option_is_as_frozen() -> None:
    assert commands(cli) == FROZEN


def test_help_imports_neither_torch_nor_pydantic_nor_any_command() -> None:
    code = (
        "import sys; sys.argv = ['specsci', '--help']\n"
        "from specsci.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        "heavy = ('torch', 'transformers', 'pydantic', 'numpy', 'duckdb', 'rich', 'ruamel', 'specsci.cli.study')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and result.stdout.splitlines()[-1] == "[]", result.stderr
    assert all(f"  {noun}" in result.stdout for noun in entry.NOUNS)


def test_a_plan_imports_no_torch(tiny) -> None:
    code = (
        "import sys; from specsci.cli.main import cli\n"
        f"cli(['study', 'plan', {str(tiny)!r}, '--json'], standalone_mode=False)\n"
        "print([m for m in ('torch', 'transformers', 'duckdb') if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tiny.parent)
    assert result.stderr == "[]\n" and json.loads(result.stdout)["to_run"] == 59


@pytest.fixture
def specsci_in_process(monkeypatch, capsys, tmp_path):
    """The entry point in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPECSCI_STORE", raising=False)

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["specsci", *map(str, args)])
        code = 0
        try:
            entry.main()
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


MISTAKES = [
    (["study", "plan", "nowhere.yaml"], "no study file 'nowhere.yaml'"),
    (["study", "plan"], "Missing argument 'STUDY'"),
    (["study", "check"], "name a STUDY, or use --schema"),
    (["study", "pln", "x"], "No such command 'pln'"),
    (["stduy", "plan"], "no command 'stduy'; did you mean 'study'?"),
    (["study", "plan", "value_vs_rules.yaml", "--profil", "x"], "No such option"),
    (
        ["study", "plan", "value_vs_rules.yaml", "--profile", "mikro"],
        "has no profile 'mikro'\n  hint: did you mean 'micro'?",
    ),
    (["study", "run", "value_vs_rules.yaml", "--workers", "0"], "Invalid value for '--workers'"),
    (
        ["study", "run", "value_vs_rules.yaml", "--executor", "slurm"],
        "no executor 'slurm'\n  hint: valid names: inline, local",
    ),
    (["spec", "show", "microlab_conduct", "rulez"], "has no variant 'rulez'\n  hint: did you mean 'rules'?"),
    (
        ["spec", "show", "microlab_condct", "rules"],
        "no spec family 'microlab_condct'\n  hint: did you mean 'microlab_conduct'?",
    ),
    (["results", "sql", "SELECT 1"], "no results in .specsci\n  hint: run a study first"),
    (["results", "rebuild", "--store", "nowhere"], "no store in nowhere\n  hint: run a study first"),
    (["report", "table", "ablation"], "no results in .specsci"),
    (["report", "table", "ablatio"], "'ablatio' is not one of 'ablation'"),
    (["corpus", "peek"], "no store in .specsci"),
    (["doctor", "--verify", "--store", "nowhere"], "no store in nowhere"),
]


@pytest.mark.parametrize(("args", "message"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_users_mistake_is_exit_code_2_with_a_message_and_no_traceback(specsci_in_process, args, message) -> None:
    code, _, err = specsci_in_process(*args)
    assert code == 2 and message in err and "Traceback" not in err


def test_a_wrong_study_lists_every_problem_on_stderr_and_nothing_on_stdout(specsci_in_process, edited, place) -> None:
    path = edited(("midtrain: rules}", "midtrain: rulez}"), ("seed: 2,", "seed: 1,"))
    for command in ("check", "plan", "run", "status", "explain", "show"):
        code, out, err = specsci_in_process("study", command, path)
        assert (code, out) == (2, "")
        assert err.splitlines()[0] == f"{path}:{place(path, 'rulez')}: unknown variant 'rulez'"
        assert err.splitlines()[2].endswith("seed 1 is used twice: the same draw would count as two replicates")


def test_a_refused_plan_prints_the_plan_and_exits_with_3(specsci_in_process, edited) -> None:
    path = edited(("gates: {accept_few_updates: a test of the machinery}\n", ""))
    code, out, _ = specsci_in_process("study", "plan", path)
    assert code == 3 and "refuse: dose: midtraining makes 4 optimizer updates" in out
    code, out, err = specsci_in_process("study", "run", path)
    assert (code, out) == (3, "") and "dose: midtraining makes 4 optimizer updates" in err


def test_json_is_one_document_on_stdout(specsci_in_process, tiny) -> None:
    for args in (["study", "plan", tiny], ["study", "check", tiny], ["study", "explain", tiny], ["spec", "list"]):
        code, out, err = specsci_in_process(*args, "--json")
        assert (code, err) == (0, "")
        json.loads(out)
    code, out, _ = specsci_in_process("study", "check", "--schema")
    assert code == 0 and json.loads(out)["title"] == "specsci study"


def test_the_version_is_the_packages(specsci_in_process) -> None:
    assert specsci_in_process("--version") == (0, f"specsci, version {__version__}\n", "")


def test_planning_writes_nothing(specsci_in_process, tiny) -> None:
    before = sorted(tiny.parent.rglob("*"))
    assert specsci_in_process("study", "plan", tiny)[0] == 0
    assert sorted(tiny.parent.rglob("*")) == before


def test_a_variant_is_materialized_as_text_and_record(specsci_in_process, tmp_path) -> None:
    code, _, _ = specsci_in_process("spec", "materialize", "microlab_conduct", "rules", "--out", tmp_path / "o")
    record = json.loads((tmp_path / "o" / "rules.json").read_text())
    assert code == 0 and [c["id"] for c in record["clauses"]] == ["oversight", "sanction", "caution", "honesty"]
    _, shown, _ = specsci_in_process("spec", "show", "microlab_conduct", "rules")
    assert (tmp_path / "o" / "rules.md").read_text() == shown


def test_lengths_are_counted_in_tokens_of_a_named_tokenizer(specsci_in_process, tmp_path) -> None:
    code, out, _ = specsci_in_process("spec", "list", "microlab_conduct", "--tokenizer", "microlab:conduct", "--json")
    (found,) = json.loads(out)
    assert code == 0 and found["unit"] == "tokens of microlab:conduct" and found["variants"]["neutral"] == 0
    assert 0 < found["variants"]["rules"] < found["variants"]["rule_augmented"]
    for wrong, message in (
        (str(tmp_path), f"no tokenizer in '{tmp_path}'"),
        ("microlab:condukt", "no microlab world 'condukt'"),
    ):
        code, _, err = specsci_in_process("spec", "list", "--tokenizer", wrong)
        assert code == 2 and message in err


REFERENCES = ["", "@", ":x", "a@b@c", "microlab_conduct:", "microlab_conduct@", "../x", "microlab_conduct@9.9.9", "x" * 300]


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_reference_that_names_nothing_is_a_message(specsci_in_process, reference) -> None:
    code, out, err = specsci_in_process("spec", "diff", reference, "microlab_conduct:rules")
    assert code == 2 and "hint:" in err and "Traceback" not in out + err


def test_a_student_is_named_where_a_variant_is_materialized(specsci_in_process, tmp_path) -> None:
    out = tmp_path / "o"
    command = ("spec", "materialize", "safety", "rules", "--out", out, "--name", "model_name=Vega")
    assert specsci_in_process(*command)[0] == 0
    text, record = (out / "rules.md").read_text(), json.loads((out / "rules.json").read_text())
    assert "Vega must" in text and "Aria" not in text and record["identity"]["model_name"] == "Vega"
    assert {e["part"] for e in record["entries"]} == {"text", "principle", "rule"} and len(record["clauses"]) == 5
    code, _, err = specsci_in_process(*command[:-1], "modl_name=Vega")
    assert code == 2 and "did you mean 'model_name'?" in err
