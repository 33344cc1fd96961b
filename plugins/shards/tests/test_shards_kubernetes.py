"""Indexed Jobs: checked by the schemas of Kubernetes, and run as a cluster runs them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from stand_ins import Cluster, StandIn, expanded, write_spec

from themis_core import SpecError
from themis_plugin_shards.kubernetes import _unexpanded
from themis_plugin_shards.options import secret_of
from themis_plugin_shards.planned import label_of
from themis_plugin_shards.quoted_yaml import as_yaml

Shards = Callable[..., Result]
VERSIONS = ["1.29", "1.31", "1.33", kubernetes_validate.latest_version()]
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
POSTGRES = "postgresql://me@db.example/themis"


def made(shards: Shards, spec: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """The documents for a store on a volume, which jobs can reach."""
    volume = ("--claim", "data:/data", "--set", "project.storage.root_dir=/data/store")
    done = shards("kubernetes", spec, "-n", 3, "--image", "here/themis:1", *volume, *arguments)
    assert done.exit_code == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = documents[-1]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_each_index_runs_its_shard_on_the_files_of_the_config_map(
    shards: Shards, spec: Path, stand_in: StandIn, tmp_path: Path
) -> None:
    mounted = tmp_path / "it's $(HOME) $$ größe"
    strange = 'project.project_name=$(JOB_COMPLETION_INDEX) $$ it\'s "x"\nyes'
    documents = made(
        shards,
        spec,
        "--set",
        strange,
        "--themis",
        stand_in.command,
        "--folder",
        mounted,
        "--file",
        spec.parent / "data/answers.jsonl",
    )
    cluster = Cluster(documents, stand_in.environment)
    assert cluster.run() == "Complete"
    for shard in ("1/3", "3/3"):
        (call,) = stand_in.calls(shard)
        at = ["--set", "project.storage.root_dir=/data/store", "--set", strange]
        assert call == {"argv": ["run", f"{mounted}/spec.yaml", *at, "--shard", shard], "cwd": str(mounted)}
    assert (mounted / "spec.yaml").read_bytes() == spec.read_bytes()
    assert (mounted / "data" / "answers.jsonl").read_bytes() == (spec.parent / "data" / "answers.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("ends", "status", "tries", "failed"),
    [
        pytest.param({}, "Complete", [1, 1, 1], [], id="all well"),
        pytest.param({"2/3": [4, 0]}, "Complete", [1, 2, 1], [], id="the store was away"),
        pytest.param({"2/3": ["kill", "kill", 0]}, "Complete", [1, 3, 1], [], id="killed"),
        pytest.param({"2/3": ["kill"]}, "Failed", [1, 4, 1], [1], id="killed each time"),
        pytest.param({"2/3": [5]}, "Failed", [1, 1, 1], [1], id="trials failed"),
        pytest.param({"3/3": [1]}, "Failed", [1, 1, 1], [2], id="a threshold is missed"),
        pytest.param({"1/3": [6], "2/3": [6]}, "Failed", [1, 1, 1], [0, 1], id="no money is left"),
        pytest.param({"1/3": [2]}, "Failed", [1, 0, 0], [0], id="the spec is wrong there"),
        pytest.param({"2/3": [3]}, "Failed", [1, 1, 0], [1], id="a plugin is broken there"),
    ],
)
def test_what_a_shard_ends_with_decides_about_it_and_about_the_others(
    shards: Shards,
    plain_spec: Path,
    stand_in: StandIn,
    tmp_path: Path,
    ends: dict[str, list[int | str]],
    status: str,
    tries: list[int],
    failed: list[int],
) -> None:
    stand_in.ends(ends)
    cluster = Cluster(
        made(shards, plain_spec, "--themis", stand_in.command, "--folder", tmp_path / "in", "--retries", "3"),
        stand_in.environment,
    )
    assert (cluster.run(), [cluster.tries[index] for index in range(3)], cluster.failed) == (status, tries, failed)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_manifest_is_what_the_schemas_of_kubernetes_say(shards: Shards, plain_spec: Path, version: str) -> None:
    (plain_spec.parent / "weights.bin").write_bytes(b"\xff\x00")
    everything = (
        *(
            "--name",
            "night",
            "--namespace",
            "evals",
            "--parallelism",
            "2",
            "--time",
            "12h",
            "--cpus",
            "500m",
            "--mem",
            "8Gi",
        ),
        *("--gpus", "2", "--env-from", "keys", "--secret", "A=b/c", "--secret", "D=e", "--env", "HOME=/tmp"),
        *("--service-account", "runner", "--pull-secret", "registry", "--node-selector", "kind=gpu"),
        *("--file", plain_spec.parent / "weights.bin"),
    )
    for documents in (made(shards, plain_spec), made(shards, plain_spec, *everything)):
        assert [each["kind"] for each in documents] == ["ConfigMap", "Job"]
        for each in documents:
            kubernetes_validate.validate(each, version, strict=True)


def test_the_schemas_would_find_a_mistake(shards: Shards, plain_spec: Path) -> None:
    _, job = made(shards, plain_spec)
    job["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"] = ["2"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


def test_the_job_asks_for_what_the_options_say(shards: Shards, plain_spec: Path) -> None:
    options = ("--name", "night", "--namespace", "evals", "--parallelism", "2", "--time", "12h", "--retries", "5")
    resources = ("--cpus", "2", "--mem", "8Gi", "--gpus", "1", "--gpu-resource", "amd.com/gpu")
    files, job = made(shards, plain_spec, *options, *resources, "--env", "A=$(B)", "--secret", "C=d", "--env-from", "e")
    for each in (files, job):
        assert (each["metadata"]["name"], each["metadata"]["namespace"]) == ("night", "evals")
    named = ("completionMode", "completions", "parallelism", "backoffLimitPerIndex", "activeDeadlineSeconds")
    assert [job["spec"][name] for name in named] == ["Indexed", 3, 2, 5, 43_200]
    box = container([job])
    assert box["resources"] == {
        "requests": {"cpu": "2", "memory": "8Gi"},
        "limits": {"memory": "8Gi", "amd.com/gpu": "1"},
    }
    assert box["env"] == [
        {"name": "A", "value": "$$(B)"},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "d", "key": "C"}}},
    ]
    assert box["envFrom"] == [{"secretRef": {"name": "e"}}]
    pod = job["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)


def test_a_store_in_the_pod_itself_is_refused_and_one_on_a_volume_is_a_warning(
    shards: Shards, plain_spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = shards("kubernetes", plain_spec, "-n", 3, "--image", "i")
    assert (lost.exit_code, lost.stdout) == (2, "")
    assert "storage.root_dir: the store is a file in /themis/.themis, which processes of one machine" in lost.stderr
    assert "a pod's own files are gone with it" in lost.stderr
    monkeypatch.setenv("THEMIS_POSTGRES_URL", POSTGRES)
    plain_spec.write_text(plain_spec.read_text().replace("{backend: sqlite, root_dir: .themis}", "{backend: postgres}"))
    texts = shards("kubernetes", plain_spec, "-n", 3, "--image", "i")
    assert "storage.blobs: texts longer than 65,536 bytes are files in /themis/.themis/blobs" in texts.stderr
    kept = ("--claim", "data:/data", "--set", "project.storage.blobs=/data/blobs")
    told = shards("kubernetes", plain_spec, "-n", 3, "--image", "i", *kept)
    assert told.exit_code == 0
    assert "warning: storage.blobs: texts longer than 65,536 bytes are files in /data/blobs" in told.stderr
    assert "warning: nothing sets THEMIS_POSTGRES_URL, which the spec names: say --secret or --env-from" in told.stderr
    of_all = shards("kubernetes", plain_spec, "-n", 3, "--image", "i", *kept, "--env-from", "keys")
    assert "\nthe Secret keys has to have THEMIS_POSTGRES_URL\n" in of_all.stderr
    assert "db.example" not in told.stdout + told.stderr
    monkeypatch.setenv("THEMIS_POSTGRES_URL", "postgresql://me@localhost/themis")
    secret = ("--secret", "THEMIS_POSTGRES_URL=db/url")
    here = shards("kubernetes", plain_spec, "-n", 3, "--image", "i", *kept, *secret)
    assert "warning: storage.url_env: the database's host is localhost, which on another machine" in here.stderr
    assert "nothing sets" not in here.stderr


def test_files_that_the_spec_names_go_with_it_and_what_they_import(shards: Shards, tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "specs")
    (tmp_path / "specs" / "mine.py").write_text("import beside\nTHEMIS_CONTRACT_VERSION = 1\n")
    (tmp_path / "specs" / "beside.py").write_text("")
    (tmp_path / "shared.jsonl").write_text('{"id": "1", "gold": "1", "answer": "1"}\n')
    text = spec.read_text().replace("data/answers.jsonl", "../shared.jsonl")
    spec.write_text(text.replace("project:\n", "project:\n  plugins: {mine: mine.py}\n"))
    files, job = made(shards, spec)
    paths = {item["path"]: item["key"] for item in job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["items"]}
    assert set(paths) == {"specs/spec.yaml", "specs/mine.py", "specs/beside.py", "shared.jsonl"}
    assert files["data"][paths["shared.jsonl"]] == '{"id": "1", "gold": "1", "answer": "1"}\n'
    assert container([job])["args"][3] == "/themis/specs/spec.yaml"
    assert container([job])["workingDir"] == "/themis/specs"


@pytest.mark.parametrize(
    "key", ["{'token': 'sk-0123456789abcdefghij'}", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"]
)
def test_a_file_that_holds_a_key_is_not_written_into_the_manifest(shards: Shards, plain_spec: Path, key: str) -> None:
    (plain_spec.parent / "account.txt").write_text(key)
    volume = ("--claim", "data:/data", "--set", "project.storage.root_dir=/data/store")
    where = ("--file", plain_spec.parent / "account.txt")
    done = shards("kubernetes", plain_spec, "-n", 3, "--image", "i", *volume, *where)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "account.txt holds a key, or what looks like one" in done.stderr
    assert "sk-0123456789abcdefghij" not in done.stderr


def test_a_store_with_its_texts_in_the_database_needs_no_volume(
    shards: Shards, plain_spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEMIS_POSTGRES_URL", POSTGRES)
    storage = "{backend: postgres, blobs: database}"
    plain_spec.write_text(plain_spec.read_text().replace("{backend: sqlite, root_dir: .themis}", storage))
    done = shards("kubernetes", plain_spec, "-n", 3, "--image", "i", "--secret", "THEMIS_POSTGRES_URL=database/url")
    assert done.exit_code == 0, done.stderr
    assert "warning" not in done.stderr
    assert "db.example" not in done.stdout + done.stderr


def test_what_no_config_map_holds_is_refused_with_what_to_do(shards: Shards, plain_spec: Path) -> None:
    with (plain_spec.parent / "data" / "answers.jsonl").open("a") as file:
        file.write("\n" * 1_000_000)
    volume = ("--claim", "data:/data", "--set", "project.storage.root_dir=/data/store")
    done = shards("kubernetes", plain_spec, "-n", 3, "--image", "i", *volume)
    assert done.exit_code == 2
    assert "data/answers.jsonl alone 1,00" in done.stderr
    assert "put them into the image or on a volume (--claim), and say where the spec is there (--at)" in done.stderr
    (job,) = made(shards, plain_spec, "--at", "/data/my spec.yaml")
    assert (container([job])["args"][3], container([job])["workingDir"]) == ("/data/my spec.yaml", "/data")
    assert [each["name"] for each in job["spec"]["template"]["spec"]["volumes"]] == ["claim-1"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--env", "THEMIS_KEY=sk-0123456789abcdefghij"], "--env THEMIS_KEY=… would write a secret into the manifest"),
        (["--env", "DB=postgresql://me:hunter2@db/x"], "--env DB=… would write a secret into the manifest"),
        (["--env", "A"], "--env 'A': write NAME=VALUE"),
        (["--env", "A B=c"], "'A B' can't be the name of an environment variable"),
        (["--secret", "KEY=sk-0123456789abcdefghij"], "--secret KEY=… is to name a Secret of the cluster"),
        (["--claim", "data"], "--claim 'data': write NAME:VALUE"),
        (["--claim", "data:relative"], "the folder's whole path in the pod"),
        (["--name", "Night_Run"], "such as night-run"),
        (["--time", "soon"], "--time 'soon' is no time: write 30m, 12h or 7d"),
        (["--mem", "much"], "'much' is no amount of memory that Kubernetes knows: write 2, 500m, 8Gi"),
        (["--folder", "/"], "write the whole path of a folder in the pod"),
        (["--at", "spec.yaml"], "write the whole path of the spec in the pod"),
        (["--file", "nothing.txt"], "--file 'nothing.txt' is no file"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    shards: Shards, plain_spec: Path, arguments: list[str], told: str
) -> None:
    volume = ("--claim", "data:/data", "--set", "project.storage.root_dir=/data/store")
    done = shards("kubernetes", plain_spec, "-n", 3, "--image", "i", *volume, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert "hunter2" not in done.stderr
    assert "sk-0123456789abcdefghij" not in done.stderr


@given(st.text(), st.integers(20, 63))
def test_any_name_becomes_a_label(name: str, most: int) -> None:
    label = label_of(name, most)
    assert LABEL.fullmatch(label)
    assert len(label) <= most


def test_names_stay_as_they_are_where_they_can_and_are_told_apart_where_they_cannot() -> None:
    assert label_of("gsm8k-5e5a6e1c9f04") == "gsm8k-5e5a6e1c9f04"
    assert label_of("Two Words_1.5") == "two-words-1-5"
    assert len({label_of(name) for name in ("a" * 70, "a" * 71, "größe", "grüße", "日本", "中国", "", "-")}) == 8


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_yaml_gives_back_every_text(text: str) -> None:
    assert yaml.safe_load(as_yaml([{"key": text, "list": [text]}])) == {"key": text, "list": [text]}


@pytest.mark.parametrize(
    "text", ["1e3", "0x1f", "0o7", "y", "No", "ON", "~", "1_000", "12:30:00", "2026-01-01", "=", "*a"]
)
def test_yaml_quotes_what_another_reader_takes_for_something_else(text: str) -> None:
    assert as_yaml([{"key": text}]) == f'---\nkey: "{text}"\n'


@given(st.text(st.sampled_from("$()AB a"), max_size=12))
def test_kubernetes_gives_back_every_argument(text: str) -> None:
    assert expanded(_unexpanded(text), {"A": "!", "B": "!", "": "!"}) == text


def test_a_secret_is_named_by_its_variable_or_by_a_key() -> None:
    assert secret_of("KEY=keys") == ("KEY", ("keys", "KEY"))
    assert secret_of("KEY=keys/openai") == ("KEY", ("keys", "openai"))
    with pytest.raises(SpecError):
        secret_of("KEY=")
