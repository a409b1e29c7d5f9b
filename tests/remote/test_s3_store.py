"""A store in a bucket: a study run into it, killed and gone on with, and read by a second machine's cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fsspec
import harness
import pytest

from specsci.core.errors import CorruptArtifact, StoreError
from specsci.store.place import open_store, store_path
from specsci.store.remote import cache_of, url_of

SCORES = "SELECT * EXCLUDE (study) FROM scores ORDER BY ALL"


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine's cache; call it with another name for a second machine."""

    def on(name: str) -> Path:
        monkeypatch.setenv("SPECSCI_CACHE", str(tmp_path / name))
        return tmp_path / name

    on("first")
    return on


def there(bucket: str) -> set[str]:
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    return {p.split("/store/", 1)[1] for p in fs.find(bucket)}


def specsci(*args: str | Path) -> str:
    code, out, err = harness.run(*args)
    assert code == 0, err
    return out


def rows(bucket: str) -> list:
    return json.loads(specsci("results", "sql", SCORES, "--store", bucket, "--format", "json"))


@pytest.mark.parametrize("given", ["s3://b/p/q", "s3:/b/p/q", "s3://b/p/q/"])
def test_an_address_is_known_also_where_a_path_lost_its_slash(given) -> None:
    assert url_of(given) == "s3://b/p/q" and store_path(Path(given)) == cache_of("s3://b/p/q")
    assert url_of("/a/b") is None and url_of("relative/x") is None and url_of("C:/x") is None


@pytest.mark.parametrize("given", ["s3://", "s3:/", "s3:", "gs://"])
def test_an_address_without_a_bucket_is_no_directory_of_that_name(given, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = harness.run("study", "run", "cheese_dissociation.yaml", "--store", given)
    assert code == 2 and "names no bucket" in err and not [p for p in tmp_path.iterdir() if ":" in p.name]


def test_a_study_in_a_bucket_is_whole_there_and_a_second_machine_reads_it(bucket, machine, finished_small) -> None:
    report = json.loads(specsci("study", "run", finished_small.study, "--store", bucket, "--json"))
    assert report["executed"] == len(harness.digests(finished_small.store))
    kept = there(bucket)
    local = {p.relative_to(finished_small.store).as_posix() for p in finished_small.store.glob("steps/**/*") if p.is_file() and p.name != "log.txt"}
    assert {p for p in kept if p.startswith("steps/")} == local and "studies/small.json" in kept
    wanted = harness.score_rows(finished_small.store)

    machine("second")
    root = open_store(bucket, create=False).root
    weights = [p for p in local if p.endswith(".safetensors") and (finished_small.store / p).stat().st_size > 2**20]
    assert weights and not any((root / p).exists() for p in weights), "large files stay where they are until they are needed"
    assert harness.score_rows(root) == wanted
    specsci("results", "rebuild", "--store", bucket)
    assert len(rows(bucket)) == sum(map(len, wanted.values()))
    again = json.loads(specsci("study", "run", finished_small.study, "--store", bucket, "--json"))
    assert again["executed"] == 0
    digest, kind = next((Path(p).parts[2], Path(p).parts[1]) for p in weights)
    store = open_store(bucket)
    store.verify(kind, digest)
    assert any((root / p).is_file() for p in weights if digest in p), "and come down when they are"


@pytest.mark.slow
def test_a_killed_run_goes_on_and_what_it_left_here_goes_up(bucket, finished_small) -> None:
    running = harness.start("study", "run", finished_small.study, "--store", bucket, "--json", "--workers", "1")
    root = cache_of(bucket)
    while len(list(root.glob("steps/*/*/record.json"))) < 6 and running.process.poll() is None:
        pass
    running.process.kill()
    running.wait()
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    lost = sorted(root.glob("steps/*/*/record.json"))[0].parent
    if fs.exists(f"{bucket}/{lost.relative_to(root)}"):
        fs.rm(f"{bucket}/{lost.relative_to(root)}", recursive=True)  # it was killed while that one went up
    report = json.loads(specsci("study", "run", finished_small.study, "--store", bucket, "--json"))
    assert report["reused"] >= 6
    assert harness.score_rows(root) == harness.score_rows(finished_small.store)
    assert f"{lost.relative_to(root)}/record.json" in there(bucket)


@pytest.mark.slow
def test_a_file_that_is_broken_here_comes_again_and_one_that_is_broken_there_is_made_anew(bucket, machine, finished_small) -> None:
    specsci("study", "run", finished_small.study, "--store", bucket, "--json")
    store = open_store(bucket)
    folder = harness.artifact(store.root, "score", "score base at 0 tokens on held_out, replicate 1")
    harness.flip_byte(folder / "scores.parquet")
    with pytest.raises(CorruptArtifact):
        store.verify("score", folder.name)
    store.quarantine("score", folder.name)
    assert store.verify("score", folder.name), "the bucket's own was whole"
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    fs.pipe(f"{bucket}/steps/score/{folder.name}/scores.parquet", b"not what was written")
    machine("second")
    code, _, err = harness.run("study", "run", finished_small.study, "--store", bucket, "--json")
    assert code == 0, err
    assert harness.score_rows(store_path(bucket)) == harness.score_rows(finished_small.store)
    machine("third")
    assert open_store(bucket).verify("score", folder.name)


def test_what_people_write_travels_and_two_that_wrote_keep_both(bucket, machine) -> None:
    store = open_store(bucket)
    (store.root / "locks").mkdir(exist_ok=True)
    (store.root / "locks" / "a.json").write_text("1")
    store.remote.sync_written()
    machine("second")
    other = open_store(bucket)
    assert (other.root / "locks" / "a.json").read_text() == "1"
    (other.root / "locks" / "a.json").write_text("2")
    other.remote.sync_written()
    (store.root / "locks" / "a.json").write_text("3")
    store.remote.sync_written()
    assert (store.root / "locks" / "a.json").read_text() == "3" and (store.root / "locks" / "a.json.theirs").read_text() == "2"
    other.remote.sync_written()
    assert (other.root / "locks" / "a.json").read_text() == "3"


@pytest.mark.slow
def test_removal_reaches_the_bucket(bucket, finished_small) -> None:
    specsci("study", "run", finished_small.study, "--store", bucket, "--json")
    specsci("store", "rm", "--study", "small", "--store", bucket, "--yes")
    assert there(bucket) == set()


def test_a_bucket_that_is_not_there_and_a_server_that_is_gone_say_so(bucket, monkeypatch, finished_small) -> None:
    code, _, err = harness.run("study", "run", finished_small.study, "--store", "s3://no-such-bucket/x")
    assert code in (1, 2) and "the store cannot be" in err and "Traceback" not in err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(StoreError, match="the store cannot be"):
        open_store("s3://bucket-gone/x")
    fsspec.filesystem("s3").clear_instance_cache()
    shutil.rmtree(cache_of("s3://bucket-gone/x"), ignore_errors=True)
