"""A stand-in for the Hugging Face hub: the part of its HTTP that pushing and pulling speak, over a dictionary of files."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_test"
COMMIT = "c" * 40


class Hub:
    """Serves repositories while it is entered.

    Attributes:
        files: by repository and path.
        calls: method and path of each request.
    """

    def __init__(self):
        self.files: dict[str, dict[str, bytes]] = {}
        self.calls: list[tuple[str, str]] = []
        self.blobs: dict[str, bytes] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, content, code=200, **headers):
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(code)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                hub.calls.append((self.command, path))
                if self.command == "POST" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self.answer({"error": "no token"}, 401)
                    return
                hub.serve(self, path, body)

            do_GET = do_HEAD = do_POST = do_PUT = handle_any

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def serve(self, request, path, body):
        """Answer one request."""
        if path == "/api/repos/create":
            about = json.loads(body)
            repo = f"{about['organization']}/{about['name']}" if about.get("organization") else about["name"]
            self.files.setdefault(repo, {})
            request.answer({"url": f"{self.url}/{repo}", "name": repo})
        elif path == "/api/validate-yaml":
            request.answer({"warnings": [], "errors": []})
        elif path.startswith("/lfs/"):
            self.blobs[path.removeprefix("/lfs/")] = body
            request.answer(b"")
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}}} for one in json.loads(body)["objects"]
            ]
            request.answer({"transfer": "basic", "objects": objects})
        elif path.startswith("/api/models/"):
            self.serve_model(request, path.removeprefix("/api/models/").split("/"), body)
        else:
            user, name, _, _, *file = [*path.strip("/").split("/"), "", "", ""]  # /USER/NAME/resolve/COMMIT/FILE
            content = self.files.get(f"{user}/{name}", {}).get("/".join(filter(None, file)))
            if content is None:
                request.answer({"error": "no such file"}, 404, X_Error_Code="EntryNotFound")
            else:
                request.answer(content, X_Repo_Commit=COMMIT, ETag=f'"{hashlib.sha256(content).hexdigest()}"')

    def serve_model(self, request, parts, body):
        """What the hub tells of a repository, and a commit to it."""
        repo, rest = "/".join(parts[:2]), parts[2:]
        if repo not in self.files:
            request.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif rest[:1] == ["preupload"]:
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for one in json.loads(body)["files"]
            ]
            request.answer({"files": modes})
        elif rest[:1] == ["commit"]:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    self.files[repo][value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    self.files[repo][value["path"]] = self.blobs[value["oid"]]
            request.answer({"commitUrl": f"{self.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT, "success": True})
        elif rest[:1] == ["tree"]:
            request.answer(
                [{"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                 for path, content in self.files[repo].items()]
            )  # fmt: skip
        else:
            siblings = [{"rfilename": path} for path in self.files[repo]]
            request.answer({"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False})
