"""Work shared by several processes."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


@contextmanager
def dask_client(scheduler: str) -> Iterator[Any]:
    """A client of a Dask scheduler; its workers must see the same files and import the same code.

    Args:
        scheduler: its address, like tcp://host:8786.

    Raises:
        ValueError: if Dask is not installed.
        OSError: if nothing answers at the address.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ValueError("a scheduler needs Dask: pip install '.[dask]'") from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise OSError(f"no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`") from None
    with client:
        yield client


def in_folder(folder: Path, call: Callable[..., Result], *job: Any) -> Result:
    """Calls `call(*job)` where paths are relative to a folder; for workers that were started in another one."""
    if Path.cwd() != folder:
        os.chdir(folder)
    return call(*job)


def in_parallel(
    call: Callable[..., Result], jobs: Sequence[tuple], workers: int | None = None, scheduler: str = ""
) -> Iterator[Future[Result]]:
    """Calls `call(*job)` for each of the jobs in several processes; yields each call's future when it is done.

    The processes end with this one: where an error or Ctrl-C ends the loop, jobs that wait are dropped and those that
    run are finished; where this process is killed, they exit at once.

    Args:
        call: a function of a module, so that other processes find it.
        jobs: the arguments of each call.
        workers: processes; None for one a core.
        scheduler: address of a Dask scheduler whose workers take the place of this machine's.

    Raises:
        ValueError, OSError: as `dask_client`.
    """
    if scheduler:
        with dask_client(scheduler) as client:
            from distributed import as_completed as completed_by_dask

            yield from completed_by_dask([client.submit(in_folder, Path.cwd(), call, *job, pure=False) for job in jobs])
        return
    processes = min(workers or os.cpu_count() or 1, len(jobs) or 1)
    # Spawned, not forked: the caller may hold threads (TensorFlow, a progress bar) that do not survive a fork.
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_exit_with_parent) as pool:
        # A terminal sends Ctrl-C to every process; what is held back here is held back in the processes for good.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = [pool.submit(call, *job) for job in jobs]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        try:
            yield from as_completed(futures)
        finally:
            pool.shutdown(cancel_futures=True)


def _exit_with_parent() -> None:
    """Makes a worker exit when the process that started it is gone; it would wait for its next job for ever."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
