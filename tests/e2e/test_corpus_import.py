"""`specsci corpus import`: a hub's data sets over real HTTP, files, columns, faults; and the label that goes with the file."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import harness
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COMMIT = "da7a5e7" + "0" * 33
NAME = "lab/chats"
CARD = "---\nlicense: odc-by\nconfigs:\n- config_name: default\n  data_files:\n  - {split: train, path: data/train-*}\n- config_name: rare\n  data_files: data/rare.parquet\n---\n# Chats\n"


class Hub:
    """One data set on a hub of our own, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _handler(hub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                self._answer(body=True)

            def _answer(self, body: bool) -> None:
                path = self.path.partition("?")[0]
                hub.asked.append(path)
                files = {p.relative_to(hub.folder).as_posix(): p for p in sorted(hub.folder.rglob("*")) if p.is_file()}
                info = {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": n} for n in files], "private": False, "tags": []}
                tree = [{"type": "file", "path": n, "size": p.stat().st_size, "oid": "0" * 40} for n, p in files.items()]
                if path in (f"/api/datasets/{NAME}", *(f"/api/datasets/{NAME}/revision/{r}" for r in ("main", COMMIT))):
                    self._send(json.dumps(info).encode(), "application/json", body)
                elif path.startswith(f"/api/datasets/{NAME}/tree/"):
                    self._send(json.dumps(tree).encode(), "application/json", body)
                elif (name := path.removeprefix(f"/datasets/{NAME}/resolve/{COMMIT}/")) in files:
                    self._send(files[name].read_bytes(), "application/octet-stream", body)
                else:
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def _send(self, content: bytes, kind: str, body: bool) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.end_headers()
                if body:
                    self.wfile.write(content)

        return Handler


RARE = [{"content": f"Rare text {n}.", "when": n} for n in range(5)]


def chat(n: int) -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": f"What is {n}?"}, {"from": "gpt", "value": f"A number, {n}."}], "id": n}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = tmp_path / "remote"
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([chat(n) for n in range(30)]), folder / "data" / "train-00000.parquet")
    pq.write_table(pa.Table.from_pylist([chat(n) for n in range(30, 40)]), folder / "data" / "train-00001.parquet")
    pq.write_table(pa.Table.from_pylist(RARE), folder / "data" / "rare.parquet")
    (folder / "load.py").write_text("raise SystemExit('code of a data set ran')")
    (folder / "README.md").write_text(CARD)
    served = Hub(folder)
    yield served
    served.server.shutdown()


@pytest.fixture
def env(hub: Hub, tmp_path: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}


def test_a_data_set_is_pinned_fetched_and_read_back_by_a_study(hub: Hub, env: dict[str, str], tmp_path: Path) -> None:
    out_file = tmp_path / "study" / "chats.jsonl"
    out_file.parent.mkdir()
    ask = ("corpus", "import", f"hub:{NAME}", out_file, "--access", "internal", "--limit", "35", "--json")
    code, out, err = harness.run(*ask, env=env)
    assert code == 0, err
    told = json.loads(out)
    assert told["source"] == f"hub:{NAME}@{COMMIT}" and told["licence"] == "odc-by" and told["what"] == "conversations"
    rows = [json.loads(line) for line in out_file.read_text().splitlines()]
    assert len(rows) == told["rows"] == 35 and told["sha256"] == hashlib.sha256(out_file.read_bytes()).hexdigest()
    assert rows[31] == {
        "id": 31,
        "messages": [{"role": "user", "content": "What is 31?"}, {"role": "assistant", "content": "A number, 31."}],
    }
    card = out_file.with_suffix(".md").read_text()
    assert COMMIT in card and "odc-by" in card and "Access: internal" in card and "the first 35 usable rows" in card
    assert not [path for path in hub.asked if path.endswith(".py")], "code is not even fetched"
    study = out_file.parent / "s.yaml"
    study.write_text(harness.edited(harness.SMALL, {"align: choices": "align: chats.jsonl"}))
    code, out, err = harness.run("study", "plan", study, "--store", tmp_path / "store", "--set", "align.budgets_tokens=[100]")
    assert code == 0 and "the file 'chats.jsonl' is internal: so is all that comes from it" in out, out + err
    (out_file.parent / "chats.jsonl.origin.json").write_text("{")
    code, out, err = harness.run("study", "plan", study, "--store", tmp_path / "store", "--set", "align.budgets_tokens=[100]")
    assert code == 2 and "it does not say who may see 'chats.jsonl'" in err, "a label that cannot be read is no label"


def test_another_configuration_its_columns_and_a_second_import_without_the_network(hub: Hub, env: dict[str, str], tmp_path: Path) -> None:
    ask = ("corpus", "import", f"hub:{NAME}@{COMMIT}")
    how = ("--config", "rare", "--column", "content=text", "--column", "when=source_day")
    code, out, err = harness.run(*ask, tmp_path / "rare.jsonl", *how, env=env)
    assert code == 0 and "wrote 5 documents" in out and "licence: odc-by" in out, err
    assert json.loads((tmp_path / "rare.jsonl").read_text().splitlines()[2]) == {"text": "Rare text 2.", "source_day": 2}
    offline = {**env, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    code, _, err = harness.run(*ask, tmp_path / "again.jsonl", *how, env=offline)
    assert code == 0 and (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "rare.jsonl").read_bytes(), err


def test_compressed_json_lines_without_a_card(hub: Hub, env: dict[str, str], tmp_path: Path) -> None:
    for path in (hub.folder / "README.md", *hub.folder.glob("data/*.parquet")):
        path.unlink()
    with gzip.open(hub.folder / "data" / "all.jsonl.gz", "wt") as out:
        out.write("\n".join(map(json.dumps, RARE)))
    code, out, err = harness.run("corpus", "import", f"hub:{NAME}@main", tmp_path / "a.jsonl", "--column", "content=text", env=env)
    assert code == 0 and f"wrote 5 documents of hub:{NAME}@{COMMIT}" in out and "not told by the source" in out, err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("hub:lab/nothing",), "the data set hub:lab/nothing cannot be fetched"),
        (("hub:nothing",), "names no model on the hub"),
        ((f"hub:{NAME}", "--split", "test"), "the data set cannot be read: Bad split: test"),
        ((f"hub:{NAME}", "--column", "contents=text"), "have no column 'contents' hint: valid names: conversations, id"),
        ((f"hub:{NAME}", "--column", "contents"), "'contents' renames nothing"),
        ((f"hub:{NAME}", "--config", "rare"), "text: the row has no such key"),
    ],
    ids=["unknown", "no name", "split", "column", "no renaming", "no text"],
)
def test_what_cannot_be_had_is_told_and_leaves_nothing(hub: Hub, env: dict[str, str], tmp_path: Path, args: tuple[str, ...], says: str) -> None:
    code, _out, err = harness.run("corpus", "import", args[0], tmp_path / "got.jsonl", *args[1:], env=env)
    assert code == 2 and says in " ".join(err.split()) and "Traceback" not in err, err
    assert not list(tmp_path.glob("got*")) and not list(tmp_path.glob(".got*")), sorted(p.name for p in tmp_path.iterdir())


