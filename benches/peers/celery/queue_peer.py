"""Celery as a side of the queue bench.

`celery -A queue_peer worker` runs the jobs; `python queue_peer.py JOBS
CONCURRENCY` adds them, waits until the broker holds none any more, and prints
one line of JSON. BROKER names the Redis of both.
"""

import json
import os
import sys
import threading
import time

from celery import Celery

BROKER = os.environ["BROKER"]

app = Celery("bench", broker=BROKER)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    # 64 jobs at the worker at a time with two processes, as the others have.
    worker_prefetch_multiplier=32,
    broker_pool_limit=64,
    broker_connection_retry_on_startup=True,
)


@app.task(name="preview")
def preview(project, ref, platform):
    """Does nothing: the bench is about the queue."""


def produce(jobs, concurrency):
    """Adds `jobs` jobs, one a call, by `concurrency` threads."""

    def producer(count):
        for _ in range(count):
            preview.delay(project=7, ref="main", platform="ios")

    counts = [jobs // concurrency + (i < jobs % concurrency) for i in range(concurrency)]
    threads = [threading.Thread(target=producer, args=(count,)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def drained(redis):
    """Whether no job waits and none is unacknowledged."""
    return redis.llen("celery") == 0 and redis.hlen("unacked") == 0


def main():
    jobs, concurrency = int(sys.argv[1]), int(sys.argv[2])
    began = time.time() * 1000
    produce(jobs, concurrency)
    with app.connection_for_read() as connection:
        redis = connection.default_channel.client
        while not drained(redis):
            time.sleep(0.01)
    print(json.dumps({"began": began, "ended": time.time() * 1000}))


if __name__ == "__main__":
    main()
