"""Pictures in a bucket: what is there, by the bucket's own listing. Nothing is downloaded.

The real client is used; it honours STORAGE_EMULATOR_HOST.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage

from pipeline.contract import UserError
from pipeline.fingerprint import digest_json
from pipeline.google_words import first_line
from pipeline.ingestion.pictures import is_system_file, not_there

SCHEME = "gs://"


def listed(address: str) -> tuple[str, int]:
    """Returns the digest of a folder or an archive in a bucket, and how many files it has.

    The digest is of the names, sizes and CRC32C checksums that Cloud Storage keeps of each object, so that the same
    files uploaded again are the same. An archive counts as one file.

    Args:
      address: `gs://bucket/folder` or `gs://bucket/archive`.

    Raises:
      UserError: no such address, nothing in it, or no permission to look.
    """
    bucket, _, path = address.removeprefix(SCHEME).rstrip("/").partition("/")
    if not address.startswith(SCHEME) or not bucket:
        raise UserError(
            expected="the address of a folder or an archive of pictures, gs://bucket/…",
            received=address,
            todo="correct the address",
        )
    with _understood(address):
        client = storage.Client(project=None)  # Reading needs no project, which a developer may not have set.
        archive = client.bucket(bucket).get_blob(path) if path else None
        if archive is not None:
            return digest_json([archive.size, archive.crc32c]), 1
        prefix = f"{path}/" if path else ""
        blobs = {blob.name.removeprefix(prefix): blob for blob in client.list_blobs(bucket, prefix=prefix)}
    # A name that ends in a slash is a folder that the console made.
    files = {name: blob for name, blob in blobs.items() if not name.endswith("/") and not is_system_file(name)}
    if not files:
        raise not_there(address)
    return digest_json(sorted([name, blob.size, blob.crc32c] for name, blob in files.items())), len(files)


@contextmanager
def _understood(address: str) -> Iterator[None]:
    bucket = address.removeprefix(SCHEME).partition("/")[0]
    try:
        yield
    except NotFound as error:
        raise UserError(
            expected=f"a bucket {bucket}", received="none of that name", todo=f"correct the address {address}"
        ) from error
    except (Forbidden, Unauthorized, GoogleAuthError) as error:
        raise UserError(
            expected=f"permission to list and read {address}",
            received=first_line(error),
            todo="log in with `gcloud auth application-default login`, or have roles/storage.objectViewer granted",
        ) from error
    except (GoogleAPIError, OSError) as error:
        raise UserError(
            expected=f"to reach {address}", received=first_line(error), todo="look at the network, or try again later"
        ) from error
