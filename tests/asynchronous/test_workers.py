"""The threads in which awaited calls are made."""

import threading
import time

from datastore.asynchronous.workers import Workers


def test_stopping_waits_for_a_thread_that_is_just_being_started():
    workers = Workers(1)
    begun, ended = threading.Event(), threading.Event()

    def work():
        begun.set()
        time.sleep(0.05)
        ended.set()

    thread = threading.Thread(target=work)
    workers._threads.append(thread)
    starter = threading.Thread(target=lambda: (time.sleep(0.05), thread.start()))
    starter.start()
    workers.stop()
    assert begun.is_set()
    assert ended.is_set()
    starter.join()


def test_stopping_does_not_wait_for_a_thread_that_could_not_be_started():
    workers = Workers(1)
    thread = threading.Thread(target=lambda: None)
    workers._threads.append(thread)
    starter = threading.Thread(target=lambda: (time.sleep(0.05), workers._threads.remove(thread)))
    starter.start()
    workers.stop()
    starter.join()
    assert thread.ident is None
