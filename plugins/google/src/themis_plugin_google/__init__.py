"""An engine for Gemini."""
