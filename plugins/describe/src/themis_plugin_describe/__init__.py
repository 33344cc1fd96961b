"""Commands that say what specs can name: the installed plugins, and the JSON Schema of spec files."""
