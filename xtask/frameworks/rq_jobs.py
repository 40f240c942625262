"""RQ: queues, results, failures and retries, dependent and scheduled jobs."""

import os
import time
from datetime import timedelta

import redis
from rq import Queue, Retry, SimpleWorker
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry

STORE = redis.Redis(port=int(os.environ["KVDB_PORT"]), password=os.environ.get("KVDB_PASSWORD") or None, db=7)


def add(a, b):
    return a + b


def fail():
    raise ValueError("on purpose")


def fail_once():
    if STORE.incr("attempts") == 1:
        raise ValueError("the first time")
    return "then not"


def work(*queues, scheduler=False):
    SimpleWorker(list(queues), connection=STORE).work(burst=True, with_scheduler=scheduler)


def scenario():
    high, low = Queue("high", connection=STORE), Queue("low", connection=STORE)
    slow = low.enqueue(add, 1, 2)
    quick = high.enqueue(add, 3, 4, result_ttl=500)
    assert len(high) == 1 and low.job_ids == [slow.id]
    after = low.enqueue(add, 10, 20, depends_on=quick)
    assert after.get_status() == JobStatus.DEFERRED
    bad = low.enqueue(fail)
    again = low.enqueue(fail_once, retry=Retry(max=2))
    work(high, low)
    assert quick.return_value(refresh=True) == 7 and slow.return_value(refresh=True) == 3
    assert after.return_value(refresh=True) == 30
    assert again.return_value(refresh=True) == "then not"
    assert bad.get_status() == JobStatus.FAILED and "on purpose" in bad.latest_result().exc_string
    assert bad.id in FailedJobRegistry(queue=low) and quick.id in FinishedJobRegistry(queue=high)
    quick.refresh()
    assert quick.ended_at >= quick.started_at
    assert 0 < STORE.ttl(quick.key) <= 500

    later = high.enqueue_in(timedelta(hours=1), add, 1, 1)
    assert later.id in ScheduledJobRegistry(queue=high)
    later.cancel()
    assert later.id not in ScheduledJobRegistry(queue=high)

    many = high.enqueue_many([Queue.prepare_data(add, (i, i)) for i in range(100)])
    work(high)
    assert [job.return_value(refresh=True) for job in many] == [2 * i for i in range(100)]
    assert len(Job.fetch_many([job.id for job in many], connection=STORE)) == 100
    bad.delete()
    assert not STORE.exists(bad.key) and high.is_empty()


if __name__ == "__main__":
    # The jobs must bear the names under which a worker finds them.
    from rq_jobs import scenario as run

    started = time.monotonic()
    run()
    assert time.monotonic() - started < 60
