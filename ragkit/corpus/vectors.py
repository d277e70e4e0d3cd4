"""Caches of embedding vectors and chat model replies, so that nothing is computed or paid for twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from langchain_core.embeddings import Embeddings

from ragkit.corpus.database import Database, batches, marks
from ragkit.document import digest
from ragkit.models.embeddings import AdaptedEmbeddings, Vectors, fingerprint_of, vectors_of


class VectorCache(Database):
    """The tables `vectors` and `replies`; a text is known by its digest, a model by its fingerprint."""

    def vectors(self, model: str, texts: Iterable[str]) -> dict[str, Vectors]:
        """The vectors that *model* gave to the texts with these digests, those that there are."""
        found = {}
        for some in batches(texts):
            for text, blob in self.db.execute(
                f"SELECT text, vector FROM vectors WHERE model = ? AND text IN ({marks(some)})",
                (model, *some),
            ):
                found[text] = np.frombuffer(blob, dtype=np.float32)
        return found

    def sampled_vectors(self, model: str, most: int) -> Vectors:
        """At most so many of the vectors that are kept of *model*: shape `(vectors, dimensions)`, `(0, 0)` if none are.

        A text is known by its digest, so those with the lowest digests are a random sample, the same always.
        """
        rows = self.column("SELECT vector FROM vectors WHERE model = ? ORDER BY text LIMIT ?", (model, most))
        if not rows:
            return np.zeros((0, 0), dtype=np.float32)
        return np.stack([np.frombuffer(row, dtype=np.float32) for row in rows])

    def put_vectors(self, model: str, texts: Sequence[str], vectors: Vectors) -> None:
        rows = sorted(  # workers that have texts in common lock them in the same order
            (model, text, np.asarray(v, dtype=np.float32).tobytes())
            for text, v in zip(texts, vectors, strict=True)
        )
        with self.transaction() as db:
            db.executemany(
                "INSERT INTO vectors VALUES (?, ?, ?) ON CONFLICT (model, text) DO UPDATE SET vector = excluded.vector",
                rows,
            )

    def replies(self, model: str, prompt: str, texts: Iterable[str]) -> dict[str, str]:
        """What *model*, asked with *prompt*, replied to the texts with these digests, where it was asked."""
        found: dict[str, str] = {}
        for some in batches(texts):
            found |= self.db.execute(
                f"SELECT text, reply FROM replies WHERE model = ? AND prompt = ? AND text IN ({marks(some)})",
                (model, prompt, *some),
            ).fetchall()
        return found

    def put_replies(self, model: str, prompt: str, replies: Mapping[str, str]) -> None:
        """Keep *replies*, by the digest of the text each is about."""
        with self.transaction() as db:
            db.executemany(
                "INSERT INTO replies VALUES (?, ?, ?, ?) ON CONFLICT (model, prompt, text) DO UPDATE"
                " SET reply = excluded.reply",
                [(model, prompt, text, reply) for text, reply in replies.items()],
            )


class CachedEmbeddings(Embeddings):
    """*embed*, but a text whose vector is in *corpus* is not embedded again.

    New vectors are put there; without *keep* nothing is written.
    """

    def __init__(self, embed: Embeddings, corpus: VectorCache, keep: bool = True) -> None:
        self.embed, self.corpus, self.keep = embed, corpus, keep
        self.encoded = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.vectors(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.embed.embed_query(text)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """An array of shape `(texts, dimensions)`."""
        if isinstance(self.embed, AdaptedEmbeddings):
            within = CachedEmbeddings(self.embed.embed, self.corpus, self.keep)
            made = self.embed.adapted(within.vectors(texts))
            self.encoded += within.encoded
            return made
        name = fingerprint_of(self.embed)
        keys = [digest(text) for text in texts]
        known = self.corpus.vectors(name, keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            made = vectors_of(self.embed, list(new.values()))
            if self.keep:
                self.corpus.put_vectors(name, list(new), made)
            self.encoded += len(new)
            known.update(zip(new, made, strict=True))
        return np.stack([known[key] for key in keys])
