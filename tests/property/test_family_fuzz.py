"""Mutated families: every command that reads one ends with 0, 2 or 3, with a place where a file is wrong, quickly.

SPECSCI_FUZZ_FAMILIES sets the number of mutants of the slow test.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import mutants
import pytest
from small_family import STUDY, write

from specsci.core.shipped import shipped
from specsci.core.yaml_file import read_yaml


def sources(folder: Path) -> list[Path]:
    """Families with recorded versions: the small one several times, and the smallest of those that are shipped."""
    write(folder / "made")
    os.chdir(folder / "made")
    done = mutants.call("spec", "bump", "own", "1.0.0", "--reason", "first", "--author", "me")
    assert done.code == 0, done.err + done.raised
    for name in ("microlab_conduct", "microlab_cheese", "difficulty_breads"):
        place = folder / name / "spec_variants" / name
        shutil.copytree(shipped("spec_variants") / name, place)
        text = STUDY.replace("family: own", f"family: {name}").replace("items: goods", "items: competence")
        (folder / name / "study.yaml").write_text(text)
    return [folder / "made"] * 5 + [folder / n for n in ("microlab_conduct", "microlab_cheese", "difficulty_breads")]


def mutated_table(text: str, rng: random.Random) -> bytes:
    if rng.randrange(3) == 0:
        return mutants.mutated_bytes(text.encode(), rng)
    return mutants.mutated_text(text, rng).encode("utf-8", "surrogatepass")


def mutated_items(text: str, rng: random.Random) -> bytes:
    """Item lines with another value or key, another order of bytes, or nothing at all."""
    values = [
        None,
        "",
        " ",
        3,
        1.5,
        True,
        [],
        ["tea"],
        {},
        "tea",
        "{first}",
        "\ud800",
        "a\0b",
        "a\u2028b",
        "\u0085",
        "{model_nme} {first}",
        "[" * 9,
    ]
    if rng.randrange(3) == 0:
        return mutated_table(text, rng)
    lines = [line for line in text.split("\n") if line]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        try:
            row = json.loads(lines[at])
        except (ValueError, RecursionError):
            continue
        if not isinstance(row, dict) or not row:
            continue
        key, way = rng.choice(list(row)), rng.randrange(5)
        if way <= 1:
            row[key] = rng.choice(values)
        elif way == 2:
            row[key + "x"] = row.pop(key)
        lines[at] = (
            json.dumps(row)
            if way != 3
            else rng.choice(["[" * 100_000, "{}", "[]", "null", '"x"', lines[at][:-5], "{" * 3000])
        )
    return ("\n".join(lines) + "\n").encode()


def mutate(family: Path, rng: random.Random) -> str:
    """Change one or two files of a family; returns which."""
    changed = []
    for _ in range(rng.randint(1, 2)):
        names = ["family.yaml"] * 3 + ["grammar.yaml"] * 3 + ["CHANGES.yaml"]
        names += [
            str(p.relative_to(family))
            for pattern in ("*.csv", "items/*", "texts/*", "versions/*")
            for p in family.glob(pattern)
        ]
        file = family / rng.choice(names)
        if not file.is_file() or file.is_symlink():
            continue
        changed.append(file.name)
        raw, odd = file.read_bytes(), rng.randrange(60)
        if odd == 0:
            file.unlink()
            file.symlink_to("/etc/passwd")
        elif odd == 1:
            file.unlink()
            os.mkfifo(file)
        elif odd == 2:
            file.unlink()
            file.mkdir()
        elif file.suffix == ".yaml":
            try:
                tree = read_yaml(file).data
                text = raw.decode()
            except ValueError:
                continue
            file.write_bytes(mutants.mutant(text.encode(), tree, rng))
        elif file.suffix == ".jsonl":
            try:
                file.write_bytes(mutated_items(raw.decode(), rng))
            except UnicodeDecodeError:
                continue
        elif file.suffix == ".zip":
            file.write_bytes(mutants.mutated_bytes(raw, rng))
        else:
            try:
                file.write_bytes(mutated_table(raw.decode(), rng))
            except UnicodeDecodeError:
                continue
    return " ".join(changed)


def calls(family: Path, rng: random.Random) -> list[tuple[str, ...]]:
    """What is asked of a mutant: it is checked and planned with, and three other commands, in random order."""
    name, variant = family.name, rng.choice(["rules", "value", "text", "facts", "free", "second", "shuffled"])
    more = [
        ("spec", "show", name, variant),
        ("spec", "materialize", name, variant, "--out", "out"),
        ("spec", "diff", f"{name}:rules", f"{name}:{variant}"),
        ("spec", "diff", f"{name}@1.0.0:rules", f"{name}:{variant}"),
        ("spec", "list", name),
        ("spec", "list"),
        ("spec", "log", name),
        ("spec", "bump", name, "9.0.0", "--reason", "r", "--author", "a"),
        ("spec", "fork", name, "forked"),
        ("spec", "restore", name),
        ("spec", "approve", f"{name}@1.0.0", "--by", "b"),
        ("spec", "acknowledge", name, "study", "--reason", "r", "--by", "b"),
    ]
    return [("spec", "check", name), ("study", "check", "study.yaml"), ("study", "plan", "study.yaml"), *rng.sample(more, 3)]


def fuzz(folder: Path, count: int, seed: int) -> Counter[str]:
    """How the calls on the mutants of one seed end; raises AssertionError with what failed, one example a site."""
    rng, ends, here = random.Random(seed), Counter(), os.getcwd()
    faults: dict[str, str] = {}
    try:
        families = sources(folder)
        for number in range(count):
            place = folder / f"m{number}"
            shutil.copytree(rng.choice(families), place)
            os.chdir(place)
            (family,) = (place / "spec_variants").iterdir()
            what = mutate(family, rng)
            for args in calls(family, rng):
                done = mutants.call(*args)
                ends[f"exit {done.code}"] += 1
                fault = done.fault(located=False)
                if fault:
                    ends["faults"] += 1
                    faults.setdefault(
                        mutants.site(fault), f"seed {seed}, mutant {number} ({what}), {' '.join(args)}: {fault}"
                    )
            os.chdir(folder)
            shutil.rmtree(place)
    finally:
        os.chdir(here)
    assert not faults, f"{ends}\n" + "\n".join(faults.values())
    return ends


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SPECSCI_CACHE", str(tmp_path / "cache"))


def test_mutated_families_end_with_a_message(tmp_path: Path) -> None:
    ends = fuzz(tmp_path, 30, seed=1)
    assert ends["exit 2"] > 25 and ends["exit 0"] > 15


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_many_mutated_families_end_with_a_message(tmp_path: Path) -> None:
    count = int(os.environ.get("SPECSCI_FUZZ_FAMILIES", "4000"))
    assert sum(fuzz(tmp_path, count, seed=2).values()) == 6 * count
