"""An engine for Anthropic's Messages."""