def test_a_file_with_unusable_rows_is_refused_or_they_are_counted(tmp_path: Path) -> None:
    source, target = tmp_path / "run[1] é.jsonl", tmp_path / "ok.jsonl"
    rows = ['{"text": "one {braces}"}', '{"text": ""}', "not json", '{"text": "two", "tags": ["a"]}', '{"text": null}']
    source.write_text("\n".join(rows), encoding="utf-8")
    code, _, err = harness.run("corpus", "import", source, target)
    assert code == 2 and ":2:1: text: empty" in err and not target.exists()
    code, out, err = harness.run("corpus", "import", source, target, "--skip-unusable")
    assert code == 0 and "wrote 2 documents" in out and "left out: 1 rows: text: empty" in out, err
    assert [json.loads(line) for line in target.read_text().splitlines()] == [{"text": "one {braces}"}, {"text": "two", "tags": ["a"]}]
    assert "left out: 1 rows: text: empty" in target.with_suffix(".md").read_text()
    before = target.read_bytes()
    code, _, err = harness.run("corpus", "import", source, target, "--skip-unusable")
    assert code == 2 and "is there already" in err and target.read_bytes() == before
    code, _, err = harness.run("corpus", "import", source, tmp_path / "x.txt")
    assert code == 2 and "does not end in .jsonl" in err
    code, _, err = harness.run("corpus", "import", tmp_path / "none.jsonl", tmp_path / "x.jsonl")
    assert code == 2 and "is no file" in err
    both = tmp_path / "both.jsonl"
    both.write_text('{"text": "a"}\n' + json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}))
    code, _, err = harness.run("corpus", "import", both, tmp_path / "x.jsonl")
    assert code == 2 and "import them apart" in err and not list(tmp_path.glob("x.*"))
    both.write_text('{"text": ""}')
    code, _, err = harness.run("corpus", "import", both, tmp_path / "x.jsonl", "--skip-unusable")
    assert code == 2 and "gave no row" in err and not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize(("streamed", "code"), [(True, 2), (False, -6)])
def test_a_program_that_streamed_a_data_set_ends_with_its_own_code(streamed: bool, code: int) -> None:
    """Arrow's threads abort an orderly end now and then; here something that always does stands for them."""
    script = (
        "import atexit, os\n"
        "from specsci.cli.guard import leave\n"
        "from specsci.sources.hub import data_sets\n"
        f"data_sets._STREAMED.extend(['x'] * {int(streamed)})\n"
        "atexit.register(os.abort)\n"
        "print('said')\n"
        "leave(2)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stdout == "said\n" or not streamed, "what was printed is there, buffered or not"
