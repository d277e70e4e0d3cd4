"""Models in OpenVINO's format: converted once, cached, and run in the processor's best precision."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ragkit import private
from ragkit.document import digest
from ragkit.errors import ModelError
from ragkit.models.hub import cache_directory

Precision = Literal["auto", "bf16", "f32"]
"""`auto` is bfloat16 where the processor computes in it, else float32."""

Run = Callable[[Mapping[str, NDArray[np.int64]]], NDArray[np.float32]]
"""The first output for inputs by their names."""

_DONE = "notes.json"
_one_at_a_time = threading.Lock()
"""OpenVINO reads and writes files under the locale C, and puts the former one back: of two threads that do so at
once, the second may put C back for good.
"""


def converted(identity: str, convert: Callable[[Path], None]) -> Path:
    """The folder of the model called *identity*, which *convert* fills on first use.

    *convert* must write `notes.json` last.
    """
    import openvino

    folder = cache_directory() / "models" / digest(identity, openvino.__version__)
    try:
        if (folder / _DONE).exists():
            return folder
        private.make_folder(folder.parent)
        made = Path(tempfile.mkdtemp(prefix="converting-", dir=folder.parent))
    except OSError as error:
        raise ModelError(
            f"cannot write to '{folder.parent}': {error.strerror}; set RAGKIT_CACHE to a directory that can be written"
        ) from None
    try:
        convert(made)
        try:
            made.rename(folder)
        except OSError:  # another process was quicker
            if not (folder / _DONE).exists():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def save(module: Any, names: Sequence[str], folder: Path) -> None:
    """Write a torch module as `model.xml`.

    The model takes token ids and what goes with them by *names*, in rows of any number and length.
    """
    import openvino
    import torch

    example = {name: torch.ones(2, 9, dtype=torch.long) for name in names}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of every Python branch it follows
        graph = openvino.convert_model(module.eval(), example_input=example)
    try:
        with _one_at_a_time:
            openvino.save_model(graph, folder / "model.xml", compress_to_fp16=False)
    except RuntimeError as error:  # OpenVINO does not say which
        raise ModelError(
            f"the converted model cannot be written to '{folder.parent}' ({error}); free some space there, or set RAGKIT_CACHE to another directory"
        ) from None


_STEP = 8  # lengths are rounded up to a multiple of it: a shape that the model has seen before runs at once


def padded(rows: Sequence[Sequence[int]], pad: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and attention mask of *rows*, each of shape `(rows, tokens)`."""
    width = -(-max(map(len, rows)) // _STEP) * _STEP
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


def compiled(folder: Path, precision: Precision) -> Run:
    """The model in *folder*, ready to run, also from several threads."""
    import openvino

    core = openvino.Core()
    if precision == "auto":
        precision = "bf16" if computes_bf16() else "f32"
    settings = {
        "CACHE_DIR": str(folder / "compiled"),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    try:
        with _one_at_a_time:
            try:
                model = core.compile_model(folder / "model.xml", "CPU", settings)
            except RuntimeError:  # what is compiled cannot be kept there: the disk is full, or read-only
                del settings["CACHE_DIR"]
                model = core.compile_model(folder / "model.xml", "CPU", settings)
    except RuntimeError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ModelError(
            f"the converted model in '{folder}' could not be loaded and was removed; run the command again ({error})"
        ) from None

    idle: list[Any] = []  # requests, which threads must not share

    def run(inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        try:
            request = idle.pop()
        except IndexError:
            request = model.create_infer_request()
        # A copy, because the request is used again.
        found = np.array(request.infer(dict(inputs))[0], dtype=np.float32)
        idle.append(request)
        return found

    return run


def computes_bf16() -> bool:
    """Is the processor quicker in bfloat16?"""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@contextmanager
def quietly() -> Iterator[None]:
    """Import and load torch models without their warnings and progress bars.

    Raises `ModelError` if sentence-transformers is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import sentence_transformers  # noqa: F401
        except ImportError as error:
            raise ModelError(
                f"loading a model needs sentence-transformers and torch: {error}; pip install sentence-transformers"
            ) from None
        from transformers.utils import logging as noise

        noise.disable_progress_bar()
        logging.getLogger("transformers").setLevel(logging.ERROR)
        yield
