from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from lakehouse_cli import upload
from lakehouse_cli.errors import UsageError
from tests.unit.cli_fakes import OUTPUTS


def write(path: Path, text: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def keys(*arguments: Any) -> list[str]:
    return [source.key for source in upload.sources(*arguments)]


def test_a_file_goes_into_its_datasets_folder(tmp_path: Path) -> None:
    assert keys([write(tmp_path / "a.csv")], "flights", None) == ["flights/a.csv"]


def test_a_files_own_hive_folders_are_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "x" / "year=2013" / "month=1" / "a.csv")
    assert keys([file], "flights", None) == ["flights/year=2013/month=1/a.csv"]


def test_path_takes_the_place_of_the_files_own_folders(tmp_path: Path) -> None:
    file = write(tmp_path / "year=2013" / "a.csv")
    assert keys([file], "flights", "/year=2014/month=2/") == ["flights/year=2014/month=2/a.csv"]
    assert keys([file], "flights", "") == ["flights/a.csv"]


def test_a_folders_files_keep_their_paths_and_hidden_ones_stay_out(tmp_path: Path) -> None:
    for name in ("b/month=2/b.csv", "a.csv", ".hidden", ".git/config", "_SUCCESS"):
        write(tmp_path / name)
    assert keys([tmp_path], "flights", None) == [
        "flights/_SUCCESS",
        "flights/a.csv",
        "flights/b/month=2/b.csv",
    ]


def test_without_a_dataset_each_folder_is_one(tmp_path: Path) -> None:
    write(tmp_path / "planes" / "planes.csv")
    write(tmp_path / "flights" / "year=2013" / "f.csv")
    write(tmp_path / ".cache" / "c.csv")
    found = upload.sources([tmp_path], None, None)
    assert [(s.dataset, s.key) for s in found] == [
        ("flights", "flights/year=2013/f.csv"),
        ("planes", "planes/planes.csv"),
    ]


@pytest.mark.parametrize(
    ("dataset", "folder", "sentence"),
    [
        ("Flights", None, "Flights cannot be a dataset"),
        ("a__b", None, "a__b cannot be a dataset"),
        ("flights", "../weather", "without . and .. in it"),
        (None, None, "Say which dataset"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, dataset: str | None, folder: str | None, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        upload.sources([write(tmp_path / "a.csv")], dataset, folder)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file or folder"):
        upload.sources([tmp_path / "nope.csv"], "flights", None)
    with pytest.raises(UsageError, match="There is no file to put"):
        upload.sources([tmp_path], "flights", None)


def test_two_files_for_one_key_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / "a" / "f.csv"), write(tmp_path / "b" / "f.csv")]
    with pytest.raises(UsageError, match=r"a/f\.csv and .*b/f\.csv would both become flights/f\.csv"):
        upload.sources(files, "flights", None)


class FakeS3:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert (Bucket, Key) == (OUTPUTS["OperationsBucketName"], OUTPUTS["AssetsPrefix"] + "index.json")
        return {"Body": BytesIO(json.dumps({"scheduled": ["weather"]}).encode())}

    def put_object(self, *, Bucket: str, Key: str, Body: Any) -> dict[str, str]:  # noqa: N803 - boto3's names
        self.objects[f"{Bucket}/{Key}"] = Body.read()
        return {"VersionId": f"v{len(Key)}"}


def test_put_uploads_the_bytes_and_returns_versions_in_order(tmp_path: Path) -> None:
    wanted = upload.sources(
        [write(tmp_path / "a.csv", "1\n"), write(tmp_path / "bb.csv", "22\n")], "flights", None
    )
    s3 = FakeS3()
    done: list[upload.Stored] = []
    stored = upload.put(s3, "bronze", wanted, done.append)
    assert s3.objects == {"bronze/flights/a.csv": b"1\n", "bronze/flights/bb.csv": b"22\n"}
    assert stored == [
        upload.Stored("flights", "flights/a.csv", "v13", 2),
        upload.Stored("flights", "flights/bb.csv", "v14", 3),
    ]
    assert sorted(done, key=lambda item: item.key) == stored
