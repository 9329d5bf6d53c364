"""Work shared by several processes, of this machine or of a Dask cluster."""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import joblib

Result = TypeVar("Result")
KILLED = "a worker was killed (is there enough memory?); the same command goes on from here"


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


def results(
    call: Callable[..., Result], jobs: Sequence[tuple], processes: int = -1, scheduler: str = ""
) -> Generator[Result, None, None]:
    """Calls `call(*job)` for each of the jobs, in this process or in several; yields what each returns when it is done.

    For calls that may be killed at any moment: joblib does it at an error or Ctrl-C.

    Args:
        call: a function of a module, so that other processes find it.
        jobs: the arguments of each call.
        processes: as joblib counts: -1 is one a core, 1 is this process alone.
        scheduler: address of a Dask scheduler whose workers take the place of this machine's.

    Raises:
        ValueError: if Dask is not installed.
        OSError: if nothing answers at the address, or a worker was killed.
    """
    if scheduler:  # not by joblib, which waits for ever for what a worker did that was killed
        yield from (future.result() for future in in_parallel(call, jobs, scheduler=scheduler))
        return
    delayed = joblib.delayed(_in_folder)
    calls = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")(
        delayed(Path.cwd(), os.getpid(), call, *job) for job in jobs
    )
    # If the caller stops early, now: later, when they are collected as garbage, they would end the workers of others.
    with closing(calls):
        try:
            yield from calls
        except BrokenProcessPool:
            raise OSError(KILLED) from None


def in_parallel(
    call: Callable[..., Result], jobs: Sequence[tuple], workers: int | None = None, scheduler: str = ""
) -> Iterator[Future[Result]]:
    """Calls `call(*job)` for each of the jobs in other processes; yields each call's future when it is done.

    For calls that write: where an error or Ctrl-C ends the loop, jobs that wait are dropped and those that run are
    finished, which joblib (see `results`) would kill. Where this process is killed, the others exit at once.

    Args:
        call: a function of a module, so that other processes find it.
        jobs: the arguments of each call.
        workers: processes; None for one a core.
        scheduler: address of a Dask scheduler whose workers take the place of this machine's.

    Raises:
        ValueError: if Dask is not installed.
        OSError: if nothing answers at the address, or a worker was killed.
    """
    with ExitStack() as stack:
        if scheduler:
            client = stack.enter_context(dask_client(scheduler))
            import distributed

            completed: Callable[[list], Iterable[Future[Result]]] = distributed.as_completed
            futures = [client.submit(_in_folder, Path.cwd(), 0, call, *job, pure=False) for job in jobs]
        else:
            completed = as_completed
            processes = min(workers or os.cpu_count() or 1, len(jobs) or 1)
            # Spawned, not forked: the caller may hold threads (TensorFlow, a progress bar) that do not survive a fork.
            pool = ProcessPoolExecutor(processes, get_context("spawn"), _exit_with, (os.getpid(),))
            stack.callback(pool.shutdown, cancel_futures=True)
            # A terminal sends Ctrl-C to every process; what is held back here is held back in the processes for good.
            held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                futures = [pool.submit(call, *job) for job in jobs]
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, held)
        for future in completed(futures):
            if _was_killed(future.exception()):
                raise OSError(KILLED)
            yield future


def _was_killed(error: BaseException | None) -> bool:
    """Whether an error is that of a worker that is gone: by its name for Dask, which need not be installed."""
    return isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"


def _in_folder(folder: Path, parent: int, call: Callable[..., Result], *job: Any) -> Result:
    """Calls where paths are relative to a folder: a worker may have been started in another one."""
    if os.getppid() == parent:
        _exit_with(parent)
    if Path.cwd() != folder:
        os.chdir(folder)
    return call(*job)


@functools.cache
def _exit_with(parent: int) -> None:
    """Makes a worker exit when the process that started it is gone; it would go on, and wait for its next job."""
    threading.Thread(target=_wait_for, args=(parent,), daemon=True).start()


def _wait_for(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)
