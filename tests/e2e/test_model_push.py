"""Models on a hub, against a real HTTP server that speaks the hub's protocol for writing."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import harness
import pytest

REPO = "lab/model"


class WritableHub:
    """Repositories with branches and tags, in memory; `spoil` changes what is kept of a file."""

    def __init__(self) -> None:
        self.private: dict[str, bool] = {}
        self.branches: dict[str, dict[str, bytes]] = {}
        self.tags: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.spoil = ""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def post(self, path: str, body: bytes) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            said = json.loads(body)
            if self.private:
                return 409, {"error": "You already created this model repo", "url": f"{self.url}/{REPO}"}
            self.private[REPO] = bool(said.get("private") or said.get("visibility") == "private")
            self.branches["main"] = {}
            return 200, {"url": f"{self.url}/{REPO}", "name": REPO, "id": "1"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        what, revision = parts[4], "/".join(parts[5:])
        if what == "branch":
            self.branches[revision] = dict(self.branches["main"])
            return 200, {}
        if what == "preupload":
            return 200, {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for f in json.loads(body)["files"]]}
        if what == "commit":
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.branches[revision][entry["value"]["path"]] = content[:-1] if entry["value"]["path"] == self.spoil else content
            return 200, {"commitUrl": f"{self.url}/{REPO}/commit/{'c' * 40}", "commitOid": "c" * 40, "success": True}
        if what == "tag":
            self.tags[json.loads(body)["tag"]] = dict(next(b for name, b in self.branches.items() if name != "main"))
            return 200, {}
        return 404, {"error": path}

    def get(self, path: str) -> tuple[int, Any]:
        parts = path.partition("?")[0].strip("/").split("/")
        if len(parts) < 4:
            return 200, {"name": "lab", "type": "user", "orgs": []}
        if len(parts) == 4:
            return 200, {"id": REPO, "private": self.private[REPO], "siblings": [], "sha": "c" * 40}
        if parts[4] == "refs":
            refs = {"branches": self.branches, "tags": self.tags}
            return 200, {k: [{"name": n, "ref": f"refs/{n}", "targetCommit": "c" * 40} for n in v] for k, v in refs.items()} | {"converts": []}
        if parts[4] == "tree":
            files = self.branches["/".join(parts[5:])]
            blobs = {n: hashlib.sha1(f"blob {len(c)}\0".encode() + c).hexdigest() for n, c in files.items()}
            return 200, [{"type": "file", "path": n, "size": len(c), "oid": blobs[n]} for n, c in files.items()]
        if parts[4] == "revision":
            return 200, {"id": REPO, "private": self.private[REPO], "siblings": [], "sha": "c" * 40}
        return 404, {"error": path}

    def _handler(hub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                hub.asked.append(f"GET {self.path}")
                self._send(*hub.get(self.path))

            def do_POST(self) -> None:
                hub.asked.append(f"POST {self.path}")
                self._send(*hub.post(self.path.partition("?")[0], self.rfile.read(int(self.headers.get("Content-Length", 0)))))

            def _send(self, code: int, value: Any) -> None:
                content = json.dumps(value).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    from huggingface_hub import constants

    hub = WritableHub()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield hub
    hub.server.shutdown()


def push(store: Path, *more: str) -> tuple[int, str, str]:
    model = harness.artifact(store, "align", "align rules at 150 tokens, replicate 1").name
    return harness.run("model", "push", model, REPO, "--store", store, *more)


def test_files_are_read_back_before_the_card_and_the_card_before_the_tag(hub, finished_small, monkeypatch) -> None:
    code, out, err = push(finished_small.store, "--json")
    assert code == 0, err
    done = json.loads(out)
    assert done["private"] and done["branch"] == "specsci" and hub.private[REPO]
    kept = hub.tags[done["tag"]]
    assert {n: hashlib.sha256(c).hexdigest() for n, c in kept.items() if n != "README.md"} == done["files"] and "model.safetensors" in kept
    assert b"\nlicense: apache-2.0\n" in kept["README.md"] and b"Base: microlab:conduct/100" in kept["README.md"]
    asked = [a.partition("?")[0] for a in hub.asked]
    commits = [n for n, a in enumerate(asked) if "/commit/" in a]
    read = next(n for n, a in enumerate(asked) if "/tree/" in a and n > commits[0])
    assert commits[0] < read < commits[-1] < asked.index(next(a for a in asked if "/tag/" in a))
    code, _, err = push(finished_small.store)
    assert code == 2 and "has a tag" in err, "a tag stays what it was"


def test_a_file_that_came_out_wrong_is_never_tagged(hub, finished_small) -> None:
    hub.spoil = "model.safetensors"
    code, _, err = push(finished_small.store)
    assert code != 0 and "'model.safetensors' is not what was sent; nothing was tagged" in err and not hub.tags and "Traceback" not in err


def test_a_private_model_does_not_go_into_a_public_repository(hub, finished_small) -> None:
    hub.private[REPO], hub.branches["main"] = False, {}
    code, _, err = push(finished_small.store)
    assert code == 3 and "lab/model is public" in err and not hub.tags


def test_offline_and_a_name_that_is_none_say_so(hub, finished_small, monkeypatch) -> None:
    model = harness.artifact(finished_small.store, "align", "align rules at 150 tokens, replicate 1").name
    code, _, err = harness.run("model", "push", model, "no name", "--store", finished_small.store)
    assert code == 2 and "is no name of a repository" in err
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = push(finished_small.store)
    assert code == 2 and "HF_HUB_OFFLINE is set" in err
