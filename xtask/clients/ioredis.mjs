// ioredis as its users write it: default settings, which send the whole handshake before reading an answer.

import assert from 'node:assert/strict';
import Redis from 'ioredis';

const port = Number(process.env.KVDB_PORT);
const password = process.env.KVDB_PASSWORD || undefined;
const allBytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

async function strings(r) {
  assert.equal(await r.set('greeting', 'hello'), 'OK');
  assert.equal(await r.get('greeting'), 'hello');
  assert.equal(await r.get('nothing'), null);
  assert.equal(await r.set('greeting', 'x', 'NX'), null);
  assert.equal(await r.set('greeting', 'hi', 'GET'), 'hello');
  assert.equal(await r.append('greeting', '!'), 3);
  assert.equal(await r.getrange('greeting', -1, -1), '!');
  assert.equal(await r.incrby('n', 42), 42);
  assert.equal(Number(await r.incrbyfloat('f', 10.5)), 10.5);
  assert.equal(await r.mset('a', 1, 'b', 2), 'OK');
  assert.deepEqual(await r.mget('a', 'missing', 'b'), ['1', null, '2']);
  assert.equal(await r.getdel('a'), '1');
  await assert.rejects(r.incr('greeting'), /value is not an integer or out of range/);
  await assert.rejects(r.call('GET'), /wrong number of arguments/);
  await assert.rejects(r.call('NOSUCHCOMMAND', 'a'), /unknown command/);
}

async function binary(r) {
  const key = Buffer.from('key\r\n\0\xff', 'latin1');
  await r.set(key, allBytes);
  assert.deepEqual(await r.getBuffer(key), allBytes);
  const large = Buffer.alloc(3_000_000, 'kvdb');
  await r.set('large', large);
  assert.ok(large.equals(await r.getBuffer('large')));
}

async function expiry(r) {
  await r.set('mortal', 'v', 'EX', 100);
  const ttl = await r.ttl('mortal');
  assert.ok(ttl > 0 && ttl <= 100);
  assert.equal(await r.persist('mortal'), 1);
  assert.equal(await r.ttl('mortal'), -1);
  await r.psetex('brief', 30, 'v');
  const deadline = Date.now() + 5000;
  while ((await r.exists('brief')) === 1) assert.ok(Date.now() < deadline, 'a key outlived its expiry');
}

async function bitsAndSketches(r) {
  assert.equal(await r.setbit('bits', 7, 1), 0);
  assert.equal(await r.bitcount('bits'), 1);
  assert.equal(await r.bitpos('bits', 1), 7);
  assert.deepEqual(await r.bitfield('field', 'SET', 'u8', 0, 200, 'GET', 'u4', 0), [0, 12]);
  assert.equal(await r.pfadd('visitors', ...Array.from({ length: 1000 }, (_, i) => `v${i}`)), 1);
  assert.ok(Math.abs((await r.pfcount('visitors')) - 1000) < 30);
}

async function keys(r) {
  await r.flushdb();
  const pipeline = r.pipeline();
  for (let i = 0; i < 2500; i++) pipeline.set(`scan:${i}`, i);
  const answers = await pipeline.exec();
  assert.ok(answers.length === 2500 && answers.every(([error, answer]) => !error && answer === 'OK'));
  assert.equal(await r.dbsize(), 2500);
  const seen = new Set();
  for await (const batch of r.scanStream({ match: 'scan:*', count: 100 })) batch.forEach((key) => seen.add(key));
  assert.equal(seen.size, 2500);
  // Commands that are not awaited one by one travel together and are answered in order.
  const together = await Promise.all(Array.from({ length: 500 }, (_, i) => r.get(`scan:${i}`)));
  assert.deepEqual(together, Array.from({ length: 500 }, (_, i) => `${i}`));
  assert.equal(await r.rename('scan:1', 'renamed'), 'OK');
  assert.equal(await r.type('renamed'), 'string');
  assert.equal(await r.unlink('renamed', 'scan:2'), 2);
}

async function refused(options) {
  const r = new Redis({ port, lazyConnect: true, retryStrategy: null, maxRetriesPerRequest: 0, ...options });
  r.on('error', () => {});
  await assert.rejects(async () => {
    await r.connect();
    await r.get('x');
  });
  r.disconnect();
}

if (password) {
  await refused({});
  await refused({ password: 'wrong' });
}
for (const options of [{}, { db: 3, connectionName: 'scenario', enableAutoPipelining: true }]) {
  const r = new Redis({ port, password, ...options });
  await r.flushall();
  for (const part of [strings, binary, expiry, bitsAndSketches, keys]) await part(r);
  await r.flushall();
  await r.quit();
}
