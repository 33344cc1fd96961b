"""For authors of plugins and for Themis's own tests: compliance suites, fakes, a scripted model server.

Nothing of it is imported by the other rooms. Import the module that is needed, such as `themis_core.testing.engine`.
"""
