"""What is made for others names no machine, and says every number that was in force."""

from __future__ import annotations

import json

import duckdb

from specsci.core.shipped import PACKAGE
from specsci.plan.build import declared
from specsci.recipe.recipe import Recipe
from specsci.report.audit_tables import environment_table
from specsci.report.cards import _stage
from specsci.report.study_page import _commands


def test_a_card_states_the_recipe_in_force_also_where_it_is_the_default() -> None:
    for recipe in (Recipe(method="full"), Recipe(), Recipe(method="full", learning_rate=3e-4, weight_decay=0.0)):
        stage = {"label": "x", "digest": "d", "seed": 1, "recipe": declared(recipe), "provenance": {}}
        said = json.loads(_stage(stage).split("recipe `")[1].split("`")[0])
        assert said["learning_rate"] == recipe.learning_rate and said["weight_decay"] == recipe.weight_decay
        assert said["warmup_share"] == 0.05 and ("lora" in said) == recipe.adapter
    assert "learning_rate" not in declared(Recipe(method="full")), "the identity leaves the default out"


def test_the_environment_of_a_page_names_no_host() -> None:
    with duckdb.connect() as db:
        where = {"host": "alices-laptop", "torch": "2.13", "ended_at": "2026-01-01"}
        db.execute("CREATE TABLE steps (study VARCHAR, facts VARCHAR)")
        db.execute("INSERT INTO steps VALUES ('s', ?)", [json.dumps({"provenance": where})])
        table = environment_table(db, "s")
    assert table.rows == [["torch", "2.13", "none"]]


def test_the_commands_of_a_page_name_no_path() -> None:
    class Content:
        study, noise = "s", [1]

    assert all("--store STORE" in c and "/" not in c for c in _commands(Content()))  # type: ignore[arg-type]


def test_the_starter_promises_no_description_that_the_schema_lacks() -> None:
    assert "is described" not in (PACKAGE / "study" / "starter.yaml").read_text()
