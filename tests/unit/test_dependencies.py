"""Nothing is offered or installed that nothing uses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from specsci.cli.main import cli
from specsci.testing.oldest import oldest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = {"ruamel.yaml": "ruamel", "mlflow-skinny": "mlflow"}
FOR_OTHERS = {
    "pandas": "seaborn's input, and what a notebook opens results with",
    "gguf": "transformers reads packaged weights by it",
    "s3fs": "fsspec's, for stores at s3://",
    "tensorboard": "the trainer's, for runtime.report_to",
    "mlflow-skinny": "the trainer's, for runtime.report_to",
    "wandb": "the trainer's, for runtime.report_to",
}
"""Dependencies that a library of ours imports for us."""


def names(requirements: list[str]) -> list[str]:
    return [re.split(r"[\[<>=~!;\s]", r)[0] for r in requirements]


def offered() -> list[str]:
    extras = {k: v for k, v in PROJECT["optional-dependencies"].items() if k != "dev"}
    return [*names(PROJECT["dependencies"]), *(n for v in extras.values() for n in names(v))]


SOURCE = "\n".join(p.read_text() for p in (ROOT / "specsci").rglob("*.py"))


@pytest.mark.parametrize("name", offered())
def test_every_dependency_is_imported_or_is_another_librarys_for_a_reason(name) -> None:
    module = MODULES.get(name, name.replace("-", "_"))
    imported = re.search(rf"^\s*(import|from) {module}\b", SOURCE, re.MULTILINE)
    assert imported or name in FOR_OTHERS, f"{name} is installed for nothing"
    if name in FOR_OTHERS:
        assert re.search(rf"\b{module}\b", SOURCE) or name == "pandas"


@pytest.mark.parametrize(
    ("command", "available"),
    [
        (["report", "plot", "reasons"], "'reasons' is not one of 'forest', 'curves'"),
    ],
)
def test_what_is_not_built_is_no_choice_and_the_message_says_what_is(command, available) -> None:
    found = CliRunner().invoke(cli, command)
    assert found.exit_code == 2 and available in found.output


def test_no_text_offers_an_extra_that_there_is_not() -> None:
    extras = set(PROJECT["optional-dependencies"])
    texts = [*(ROOT / "specsci").rglob("*.py"), ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for file in texts:
        assert set(re.findall(r"specsci\[(\w+)\]", file.read_text())) <= extras, file
    assert "ray" not in (ROOT / "README.md").read_text().split("## Development")[1]


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    found = oldest(PROJECT)
    assert len(found) == len(names(PROJECT["dependencies"])) + sum(
        len(PROJECT["optional-dependencies"][e]) for e in ("train", "plots")
    )
    assert "psutil~=5.9.0" in found and all(re.fullmatch(r"[\w.\-]+~=\d+\.\d+\.\d+", line) for line in found)
