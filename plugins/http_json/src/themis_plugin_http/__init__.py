"""An engine for any service that speaks JSON over HTTP."""
