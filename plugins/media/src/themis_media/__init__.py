"""Images, sound and files of messages: what a path or a URL gives, known by its content. Nothing is sent."""

from themis_media.media import Media, MediaChanged

__all__ = ["Media", "MediaChanged"]
