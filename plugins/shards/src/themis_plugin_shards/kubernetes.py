"""A Kubernetes Indexed Job: one manifest, of which each index is one shard.

`podFailurePolicy` and `backoffLimitPerIndex` need Kubernetes 1.29 or later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath
from typing import Any, Final

from themis_core import SpecError
from themis_plugin_shards.carried import Carried
from themis_plugin_shards.ends import OF_ALL, OF_ITSELF
from themis_plugin_shards.planned import LABEL, Shards, label_of

__all__ = ["KubernetesJob", "Mount", "manifest"]

CONTAINER: Final = "themis"
SCRIPT: Final = 'shards="$1"; shift; exec "$@" --shard "$((JOB_COMPLETION_INDEX + 1))/$shards"'
"""Its process becomes Themis, so that the signal that ends a pod reaches it."""
GRACE_S: Final = 60
"""Seconds that a pod which is told to end has to save what has arrived."""


@dataclass(frozen=True)
class Mount:
    """A claim of a persistent volume, and the folder where jobs have it."""

    claim: str
    folder: PurePosixPath


@dataclass(frozen=True)
class KubernetesJob:
    """What the job is to ask of Kubernetes."""

    image: str
    themis: Sequence[str] = ("themis",)
    name: str | None = None
    namespace: str | None = None
    parallelism: int | None = None
    retries: int = 6
    seconds: int | None = None
    cpus: str | None = None
    mem: str | None = None
    gpus: int | None = None
    gpu_resource: str = "nvidia.com/gpu"
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Variable to the name of a Secret and a key in it."""
    env_from: Sequence[str] = ()
    """Secrets whose keys all become variables."""
    mounts: Sequence[Mount] = ()
    service_account: str | None = None
    pull_secret: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)


def manifest(shards: Shards, job: KubernetesJob, files: Carried | PurePosixPath) -> list[dict[str, Any]]:
    """The documents for `kubectl`: the Job, after a ConfigMap with the files if it carries any.

    `files` is that, or the path of the spec in the pod. Raises SpecError.
    """
    name = _name(shards, job)
    about = {"name": name, **({"namespace": job.namespace} if job.namespace else {})}
    labels = {"app.kubernetes.io/name": "themis", "app.kubernetes.io/instance": name}
    documents = [_job(shards, job, files, about, labels)]
    if isinstance(files, Carried):
        texts, binary, _ = files.data()
        held = {key: value for key, value in (("data", texts), ("binaryData", binary)) if value}
        documents.insert(0, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**about, "labels": labels}, **held})
    return documents


def _name(shards: Shards, job: KubernetesJob) -> str:
    most = LABEL - len(f"-{shards.count - 1}")  # the host of an index is called so
    if job.name is not None and label_of(job.name, most) != job.name:
        raise SpecError(
            f"--name {job.name!r} can't be the name of a job: at most {most} lower-case letters, digits and hyphens, "
            f"with none of these at an end, such as {label_of(job.name, most)}"
        )
    return job.name or shards.name


def _job(
    shards: Shards,
    job: KubernetesJob,
    files: Carried | PurePosixPath,
    about: dict[str, str],
    labels: dict[str, str],
) -> dict[str, Any]:
    told = {"themis/run": shards.report.run_id, "themis/trials": str(shards.report.trials)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**about, "labels": labels, "annotations": told},
        "spec": {
            "completionMode": "Indexed",
            "completions": shards.count,
            "parallelism": min(job.parallelism or shards.count, shards.count),
            "backoffLimitPerIndex": job.retries,
            **({"activeDeadlineSeconds": job.seconds} if job.seconds else {}),
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    _on_exit("FailJob", OF_ALL),
                    _on_exit("FailIndex", OF_ITSELF),
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": _pod(shards, job, files, about["name"])},
        },
    }


def _on_exit(action: str, codes: Sequence[int]) -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": list(codes)}}


def _pod(shards: Shards, job: KubernetesJob, files: Carried | PurePosixPath, name: str) -> dict[str, Any]:
    volumes = [
        {"name": f"claim-{number}", "persistentVolumeClaim": {"claimName": each.claim}}
        for number, each in enumerate(job.mounts, 1)
    ]
    mounted: list[dict[str, Any]] = [
        {"name": f"claim-{number}", "mountPath": str(each.folder)} for number, each in enumerate(job.mounts, 1)
    ]
    spec, project = files, None
    if isinstance(files, Carried):
        spec, project = files.spec, files.project
        volumes.insert(0, {"name": "spec", "configMap": {"name": name, "items": files.data()[2]}})
        mounted.insert(0, {"name": "spec", "mountPath": str(files.folder), "readOnly": True})
    assert isinstance(spec, PurePosixPath)
    return {
        "restartPolicy": "Never",  # as podFailurePolicy needs it: a pod that failed is replaced, and its log is kept
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        **({"serviceAccountName": job.service_account} if job.service_account else {}),
        **({"imagePullSecrets": [{"name": job.pull_secret}]} if job.pull_secret else {}),
        **({"nodeSelector": dict(job.node_selector)} if job.node_selector else {}),
        "containers": [_container(shards, job, spec, project, mounted)],
        **({"volumes": volumes} if volumes else {}),
    }


def _container(
    shards: Shards, job: KubernetesJob, spec: PurePosixPath, project: PurePath | None, mounted: list[dict[str, Any]]
) -> dict[str, Any]:
    command = [*job.themis, *shards.arguments(spec, project)]
    plain: list[dict[str, Any]] = [{"name": name, "value": _unexpanded(value)} for name, value in job.env.items()]
    secret = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
        for variable, (name, key) in job.secrets.items()
    ]
    resources = _resources(job)
    return {
        "name": CONTAINER,
        "image": job.image,
        "command": ["/bin/sh", "-c", _unexpanded(SCRIPT), "shard"],
        "args": [str(shards.count), *map(_unexpanded, command)],
        "workingDir": str(spec.parent),
        **({"env": [*plain, *secret]} if plain or secret else {}),
        **({"envFrom": [{"secretRef": {"name": name}} for name in job.env_from]} if job.env_from else {}),
        **({"resources": resources} if resources else {}),
        **({"volumeMounts": mounted} if mounted else {}),
    }


def _unexpanded(text: str) -> str:
    """The text as Kubernetes has to be given it: it takes `$(NAME)` for a variable, and `$$` for one `$`."""
    return re.sub(r"\${2,}|\$(?=\()", lambda match: match[0] * 2, text)


def _resources(job: KubernetesJob) -> dict[str, dict[str, str]]:
    """Cores are asked for and not capped, memory is both, and devices can only be capped."""
    requests = {key: value for key, value in (("cpu", job.cpus), ("memory", job.mem)) if value}
    limits = {"memory": job.mem} if job.mem else {}
    if job.gpus:
        limits[job.gpu_resource] = str(job.gpus)
    for name, value in requests.items():
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?(m|[kKMGTPE]i?)?", value):
            raise SpecError(f"{value!r} is no amount of {name} that Kubernetes knows: write 2, 500m, 8Gi")
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
