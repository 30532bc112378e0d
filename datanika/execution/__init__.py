"""The data plane: the worker, the processes of a run, the engine sandbox."""
