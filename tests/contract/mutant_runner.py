"""Walks over the ledger with each of the mutants, in a process of its own, and prints what became of them as JSON.

The processes are forks of one that has imported everything; in a fork, the functions of one module get the mutant's
code, wherever they are imported. After the mutants come the right rules.

    mutant_runner.py WORLDS: how many to walk through with each, until what the rules do is wrong.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ledger_walk import seeded
from mutants import MUTANTS, Mutant

STEPS = 200


def mutate(mutant: Mutant) -> list[str]:
    """Put a mutant's code in place of the rules'; return the names of the functions that are others now."""
    module = importlib.import_module(f"fl_chaincode.{mutant.file}")
    path = str(module.__file__)
    text = Path(path).read_text()
    assert text.count(mutant.right) == 1, "the rules have changed, and so must the mutant"
    wrong = ModuleType(module.__name__)
    exec(compile(text.replace(mutant.right, mutant.wrong), path, "exec"), wrong.__dict__)
    replaced, changed = dict(functions(module, path)), []
    for name, function in functions(wrong, path):
        if plain(replaced[name].__code__) != plain(function.__code__):
            changed.append(name)
        replaced[name].__code__ = function.__code__
    return changed


def plain(code: CodeType) -> tuple[Any, ...]:
    """What a function does, without the lines where it stands."""
    constants = [plain(one) if isinstance(one, CodeType) else one for one in code.co_consts]
    return code.co_code, constants, code.co_names


def functions(module: ModuleType, path: str) -> Iterator[tuple[str, FunctionType]]:
    """Yield the functions of a module and of its classes that stand in its file."""
    inside = [vars(one) for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    for names in (vars(module), *inside):
        for value in names.values():
            found = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if isinstance(found, FunctionType) and found.__code__.co_filename == path:
                yield found.__qualname__, found


def walk(task: tuple[Mutant | None, int]) -> dict[str, Any]:
    """Walk over one mutant's ledger, or the right one; tell how it was found out, and after how many worlds."""
    mutant, worlds = task
    changed = mutate(mutant) if mutant is not None else []
    begun, found, seed = time.monotonic(), None, 0
    while found is None and seed < worlds:
        try:
            seeded(seed, STEPS)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"[:200]
        seed += 1
    seconds = round(time.monotonic() - begun, 2)
    what = mutant and mutant.what
    return {"what": what, "changed": changed, "found": found, "worlds": seed, "seconds": seconds}


if __name__ == "__main__":
    tasks = [(mutant, int(sys.argv[1])) for mutant in (*MUTANTS, None)]
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        print(json.dumps(pool.map(walk, tasks, chunksize=1)))
