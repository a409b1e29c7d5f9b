"""Hub models against a real HTTP server that speaks the hub's protocol: pinned by `study lock`, fetched, cached, refused."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import harness
import pytest
from test_models import write_data, write_model

COMMIT = "c0ffee" + "0" * 34
NAME = "lab/tiny-1M"


class Hub:
    """One model on a hub of our own: its files, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []
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
                hub.asked.append(f"{self.command} {path}")
                names = sorted(p.name for p in hub.folder.iterdir())
                info = {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names], "private": False}
                tree = [{"type": "file", "path": n, "size": (hub.folder / n).stat().st_size, "oid": "0" * 40} for n in names]
                known = (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/main", f"/api/models/{NAME}/revision/{COMMIT}")
                if path in known:
                    self._send(json.dumps(info).encode(), "application/json", body)
                elif path.startswith(f"/api/models/{NAME}/tree/"):
                    self._send(json.dumps(tree).encode(), "application/json", body)
                elif path.startswith(f"/{NAME}/resolve/{COMMIT}/") and path.rsplit("/", 1)[1] in names:
                    self._send((hub.folder / path.rsplit("/", 1)[1]).read_bytes(), "application/octet-stream", body)
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


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    write_model(tmp_path / "remote")
    (tmp_path / "remote" / "pytorch_model.bin").write_bytes(b"pickle")
    served = Hub(tmp_path / "remote")
    yield served
    served.server.shutdown()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The small study on the hub's model, unpinned."""
    folder = tmp_path / "study"
    folder.mkdir()
    write_data(folder)
    path = folder / "own.yaml"
    edits = {
        "study: small": "study: own",
        "microlab:conduct/100": f"hub:{NAME}",
        "tokens: 2000\n": "tokens: 4000\n  replay: texts.jsonl\n",
        "budgets_tokens: [150, 300]\n": "budgets_tokens: [400, 800]\n  it_mix: chats.jsonl\n",
        "max_length_tokens: 64": "max_length_tokens: 128",
        "max_length_tokens: 65": "max_length_tokens: 256",
    }
    path.write_text(harness.edited(harness.SMALL, edits))
    return path


def online(hub: Hub, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "SPECSCI_ONLINE": "1",
    }


@pytest.mark.slow
def test_a_branch_is_pinned_and_the_commit_is_fetched_once(hub, study, tmp_path):
    env = online(hub, tmp_path)
    before = study.read_text()
    code, out, err = harness.run("study", "plan", study, "--store", tmp_path / "store", env=env)
    assert code == 0 and "is not pinned to a commit" in out and "specsci study lock own.yaml" in out, out + err
    lock = ("study", "lock", study, "--store", tmp_path / "locked", "--json")
    code, out, err = harness.run(*lock, env=env)
    assert code == 0, out + err
    (pin,) = json.loads(out)["pins"]
    assert pin["after"] == f"hub:{NAME}@{COMMIT}"
    assert study.read_text() == before.replace(f"hub:{NAME}", pin["after"]), "nothing else of the file changes"
    again = json.loads(harness.run(*lock, env=env)[1])
    assert again["pins"] == [] and not again["lock"]["new"], "pinned and locked already"
    report = harness.run_study(study, tmp_path / "store", env=env)
    assert report["failed"] == 0
    (base,) = harness.records(tmp_path / "store", "base").values()
    assert base["identity"]["params"] == {"hub": NAME, "revision": COMMIT, "examination": 1}
    assert "model/model.safetensors" in base["files"] and not any(".bin" in name for name in base["files"])
    assert not [a for a in hub.asked if "pytorch_model.bin" in a], "pickle is not even fetched"
    assert len([a for a in hub.asked if a.startswith("GET") and a.endswith("/model.safetensors")]) == 1
    asked = len(hub.asked)
    offline = {**env, "HF_ENDPOINT": "http://127.0.0.1:9", "SPECSCI_ONLINE": "", "HF_HUB_OFFLINE": "1"}
    again = harness.run_study(study, tmp_path / "other", env=offline)
    assert again["failed"] == 0 and len(hub.asked) == asked, "the cache serves another store without a network"


def test_without_the_network_a_hub_model_says_how_to_get_it(hub, study, tmp_path):
    env = {**online(hub, tmp_path), "SPECSCI_ONLINE": "", "HF_HUB_OFFLINE": "1"}
    study.write_text(study.read_text().replace(f"hub:{NAME}", f"hub:{NAME}@{COMMIT}"))
    code, out, err = harness.run("study", "run", study, "--store", tmp_path / "store", "--json", env=env)
    assert code == 1 and "SPECSCI_ONLINE=1" in out and "hf download" in out and "Traceback" not in out + err
    assert hub.asked == []


def test_an_unpinned_model_under_a_primary_contrast_is_refused(study, tmp_path):
    contrast = "contrasts:\n  - {name: c, eval: held_out, weights: {rules: 1, base: -1}, budget_tokens: 400, factor: midtrain, primary: true}\n"
    study.write_text(study.read_text().replace("arms:\n", contrast + "arms:\n", 1))
    code, out, err = harness.run("study", "plan", study, "--store", tmp_path / "store")
    assert code == 3 and "refuse: pin:" in out and "'c' is a primary contrast" in out, out + err


def test_lock_without_a_hub_and_of_an_unknown_model(hub, study, tmp_path):
    before = study.read_text()
    code, _, err = harness.run("study", "lock", study, env={**online(hub, tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"})
    assert code == 2 and "cannot be resolved" in err and "Traceback" not in err
    study.write_text(before.replace(NAME, "lab/other"))
    code, _, err = harness.run("study", "lock", study, env=online(hub, tmp_path))
    assert code == 2 and "hub:lab/other cannot be resolved" in err
    study.write_text(before.replace(f"hub:{NAME}", "hub:nothing"))
    code, _, err = harness.run("study", "check", study)
    assert code == 2 and "names no model on the hub" in err and "own.yaml:" in err
