"""The embedded GitOps engine: an IaC repository in, running processes and routes out."""

from pipegraft.usecases.engine.loop import Engine, EngineOptions
from pipegraft.usecases.engine.start import EngineSetup, run_engine

__all__ = ["Engine", "EngineOptions", "EngineSetup", "run_engine"]
