"""PDFs that are locked by a password, and the passwords of the loader."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydantic import SecretStr

import ragkit
from ragkit.errors import LoadError
from ragkit.read.files import Files

PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def rc4(key: bytes, content: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in content:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def locked_pdf(password: str, text: str) -> bytes:
    """A PDF of one line, encrypted as the first version of PDF encryption does it."""

    def md5(content: bytes) -> bytes:
        return hashlib.md5(content, usedforsecurity=False).digest()

    padded, identity = (password.encode() + PADDING)[:32], b"0123456789abcdef"
    owner = rc4(md5(padded)[:5], padded)
    key = md5(padded + owner + (-4 & 0xFFFFFFFF).to_bytes(4, "little") + identity)[:5]
    shown = rc4(
        md5(key + (4).to_bytes(3, "little") + bytes(2))[:10],
        f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode(),
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(shown), shown),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 3 0 R >> >> >>",
        b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>"
        % (owner.hex().encode(), rc4(key, PADDING).hex().encode()),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"<< /Size 7 /Root 1 0 R /Encrypt 6 0 R /ID [<%s> <%s>] >>" % ((identity.hex().encode(),) * 2)
    return out + b"xref\n0 7\n0000000000 65535 f \n%strailer %s\nstartxref\n%d\n%%%%EOF\n" % (
        table,
        trailer,
        len(out),
    )


def given(*passwords: str) -> Files:
    return Files(password=[SecretStr(each) for each in passwords])


def test_a_locked_pdf_is_opened_by_a_password_of_the_loader(tmp_path: Path) -> None:
    file = tmp_path / "glass.pdf"
    file.write_bytes(locked_pdf("s3cret", "Glass bridges carry 40 people."))
    for files in (given(), given("wrong")):
        with pytest.raises(LoadError, match="locked by a password"):
            list(files.each(file))
    [paper] = given("wrong", "s3cret").each(file)
    assert paper.page_content == "Glass bridges carry 40 people."
    assert paper.metadata["sources"][0]["pages"][0][:2] == [0, 1]


def test_a_password_is_no_part_of_the_way_of_reading_but_of_the_try(tmp_path: Path) -> None:
    assert given("s3cret").settings == Files().settings
    assert given("s3cret").attempt != given("other").attempt != Files().attempt
    assert "s3cret" not in given("s3cret").attempt + repr(given("s3cret"))


@pytest.mark.parametrize("written", ["'${RAGKIT_PASSWORD:-}'", "[wrong, '${RAGKIT_PASSWORD:-}']"])
def test_a_failure_is_tried_again_with_a_new_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "glass.pdf").write_bytes(locked_pdf("s3cret", "Glass bridges carry 40 people."))
    pipeline = tmp_path / "ragkit.yaml"
    pipeline.write_text(
        f"ingest:\n  read: {{type: files, password: {written}}}\n  chunk: sentence\n  index: bm25\n"
        "answer: {retrieve: {type: lexical, index: bm25}, generate: extractive}\n"
    )
    for password, expected in (("", (1, 0, 0)), ("", (0, 1, 0)), ("s3cret", (0, 0, 1))):
        monkeypatch.setenv("RAGKIT_PASSWORD", password)
        report = ragkit.load(pipeline, corpus=tmp_path / "corpus").ingest(tmp_path / "papers")
        assert (len(report.failed), len(report.known), report.documents) == expected
