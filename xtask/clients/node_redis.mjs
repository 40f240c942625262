// node-redis as its users write it: default settings, then RESP2, each with assertions on every answer.

import assert from 'node:assert/strict';
import { createClient, RESP_TYPES } from 'redis';

const port = Number(process.env.KVDB_PORT);
const password = process.env.KVDB_PASSWORD || undefined;
const allBytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

async function open(options) {
  const client = createClient({ socket: { port, reconnectStrategy: false }, ...options });
  client.on('error', () => {});
  return client.connect();
}

async function strings(r) {
  assert.equal(await r.set('greeting', 'hello'), 'OK');
  assert.equal(await r.get('greeting'), 'hello');
  assert.equal(await r.get('nothing'), null);
  assert.equal(await r.set('greeting', 'hi', { GET: true }), 'hello');
  assert.equal(await r.append('greeting', '!'), 3);
  assert.equal(await r.getRange('greeting', -1, -1), '!');
  assert.equal(await r.incrBy('n', 42), 42);
  assert.equal(Number(await r.incrByFloat('f', 10.5)), 10.5);
  assert.equal(await r.mSet({ a: '1', b: '2' }), 'OK');
  assert.deepEqual(await r.mGet(['a', 'missing', 'b']), ['1', null, '2']);
  assert.equal(await r.getDel('a'), '1');
  await assert.rejects(r.incr('greeting'), /value is not an integer or out of range/);
  await assert.rejects(r.sendCommand(['GET']), /wrong number of arguments/);
}

async function binary(r) {
  const bytes = r.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  const key = Buffer.from('key\r\n\0\xff', 'latin1');
  await bytes.set(key, allBytes);
  assert.deepEqual(await bytes.get(key), allBytes);
}

async function expiry(r) {
  await r.set('mortal', 'v', { expiration: { type: 'EX', value: 100 } });
  const ttl = await r.ttl('mortal');
  assert.ok(ttl > 0 && ttl <= 100);
  assert.equal(await r.persist('mortal'), 1);
  assert.equal(await r.ttl('mortal'), -1);
  await r.pSetEx('brief', 30, 'v');
  const deadline = Date.now() + 5000;
  while ((await r.exists('brief')) === 1) assert.ok(Date.now() < deadline, 'a key outlived its expiry');
}

async function bitsAndSketches(r) {
  assert.equal(await r.setBit('bits', 7, 1), 0);
  assert.equal(await r.bitCount('bits'), 1);
  assert.equal(await r.bitPos('bits', 1), 7);
  assert.equal(Number(await r.pfAdd('visitors', Array.from({ length: 1000 }, (_, i) => `v${i}`))), 1);
  assert.ok(Math.abs((await r.pfCount('visitors')) - 1000) < 30);
}

async function keys(r) {
  await r.flushDb();
  const sets = Array.from({ length: 2500 }, (_, i) => r.set(`scan:${i}`, `${i}`));
  assert.ok((await Promise.all(sets)).every((answer) => answer === 'OK'));
  assert.equal(await r.dbSize(), 2500);
  const seen = new Set();
  for await (const batch of r.scanIterator({ MATCH: 'scan:*', COUNT: 100 })) [batch].flat().forEach((key) => seen.add(key));
  assert.equal(seen.size, 2500);
  assert.equal(await r.rename('scan:1', 'renamed'), 'OK');
  assert.equal(await r.type('renamed'), 'string');
  assert.equal(await r.unlink(['renamed', 'scan:2']), 2);
}

if (password) {
  for (const wrong of [{}, { password: 'wrong' }]) {
    await assert.rejects(async () => {
      const r = await open(wrong);
      await r.get('x').finally(() => r.destroy());
    });
  }
}
for (const options of [{}, { RESP: 2, database: 2, name: 'scenario' }]) {
  const r = await open({ password, ...options });
  await r.flushAll();
  for (const part of [strings, binary, expiry, bitsAndSketches, keys]) await part(r);
  await r.flushAll();
  await r.close();
}
