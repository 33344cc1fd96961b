"""Where the long texts of a store are, each known by the SHA-256 of its bytes.

It knows neither what a text is for nor who refers to it.
"""

from themis_blobs.base import Blobs, BlobUnreachable, StoredBlob, pack, unpack
from themis_blobs.folder import FolderBlobs
from themis_blobs.places import check_options, check_place, is_url, need_client, open_place

__all__ = [
    "BlobUnreachable",
    "Blobs",
    "FolderBlobs",
    "StoredBlob",
    "check_options",
    "check_place",
    "is_url",
    "need_client",
    "open_place",
    "pack",
    "unpack",
]
