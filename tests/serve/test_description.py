"""The server against its own description: schemathesis sends what `/openapi.json` allows, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
from langchain_core.documents import Document
from support import ROOT

import ragkit
from ragkit.document import as_json
from ragkit.serve import keys
from ragkit.serve.guard import Rules
from ragkit.serve.replies import PassageShown

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)
QUESTION = "How many parameters do BERT-base and BERT-large have?"
TEXT = "BERT-large has 340 million parameters. BERT-large has 900 million parameters."


@pytest.fixture(scope="module")
def client(serving: Callable[..., httpx2.Client], tmp_path_factory: pytest.TempPathFactory) -> httpx2.Client:
    rag = ragkit.load(
        ROOT / "configs" / "default.yaml", corpus=tmp_path_factory.mktemp("described") / "corpus"
    )
    rag.ingest(ROOT / "examples" / "papers" / "bert.md")
    return serving(rag)


def test_no_request_gets_a_reply_that_the_description_does_not_have(
    client: httpx2.Client, tmp_path: Path
) -> None:
    [paper] = client.get("/api/papers").json()["papers"]
    known = f'include-path-regex = "^/papers/"\nparameters = {{ "path.identity" = "{paper["id"]}" }}\n'
    (tmp_path / "schemathesis.toml").write_text(f"[[operations]]\n{known}")
    address = str(client.base_url).rstrip("/")
    command = ["run", f"{address}/openapi.json", "--max-examples", "8", "--checks", CHECKS]
    options = [
        "--phases",
        "examples,coverage,fuzzing",
        "--seed",
        "1",
        "--no-color",
        "--request-timeout",
        "30",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *command, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "generated, " in done.stdout


def test_what_is_asked_for_in_earnest_is_answered_as_described(client: httpx2.Client) -> None:
    described = client.get("/openapi.json").json()
    note = ("files", ("terns.md", b"# Terns\n\nThe Arctic tern flies 70,000 kilometres a year.\n"))
    [paper] = client.post("/api/papers", files=[note]).json()["papers"]
    messages = [{"role": "user", "content": QUESTION}]
    check(described, client.post("/api/papers", files=[note]), "/api/papers")
    for place, body in {
        "/api/ask": {"question": QUESTION},
        "/api/search": {"query": QUESTION},
        "/api/check": {"text": TEXT},
        "/v1/chat/completions": {"messages": messages},
        "/v1/responses": {"input": QUESTION},
        "/v1/embeddings": {"input": [QUESTION]},
    }.items():
        check(described, client.post(place, json=body), place)
    check(described, client.post("/api/ask", json={"question": "What is the capital of France?"}), "/api/ask")
    identity = paper["id"]
    for place in ("/api/papers", "/api/config", "/readyz", "/v1/models"):
        check(described, client.get(place), place)
    shown = client.get(
        f"/papers/{identity}", params={"from": 0, "to": 5}, headers={"accept": "application/json"}
    )
    check(described, shown, "/papers/{identity}")
    check(described, client.get("/v1/models/default"), "/v1/models/{name}")
    check(described, client.delete(f"/api/papers/{identity}"), "/api/papers/{identity}")


def test_the_description_of_a_passage_has_every_key_that_is_sent() -> None:
    known = {"version_label": "v1", "superseded_by": "b", "via": {"text": "terns", "kind": "question"}}
    hit = Document("Terns.", metadata={"document_id": "a", "start": 0, "end": 6, **known})
    assert set(as_json(hit)) == set(PassageShown.model_fields)
    shown = PassageShown.model_validate(as_json(hit))
    assert {"version", "superseded_by", "via"} <= set(shown.model_dump())
    plain = Document("Terns.", metadata={"document_id": "a", "start": 0, "end": 6})
    assert PassageShown.model_validate(as_json(plain)).model_dump().keys() == as_json(plain).keys()


def check(described: dict[str, Any], reply: httpx2.Response, place: str) -> None:
    """Is the reply JSON as the description has it for a request that succeeds?"""
    assert reply.status_code == 200, reply.text
    method = reply.request.method.lower()
    kind = described["paths"][place][method]["responses"]["200"]["content"]["application/json"]["schema"]
    assert kind
    jsonschema.validate(reply.json(), {**described, **kind}, cls=jsonschema.Draft202012Validator)


def test_the_description_of_a_server_with_keys_says_how_to_give_one(
    serving: Callable[..., httpx2.Client], ingested: Path, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    key = {"authorization": f"Bearer {keys.add(file, 'ann')}"}
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested)
    locked = serving(rag, rules=Rules(keys=keys.read(file)))
    described = locked.get("/openapi.json", headers=key).json()
    assert described["paths"]["/api/ask"]["post"]["security"] == [{"HTTPBearer": []}]
    assert described["components"]["securitySchemes"]["HTTPBearer"] == {"type": "http", "scheme": "bearer"}
