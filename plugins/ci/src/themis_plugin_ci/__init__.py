"""Results for continuous integration: JUnit, Markdown for pull requests, GitHub annotations."""
