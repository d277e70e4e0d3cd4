"""Qdrant's own engine in this process, behind the methods of `qdrant_client.QdrantClient` that ragkit calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qdrant_edge as edge
from qdrant_client import models as q

from ragkit.index.qdrant import QdrantIndex

_SHARDS: dict[Path, edge.EdgeShard] = {}


@dataclass(frozen=True)
class EngineIndex(QdrantIndex):
    """An index whose engine keeps its files in the folder `url`."""

    def client(self) -> Any:
        return EngineClient(Path(self.url))


class EngineClient:
    """A shard a collection in *folder*; its graph is made of few points already, whenever a generation is sealed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def shard(self, name: str) -> edge.EdgeShard:
        if (path := self.folder / name) not in _SHARDS:
            _SHARDS[path] = edge.EdgeShard.load(str(path))
        return _SHARDS[path]

    def collection_exists(self, name: str) -> bool:
        return (self.folder / name).exists()

    def create_collection(self, name: str, vectors: dict[str, q.VectorParams]) -> None:
        params = {
            key: edge.EdgeVectorParams(each.size, edge.Distance.Cosine) for key, each in vectors.items()
        }
        config = edge.EdgeConfig(
            vectors=params,
            hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10),
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=10),
        )
        (self.folder / name).mkdir(parents=True)
        _SHARDS[self.folder / name] = edge.EdgeShard.create(str(self.folder / name), config)

    def create_payload_index(self, name: str, field: str, kind: q.PayloadSchemaType) -> None:
        schema = getattr(edge.PayloadSchemaType, kind.value.title())
        self.shard(name).update(edge.UpdateOperation.create_field_index(field, schema))

    def upsert(self, name: str, points: Sequence[q.PointStruct], wait: bool) -> None:
        made = [edge.Point(p.id, p.vector, p.payload) for p in points]
        self.shard(name).update(edge.UpdateOperation.upsert_points(made))
        if any("sealed" in (p.payload or ()) for p in points):
            self.shard(name).optimize()  # as a server does by itself

    def set_payload(self, name: str, payload: dict[str, Any], points: q.Filter, wait: bool) -> None:
        self.shard(name).update(edge.UpdateOperation.set_payload_by_filter(_filter(points), payload))

    def delete(self, name: str, chosen: q.FilterSelector, wait: bool) -> None:
        self.shard(name).update(edge.UpdateOperation.delete_points_by_filter(_filter(chosen.filter)))

    def retrieve(self, name: str, ids: list[str]) -> list[Any]:
        return self.shard(name).retrieve(ids, with_payload=True, with_vector=False)

    def count(self, name: str, chosen: q.Filter) -> Any:
        number = self.shard(name).count(edge.CountRequest(exact=True, filter=_filter(chosen)))
        return SimpleNamespace(count=number)

    def scroll(self, name: str, chosen: q.Filter, limit: int, offset: Any) -> tuple[list[Any], Any]:
        asked = edge.ScrollRequest(
            offset=offset, limit=limit, filter=_filter(chosen), with_payload=True, with_vector=False
        )
        return self.shard(name).scroll(asked)

    def query_points(
        self,
        name: str,
        vector: list[float],
        using: str,
        query_filter: q.Filter,
        search_params: q.SearchParams,
        limit: int,
        with_payload: list[str],
    ) -> Any:
        params = edge.SearchParams(hnsw_ef=search_params.hnsw_ef, exact=bool(search_params.exact))
        asked = edge.QueryRequest(
            limit=limit,
            query=edge.Query.Nearest(vector, using=using),
            filter=_filter(query_filter),
            params=params,
            with_payload=with_payload,
        )
        return SimpleNamespace(points=self.shard(name).query(asked))


def _filter(given: Any) -> edge.Filter:
    conditions = []
    for each in given.must:
        match = edge.MatchAny(each.match.any) if each.match else None
        bounds = each.range and edge.RangeFloat(**each.range.model_dump())
        conditions.append(edge.FieldCondition(each.key, match=match, range=bounds))
    return edge.Filter(must=conditions)
