"""Models in OpenVINO's format, loaded by several threads."""

from __future__ import annotations

import locale
import threading

from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.models.hub import cache_directory
from ragkit.models.openvino import compiled


def test_models_that_are_loaded_at_once_leave_the_locale_as_it_is() -> None:
    SentenceTransformersEmbeddings(model="all-MiniLM-L6-v2").embed_query("a bridge")
    folder = next(path.parent for path in cache_directory().glob("models/*/model.xml"))
    before = locale.setlocale(locale.LC_ALL)
    threads = [threading.Thread(target=compiled, args=(folder, "f32")) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert locale.setlocale(locale.LC_ALL) == before
