"""An engine that answers with recorded outputs."""
