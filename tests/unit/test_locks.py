"""Locks that were held by a thread when its process was forked: in the child nobody would ever let go of them."""

import os
import threading
import warnings

import pytest

from tiffin.locks import new_lock, new_reentrant_lock


@pytest.mark.parametrize("make", [new_lock, new_reentrant_lock])
def test_a_lock_that_another_thread_holds_is_open_in_a_forked_child_and_stays_held_here(make):
    lock, held, done = make(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if lock.acquire(timeout=5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not lock.acquire(blocking=False)
    done.set()
    holder.join()
