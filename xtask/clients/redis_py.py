"""redis-py as its users write it: default settings (RESP3, pooled connections), and assertions on every answer."""

import os
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PORT = int(os.environ["KVDB_PORT"])
PASSWORD = os.environ.get("KVDB_PASSWORD") or None
ALL_BYTES = bytes(range(256))


def raises(text, call):
    try:
        call()
    except redis.ResponseError as error:
        assert text in str(error), f"{error} instead of {text}"
    else:
        raise AssertionError(f"no error, but {text} was expected")


def strings(r):
    assert r.set("greeting", "hello") is True
    assert r.get("greeting") == b"hello"
    assert r.get("nothing") is None
    assert r.set("greeting", "x", nx=True) is None
    assert r.set("greeting", "hi", get=True) == b"hello"
    assert r.setnx("once", 1) and not r.setnx("once", 2)
    assert r.append("greeting", " there") == 8 and r.strlen("greeting") == 8
    assert r.getrange("greeting", -5, -1) == b"there"
    assert r.setrange("greeting", 3, "where") == 8 and r.get("greeting") == b"hi where"
    assert r.incr("n") == 1 and r.incrby("n", 41) == 42 and r.decr("n", 2) == 40
    assert r.incrbyfloat("f", 10.5) == 10.5 and r.incrbyfloat("f", -0.25) == 10.25
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "missing", "b") == [b"1", None, b"2"]
    assert r.msetnx({"b": 3, "c": 3}) is False and r.exists("c") == 0
    assert r.getdel("a") == b"1" and r.exists("a") == 0
    raises("value is not an integer or out of range", lambda: r.incr("greeting"))
    raises("wrong number of arguments", lambda: r.execute_command("GET"))


def binary(r):
    key = b"key with \r\n and \x00 and \xff"
    r.set(key, ALL_BYTES)
    assert r.get(key) == ALL_BYTES
    large = ALL_BYTES * 20_000
    r.set("large", large)
    assert r.get("large") == large
    assert r.getrange("large", 256 * 9_999, 256 * 10_000 - 1) == ALL_BYTES


def expiry(r):
    r.set("mortal", "v", ex=100)
    assert 0 < r.ttl("mortal") <= 100 and 0 < r.pttl("mortal") <= 100_000
    assert r.persist("mortal") and r.ttl("mortal") == -1 and r.ttl("nothing") == -2
    assert r.expire("mortal", 50, nx=True) and not r.expire("mortal", 60, nx=True)
    when = int(time.time()) + 1000
    assert r.expireat("mortal", when) and r.expiretime("mortal") == when
    assert r.getex("mortal", persist=True) == b"v" and r.ttl("mortal") == -1
    r.psetex("brief", 30, "v")
    deadline = time.monotonic() + 5
    while r.get("brief") is not None:
        assert time.monotonic() < deadline, "a key outlived its expiry by seconds"
    assert r.exists("brief") == 0


def bitmaps(r):
    assert r.setbit("bits", 7, 1) == 0 and r.setbit("bits", 7, 1) == 1
    r.setbit("bits", 100, 1)
    assert r.getbit("bits", 100) == 1 and r.bitcount("bits") == 2
    assert r.bitpos("bits", 1) == 7 and r.bitcount("bits", 0, 0) == 1
    r.set("other", b"\x01")
    assert r.bitop("AND", "both", "bits", "other") == 13 and r.bitcount("both") == 1
    assert r.bitfield("field").set("u8", 0, 200).incrby("u8", 0, 100).get("u4", 0).execute() == [0, 44, 2]


def hyperloglogs(r):
    assert r.pfadd("visitors", *range(1000)) == 1
    assert abs(r.pfcount("visitors") - 1000) < 30
    r.pfadd("more", *range(500, 1500))
    assert r.pfmerge("union", "visitors", "more")
    assert abs(r.pfcount("union") - 1500) < 45


def keys(r):
    r.set("old", "v")
    assert r.type("old") == b"string" and r.rename("old", "new") and r.exists("old", "new", "new") == 2
    assert r.copy("new", "copy") and r.touch("new", "copy", "gone") == 2
    assert r.unlink("new", "copy") == 2
    r.flushdb()
    assert r.dbsize() == 0 and r.randomkey() is None
    pipe = r.pipeline(transaction=False)
    for i in range(2500):
        pipe.set(f"scan:{i}", i)
    pipe.get("scan:17")
    answers = pipe.execute()
    assert answers[:-1] == [True] * 2500 and answers[-1] == b"17"
    assert r.dbsize() == 2500
    assert set(r.scan_iter("scan:*", count=100)) == {f"scan:{i}".encode() for i in range(2500)}
    assert len(set(r.scan_iter("scan:1??"))) == 100 and len(r.keys("scan:?")) == 10
    failing = r.pipeline(transaction=False)
    failing.set("word", "x").incr("word").get("word")
    good, bad, after = failing.execute(raise_on_error=False)
    assert good is True and isinstance(bad, redis.ResponseError) and after == b"x"


def databases(r):
    other = redis.Redis(port=PORT, password=PASSWORD, db=1)
    r.set("where", "zero")
    other.set("where", "one")
    assert r.get("where") == b"zero" and other.get("where") == b"one"
    other.flushdb()
    assert other.get("where") is None and r.get("where") == b"zero"


def password():
    for wrong in ({}, {"password": "wrong"}):
        try:
            redis.Redis(port=PORT, retry=Retry(NoBackoff(), 0), **wrong).ping()
        except redis.AuthenticationError:
            continue
        raise AssertionError(f"a client with {wrong} was let in")


def main():
    if PASSWORD:
        password()
    for protocol in (None, 2, 3):
        settings = {} if protocol is None else {"protocol": protocol}
        with redis.Redis(port=PORT, password=PASSWORD, client_name="scenario", **settings) as r:
            r.flushall()
            assert r.ping() is True and r.client_getname() in ("scenario", b"scenario")
            assert r.info("server")["redis_mode"] == "standalone"
            for part in (strings, binary, expiry, bitmaps, hyperloglogs, keys, databases):
                part(r)
    with redis.Redis(port=PORT, password=PASSWORD, decode_responses=True) as r:
        assert r.set("text", "größe") and r.get("text") == "größe"
        r.flushall()


main()
