"""Where the heavy work of a run is done: in its own process, or on a Ray cluster, with the same results."""

import os
from typing import Literal

import dagster as dg
from pydantic import Field

from storage.errors import InputError

VARIABLE = "REC_COMPUTE"


class Compute(dg.ConfigurableResource):
    """Where pictures are fetched, encoders run and users are ranked."""

    engine: Literal["local", "ray"] = Field(default="local", description="The run's own process, or Ray.")
    address: str = Field(
        default="",
        description="HOST:PORT of a Ray cluster of which this machine is a node, or auto; if empty, one is started on "
        "this machine for every asset.",
    )
    encoders: int | None = Field(
        default=None,
        ge=1,
        description="Encoders at a time; by default as many as the cluster has GPUs, or processors, for.",
    )
    gpus_per_encoder: float = Field(
        default=1.0,
        gt=0,
        description="GPUs of an encoder where the cluster has any; a fraction lets several share one.",
    )
    cpus_per_encoder: int = Field(default=1, ge=1, description="Processors, and threads, of an encoder without a GPU.")
    workers: int | None = Field(
        default=None,
        ge=1,
        description="Processes that fetch or decode pictures, or rank users; one a processor by default.",
    )

    @classmethod
    def from_environment(cls) -> "Compute":
        """`REC_COMPUTE`: local, ray, or ray:ADDRESS.

        Raises:
            InputError: it is none of these.
        """
        given = os.environ.get(VARIABLE) or "local"
        engine, _, address = given.partition(":")
        if given == "local":
            return cls()
        if engine == "ray" and not address.startswith("//"):
            return cls(engine="ray", address=address)
        raise InputError(
            f"{VARIABLE} is {given!r}, and takes local, ray, or ray:HOST:PORT of a cluster that this machine is in"
        )

    @property
    def on_ray(self) -> bool:
        return self.engine == "ray"
