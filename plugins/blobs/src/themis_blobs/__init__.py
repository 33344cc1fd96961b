"""Where the long texts of a store are, each known by the SHA-256 of its bytes.

It knows neither what a text is for nor who refers to it.
"""

from themis_blobs.base import Blobs, BlobUnreachable, StoredBlob
from themis_blobs.folder import FolderBlobs

__all__ = ["BlobUnreachable", "Blobs", "FolderBlobs", "StoredBlob"]
