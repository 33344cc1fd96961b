"""A plugin of somebody who knows only the public API."""
