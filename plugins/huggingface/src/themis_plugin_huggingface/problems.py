"""What the library's errors mean for the one who wrote the spec."""

from __future__ import annotations

__all__ = ["explained"]

# Part of the library's message, in lower case: what to do about it. The first that fits wins.
_ADVICE = (
    ("gated", "ask for access on the dataset's page, then put your access token into the variable {token_env}"),
    ("dataset scripts are no longer supported", "this dataset is a program, which Themis does not run"),
    ("trust_remote_code", "this dataset is a program, which Themis does not run"),
    ("bad split", "name one of these in `split`"),
    ("unknown split", "name one of these in `split`"),
    ("builderconfig", "name one of these in `config_name`"),
    ("config name is missing", "name one of these in `config_name`"),
    ("401", "check the access token in the variable {token_env}"),
    ("couldn't reach", "check the network, or unset HF_HUB_OFFLINE; what was downloaded before needs no network"),
    ("offline", "check the network, or unset HF_HUB_OFFLINE; what was downloaded before needs no network"),
    (
        "doesn't exist on the hub",
        "check the name and `revision`; a private dataset needs an access token in the variable {token_env}",
    ),
    ("unable to find", "check the paths in extras.data_files"),
    ("data files found in", "check extras.data_files"),
    ("couldn't find any data file", "check the name and extras.data_files"),
)


def explained(error: BaseException, *, token_env: str) -> str:
    """The library's own words, in one line, and what to do about them.

    The library wraps the error that says most; so the innermost cause speaks.
    """
    while error.__cause__ is not None and type(error).__name__ == "DatasetGenerationError":
        error = error.__cause__
    said = " ".join(str(error).split()) or type(error).__name__
    said = said if len(said) <= 500 else said[:497] + "..."
    low = said.lower()
    advice = next((advice for part, advice in _ADVICE if part in low), None)
    return f"{said.rstrip('.')}: {advice.format(token_env=token_env)}" if advice else f"{type(error).__name__}: {said}"
