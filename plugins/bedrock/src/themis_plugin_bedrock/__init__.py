"""An engine for models of Amazon Bedrock."""
