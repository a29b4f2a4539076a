"""PyIceberg's file access over one boto3 client. Imported only when recovery needs Iceberg."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.io import FileIO, InputFile, OutputFile

from lakehouse.errors import AwsError

from .calls import aws_call
from .operations import ABSENT

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client


class Catalog(GlueCatalog):
    """Glue's catalog, whose metadata files are read and written by our client."""

    def __init__(self, glue: GlueClient, s3: S3Client) -> None:
        super().__init__("glue", client=glue)
        self._files = S3Files(s3)

    def _load_file_io(self, *_: Any, **__: Any) -> FileIO:
        return self._files


class S3Files(FileIO):
    """Objects of S3 by their address."""

    def __init__(self, client: S3Client) -> None:
        super().__init__()
        self._client = client

    def new_input(self, location: str) -> S3File:
        """A file to read."""
        return S3File(self._client, location)

    def new_output(self, location: str) -> S3File:
        """A file to write."""
        return S3File(self._client, location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
        address = location if isinstance(location, str) else location.location
        with aws_call("s3", "DeleteObject"):
            self._client.delete_object(**_place(address))


class S3File(InputFile, OutputFile):
    """One object, read and written whole."""

    def __init__(self, client: S3Client, location: str) -> None:
        super().__init__(location)
        self._client = client

    def __len__(self) -> int:
        with aws_call("s3", "HeadObject"):
            return self._client.head_object(**_place(self.location))["ContentLength"]

    def exists(self) -> bool:
        """Whether the object is there."""
        try:
            len(self)
        except AwsError as error:
            if error.code in ABSENT:
                return False
            raise
        return True

    def open(self, seekable: bool = True) -> io.BytesIO:  # noqa: ARG002 - PyIceberg's signature
        """The object's bytes."""
        with aws_call("s3", "GetObject"):
            return io.BytesIO(self._client.get_object(**_place(self.location))["Body"].read())

    def create(self, overwrite: bool = False) -> io.BytesIO:
        """A stream that becomes the object when it is closed."""
        if not overwrite and self.exists():
            raise FileExistsError(self.location)
        return _Upload(self._client, self.location)

    def to_input_file(self) -> S3File:
        """The same object, to read."""
        return self


class _Upload(io.BytesIO):
    def __init__(self, client: S3Client, location: str) -> None:
        super().__init__()
        self._client = client
        self._location = location

    def close(self) -> None:
        if not self.closed:
            with aws_call("s3", "PutObject"):
                self._client.put_object(**_place(self._location), Body=self.getvalue())
        super().close()


def _place(location: str) -> Any:
    """The bucket and key of an address such as ``s3://bucket/path``."""
    parts = urlsplit(location, allow_fragments=False)
    return {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
