"""The embedded GitOps engine: IaC repositories in, running workloads and routes out."""

from pipegraft.engine.usecases.start import EngineSetup, run_engine

__all__ = ["EngineSetup", "run_engine"]
