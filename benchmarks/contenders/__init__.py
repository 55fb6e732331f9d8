"""Who takes part in ``benchmarks.engine``: one script each, run in an environment and a process of its own.

The folder above is put on the path, so that a script is the module ``contenders.storey`` and ``storey`` is the library.
"""
