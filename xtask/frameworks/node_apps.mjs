// socket.io over both of its adapters, Redlock, rate limiters, and what ioredis and node-redis do beyond single commands.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter';
import { createAdapter } from '@socket.io/redis-adapter';
import Redis from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { createClient } from 'redis';
import Redlock from 'redlock';
import { Server } from 'socket.io';
import { io } from 'socket.io-client';

const port = Number(process.env.KVDB_PORT);
const password = process.env.KVDB_PASSWORD || undefined;
const options = { port, password, db: 10 };
const until = async (what, condition) => {
  const end = Date.now() + 20_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `${what} did not come about`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

async function socketIo(adapterOf) {
  const clients = [];
  const node = async () => {
    const server = new Server(0, { adapter: await adapterOf(clients) });
    server.on('connection', (socket) => socket.join('room'));
    const client = io(`http://127.0.0.1:${server.httpServer.address().port}`, { transports: ['websocket'] });
    await once(client, 'connect');
    return { server, client };
  };
  const [a, b] = [await node(), await node()];
  await until('two sockets', async () => (await a.server.fetchSockets()).length === 2);
  const heard = Promise.all([once(a.client, 'news'), once(b.client, 'news')]);
  b.server.to('room').emit('news', { n: 1, bytes: Buffer.from([0, 255]) });
  for (const [news] of await heard) assert.deepEqual(news, { n: 1, bytes: Buffer.from([0, 255]) });
  b.server.on('asked', (reply) => reply('from b'));
  assert.deepEqual(await a.server.serverSideEmitWithAck('asked'), ['from b']);
  b.client.on('question', (reply) => reply('answer'));
  const other = (await a.server.fetchSockets()).find((socket) => socket.id === b.client.id);
  assert.ok(other.rooms.has('room'));
  a.server.in(b.client.id).disconnectSockets();
  await once(b.client, 'disconnect');
  for (const { server, client } of [a, b]) {
    client.close();
    await server.close();
  }
  for (const client of clients) client.disconnect ? client.disconnect() : await client.close();
}

async function pubSubAdapter(clients) {
  const publisher = new Redis(options);
  const subscriber = publisher.duplicate();
  clients.push(publisher, subscriber);
  return createAdapter(publisher, subscriber);
}

async function streamsAdapter(clients) {
  const client = new Redis(options);
  clients.push(client);
  return createStreamsAdapter(client);
}

async function locksAndLimits(redis) {
  const locks = new Redlock([redis], { retryCount: 0 });
  const lock = await locks.lock('resource', 2000);
  await assert.rejects(locks.lock('resource', 2000));
  await lock.extend(3000);
  await lock.unlock();
  await (await locks.lock('resource', 2000)).unlock();
  const limiter = new RateLimiterRedis({ storeClient: redis, points: 3, duration: 60, blockDuration: 60 });
  for (const left of [2, 1, 0]) assert.equal((await limiter.consume('user')).remainingPoints, left);
  await assert.rejects(limiter.consume('user'), (refusal) => refusal.msBeforeNext > 0);
}

async function ioredis(redis) {
  redis.defineCommand('add', { numberOfKeys: 1, lua: 'return redis.call("incrby", KEYS[1], ARGV[1])' });
  assert.equal(await redis.add('scripted', 5), 5);
  assert.equal(await redis.add('scripted', 5), 10);
  const result = await redis.multi().set('a', 1).incr('a').lpush('l', 'x', 'y').lrange('l', 0, -1).exec();
  assert.deepEqual(result, [[null, 'OK'], [null, 2], [null, 2], [null, ['y', 'x']]]);
  await redis.watch('a');
  await redis.duplicate().set('a', 9);
  assert.equal(await redis.multi().incr('a').exec(), null);
  const failing = await redis.pipeline().set('s', 'text').incr('s').get('s').exec();
  assert.equal(failing[1][0].message, 'ERR value is not an integer or out of range');
  assert.equal(failing[2][1], 'text');
  await redis.mset(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`scan:${i}`, i])));
  const seen = new Set();
  for await (const keys of redis.scanStream({ match: 'scan:*', count: 50 })) keys.forEach((key) => seen.add(key));
  assert.equal(seen.size, 500);
  const blocked = redis.duplicate();
  const popped = blocked.blpop('queue', 'other', 10);
  await until('a blocked client', async () => /blocked_clients:1/.test(await redis.info('clients')));
  await redis.rpush('other', 'job');
  assert.deepEqual(await popped, ['other', 'job']);
  const subscriber = redis.duplicate();
  assert.equal(await subscriber.psubscribe('news.*'), 1);
  const message = once(subscriber, 'pmessage');
  assert.equal(await redis.publish('news.art', 'hello'), 1);
  assert.deepEqual(await message, ['news.*', 'news.art', 'hello']);
  await redis.xgroup('CREATE', 'events', 'g', '$', 'MKSTREAM');
  await redis.xadd('events', '*', 'k', 'v');
  const [[, [[id, fields]]]] = await redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10, 'STREAMS', 'events', '>');
  assert.deepEqual(fields, ['k', 'v']);
  assert.equal(await redis.xack('events', 'g', id), 1);
  await redis.geoadd('sicily', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania');
  assert.equal(await redis.geodist('sicily', 'Palermo', 'Catania', 'km'), '166.2742');
  await redis.rpush('numbers', 3, 1, 2);
  assert.deepEqual(await redis.sort('numbers', 'DESC'), ['3', '2', '1']);
  await subscriber.quit();
  await blocked.quit();
}

async function nodeRedis() {
  const url = `redis://127.0.0.1:${port}`;
  const client = await createClient({ url, password, database: 11, RESP: 3 }).connect();
  assert.equal(await client.hSet('user', { name: 'somebody', age: 30 }), 2);
  assert.deepEqual({ ...(await client.hGetAll('user')) }, { name: 'somebody', age: '30' });
  await client.zAdd('board', [{ score: 2.5, value: 'b' }, { score: 1, value: 'a' }]);
  assert.deepEqual(await client.zRangeWithScores('board', 0, -1), [{ value: 'a', score: 1 }, { value: 'b', score: 2.5 }]);
  assert.deepEqual(await client.multi().incr('n').sAdd('s', ['x', 'y']).sMembers('s').exec().then((r) => [r[0], r[1], [...r[2]].sort()]), [1, 2, ['x', 'y']]);
  const cached = await createClient({
    url,
    password,
    database: 11,
    RESP: 3,
    clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: 'LRU' },
  }).connect();
  await client.set('cached', 'one');
  assert.equal(await cached.get('cached'), 'one');
  await client.set('cached', 'two');
  await until('the invalidation', async () => (await cached.get('cached')) === 'two');
  const code = '#!lua name=lib\nredis.register_function("twice", function(keys, args) return args[1] * 2 end)';
  assert.equal(await client.functionLoad(code, { REPLACE: true }), 'lib');
  assert.equal(await client.fCall('twice', { keys: [], arguments: ['21'] }), 42);
  const subscriber = await client.duplicate().connect();
  const heard = new Promise((resolve) => subscriber.sSubscribe('shard', resolve));
  await until('a subscriber', async () => (await client.sPublish('shard', 'hi')) === 1);
  assert.equal(await heard, 'hi');
  for (const each of [client, cached, subscriber]) await each.close();
}

const redis = new Redis(options);
await socketIo(pubSubAdapter);
await socketIo(streamsAdapter);
await locksAndLimits(redis);
await ioredis(redis);
await nodeRedis();
await redis.quit();
process.exit(0);
