"""Any program as an engine: it reads lines of JSON and writes lines of JSON."""
