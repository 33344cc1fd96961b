"""A dataset loader for the Hugging Face Hub."""
