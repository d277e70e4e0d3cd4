"""A server that speaks S3's protocol, in a thread of the tests' process: moto's, which keeps all in memory."""

from __future__ import annotations

import time

import boto3
import pytest
from moto.server import ThreadedMotoServer


class Server:
    def __init__(self) -> None:
        self.inner = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.inner.start()
        host, port = self.inner.get_host_and_port()
        self.url = f"http://{host}:{port}"

    def bucket(self, environment: pytest.MonkeyPatch) -> str:
        """The address of an empty bucket, which is reached by the variables set in *environment*."""
        for name, value in {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIAPAPERS",
            "AWS_SECRET_ACCESS_KEY": "hush",
        }.items():
            environment.setenv(name, value)
        name = f"papers-{time.time_ns()}"
        boto3.client("s3", endpoint_url=self.url, region_name="us-east-1").create_bucket(Bucket=name)
        return f"s3://{name}/indexes"

    def close(self) -> None:
        self.inner.stop()
