"""Django's cache, sessions and locks of redis-py, and pottery's containers and Redlock."""

import os
import threading
from urllib.parse import quote

import redis
from django.conf import settings

PORT = os.environ["KVDB_PORT"]
PASSWORD = os.environ.get("KVDB_PASSWORD", "")
URL = f"redis://{':' + quote(PASSWORD) + '@' if PASSWORD else ''}127.0.0.1:{PORT}/8"
CACHE = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URL, "KEY_PREFIX": "site"}
settings.configure(CACHES={"default": CACHE}, SESSION_ENGINE="django.contrib.sessions.backends.cache", SECRET_KEY="s")

import django  # noqa: E402

django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402
from pottery import NextID, RedisCounter, RedisDeque, RedisDict, RedisList, RedisSet, Redlock  # noqa: E402
from pottery import HyperLogLog  # noqa: E402


def caching():
    assert cache.get("nothing", "default") == "default"
    cache.set("user", {"id": 1, "tags": ["a", "b"]}, timeout=60)
    assert cache.get("user") == {"id": 1, "tags": ["a", "b"]}
    assert cache.add("user", 1) is False and cache.add("new", 1) is True
    assert cache.incr("new", 5) == 6 and cache.decr("new") == 5
    cache.set_many({f"k{i}": i for i in range(50)}, timeout=30)
    assert cache.get_many([f"k{i}" for i in range(50)]) == {f"k{i}": i for i in range(50)}
    assert cache.touch("user", 100) and cache.has_key("user")
    cache.delete_many(["k1", "k2"])
    assert cache.get("k1") is None and cache.get("k3") == 3
    assert cache.get_or_set("computed", lambda: 42) == 42
    cache.set("v", 1, version=2)
    assert cache.get("v") is None and cache.incr_version("v", version=2) == 3 and cache.get("v", version=3) == 1
    cache.set("gone", 1, timeout=0)
    assert cache.get("gone") is None
    cache.clear()
    assert cache.get("user") is None


def sessions():
    session = SessionStore()
    session["name"] = "somebody"
    session.create()
    assert SessionStore(session.session_key)["name"] == "somebody"
    session.cycle_key()
    session.flush()
    assert session.is_empty()


def locks(store):
    """The lock of redis-py, which lives in scripts: one holder at a time, and nobody else's lock is released."""
    counter = {"held": 0, "most": 0, "done": 0}

    def work():
        for _ in range(10):
            with store.lock("the-lock", timeout=10, sleep=0.001):
                counter["held"] += 1
                counter["most"] = max(counter["most"], counter["held"])
                counter["done"] += 1
                counter["held"] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter == {"held": 0, "most": 1, "done": 80}
    lock = store.lock("owned", timeout=1)
    assert lock.acquire() and lock.owned() and lock.extend(5) and not store.lock("owned").acquire(blocking=False)
    store.delete("owned")
    try:
        lock.release()
        raise AssertionError("a lock that was taken away was released")
    except redis.exceptions.LockNotOwnedError:
        pass


def containers(store):
    redlock = Redlock(key="printer", masters={store}, auto_release_time=2)
    assert redlock.acquire() and redlock.locked() > 0
    assert not Redlock(key="printer", masters={store}, auto_release_time=2).acquire(blocking=False)
    redlock.extend()
    redlock.release()
    assert redlock.locked() == 0
    ids = NextID(key="ids", masters={store})
    assert [next(ids) for _ in range(3)] == [1, 2, 3]
    table = RedisDict({"a": 1, "b": [2]}, redis=store, key="table")
    table["c"] = {"d": None}
    assert dict(table) == {"a": 1, "b": [2], "c": {"d": None}} and table.pop("a") == 1 and "a" not in table
    members = RedisSet({1, 2, 3}, redis=store, key="members")
    members.update({3, 4}, {5})
    members.discard(2)
    assert members == {1, 3, 4, 5} and 1 in members and members.issuperset({4, 5})
    elements = RedisList([1, 2, 3], redis=store, key="elements")
    elements.insert(1, 9)
    elements[0] = 7
    del elements[2]
    assert list(elements) == [7, 9, 3] and elements[::-1] == [3, 9, 7]
    ends = RedisDeque([1, 2, 3], maxlen=3, redis=store, key="ends")
    ends.append(4)
    ends.rotate(1)
    assert list(ends) == [4, 2, 3]
    counts = RedisCounter("abracadabra", redis=store, key="counts")
    assert counts["a"] == 5 and counts.most_common(1) == [("a", 5)]
    sketch = HyperLogLog({str(i) for i in range(1000)}, redis=store, key="sketch")
    assert abs(len(sketch) - 1000) < 50


if __name__ == "__main__":
    caching()
    sessions()
    store = redis.Redis.from_url(URL)
    locks(store)
    containers(store)
