"""Celery with its Redis broker and result backend: priorities, an ETA, retries, chords, groups and chains, a broadcast."""

import os
import subprocess
import sys
import time

from celery import Celery, chain, chord, group
from kombu import Queue

PASSWORD = os.environ.get("KVDB_PASSWORD", "").replace(" ", "%20")
URL = f"redis://{':' + PASSWORD + '@' if PASSWORD else ''}127.0.0.1:{os.environ['KVDB_PORT']}"

app = Celery("celery_app", broker=f"{URL}/5", backend=f"{URL}/6")
app.conf.update(
    task_default_queue="work",
    task_queues=[Queue("work")],
    broker_transport_options={"priority_steps": [0, 3, 6, 9], "queue_order_strategy": "priority"},
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    result_expires=600,
    broker_connection_retry_on_startup=True,
)


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def order(name):
    app.backend.client.rpush("order", name)


@app.task(bind=True, max_retries=3)
def fails_twice(self):
    if app.backend.client.incr("tries") < 3:
        raise self.retry(countdown=0)
    return "in the end"


def worker():
    command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--pool", "solo", "--loglevel", "warning"]
    here = os.path.dirname(os.path.abspath(__file__))
    return subprocess.Popen([*command, "-n", f"w{time.monotonic_ns()}@here"], cwd=here)


def wait_for(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.02)


def scenario():
    store = app.backend.client
    # The most urgent first: what is queued before a worker is there shows the order.
    for priority, name in [(9, "last"), (6, "third"), (0, "first"), (3, "second")]:
        order.apply_async((name,), priority=priority)
    assert app.connection().channel()._size("work") == 4
    workers = [worker()]
    try:
        wait_for("the work", lambda: store.llen("order") == 4)
        assert store.lrange("order", 0, -1) == [b"first", b"second", b"third", b"last"]

        assert add.delay(2, 3).get(timeout=30) == 5
        assert fails_twice.delay().get(timeout=30) == "in the end"
        assert group(add.s(i, i) for i in range(20))().get(timeout=30) == [2 * i for i in range(20)]
        assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=30) == 10
        assert chord((add.s(i, i) for i in range(10)), total.s())().get(timeout=30) == 90

        asked = time.time()
        assert add.apply_async((1, 1), countdown=1.5).get(timeout=30) == 2
        assert time.time() - asked >= 1.5

        workers.append(worker())
        wait_for("a second worker", lambda: len(app.control.ping(timeout=0.5)) == 2)
        # Remote control is a broadcast: to every worker, and an answer from each.
        assert len(app.control.inspect(timeout=2).registered()) == 2
        assert app.control.add_consumer("extra", reply=True) and len(app.control.inspect(timeout=2).active_queues()) == 2
        assert add.apply_async((20, 22), queue="extra").get(timeout=30) == 42
        assert store.llen("work") == 0
    finally:
        for each in workers:
            each.terminate()
        for each in workers:
            each.wait(timeout=30)


if __name__ == "__main__":
    # The tasks must bear the names under which the worker knows them.
    from celery_app import scenario as run

    run()
