// BullMQ: queues, priorities, delays, retries, flows, repeated jobs, a rate limit, events. It is some forty Lua scripts.

import assert from 'node:assert/strict';
import { FlowProducer, Job, Queue, QueueEvents, Worker } from 'bullmq';

const connection = {
  port: Number(process.env.KVDB_PORT),
  password: process.env.KVDB_PASSWORD || undefined,
  db: 9,
  maxRetriesPerRequest: null,
};
const open = [];
const kept = (thing) => {
  open.push(thing);
  return thing;
};

async function jobs() {
  const queue = kept(new Queue('mail', { connection }));
  const events = kept(new QueueEvents('mail', { connection }));
  await events.waitUntilReady();
  await queue.add('low', { n: 3 }, { priority: 10 });
  await queue.add('high', { n: 1 }, { priority: 1 });
  await queue.add('middle', { n: 2 }, { priority: 5 });
  assert.equal(await queue.getPrioritizedCount(), 3);
  const order = [];
  let attempts = 0;
  const worker = kept(
    new Worker(
      'mail',
      async (job) => {
        if (job.name === 'flaky' && ++attempts < 3) throw new Error(`attempt ${attempts}`);
        if (job.name === 'hopeless') throw new Error('never');
        await job.updateProgress(50);
        await job.log('a line');
        order.push(job.name);
        return { done: job.data.n };
      },
      { connection },
    ),
  );
  const last = await queue.add('last', { n: 4 });
  assert.deepEqual(await last.waitUntilFinished(events, 20_000), { done: 4 });
  const flaky = await queue.add('flaky', { n: 5 }, { attempts: 3, backoff: { type: 'fixed', delay: 20 } });
  assert.deepEqual(await flaky.waitUntilFinished(events, 20_000), { done: 5 });
  const hopeless = await queue.add('hopeless', {}, { attempts: 2 });
  await assert.rejects(hopeless.waitUntilFinished(events, 20_000), /never/);
  const asked = Date.now();
  const late = await queue.add('late', { n: 6 }, { delay: 400 });
  assert.equal(await late.getState(), 'delayed');
  await late.waitUntilFinished(events, 20_000);
  assert.ok(Date.now() - asked >= 395, 'a delayed job ran early');
  assert.ok(order.indexOf('high') < order.indexOf('middle') && order.indexOf('middle') < order.indexOf('low'));
  assert.equal(await queue.getCompletedCount(), 6);
  assert.equal(await queue.getFailedCount(), 1);
  const found = await Job.fromId(queue, late.id);
  assert.deepEqual(found.returnvalue, { done: 6 });
  assert.deepEqual((await queue.getJobLogs(late.id)).logs, ['a line']);
  await hopeless.retry();
  await assert.rejects(hopeless.waitUntilFinished(events, 20_000), /never/);
  const bulk = await queue.addBulk(Array.from({ length: 200 }, (_, n) => ({ name: 'bulk', data: { n } })));
  await Promise.all(bulk.map((job) => job.waitUntilFinished(events, 20_000)));
  await queue.pause();
  const held = await queue.add('held', { n: 7 });
  assert.equal(await queue.isPaused(), true);
  await queue.resume();
  await held.waitUntilFinished(events, 20_000);
  await queue.clean(0, 1000, 'completed');
  assert.equal(await queue.getCompletedCount(), 0);
  await worker.close();
  await queue.obliterate({ force: true });
}

async function flows() {
  const flow = kept(new FlowProducer({ connection }));
  const events = kept(new QueueEvents('parents', { connection }));
  await events.waitUntilReady();
  kept(new Worker('children', async (job) => job.data.n * 2, { connection, concurrency: 5 }));
  kept(
    new Worker(
      'parents',
      async (job) => Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0),
      { connection },
    ),
  );
  const children = [1, 2, 3].map((n) => ({ name: 'child', queueName: 'children', data: { n } }));
  const tree = await flow.add({ name: 'parent', queueName: 'parents', data: {}, children });
  assert.equal(await tree.job.waitUntilFinished(events, 20_000), 12);
}

async function repeats() {
  const queue = kept(new Queue('ticks', { connection }));
  let ticks = 0;
  const three = new Promise((resolve) => {
    kept(new Worker('ticks', async () => ++ticks === 3 && resolve(), { connection }));
  });
  await queue.upsertJobScheduler('every', { every: 100 }, { name: 'tick' });
  await three;
  assert.equal((await queue.getJobSchedulers()).length, 1);
  assert.equal(await queue.removeJobScheduler('every'), true);
}

async function rateLimit() {
  const queue = kept(new Queue('limited', { connection }));
  await queue.addBulk(Array.from({ length: 6 }, (_, n) => ({ name: 'x', data: { n } })));
  const times = [];
  const all = new Promise((resolve) => {
    kept(
      new Worker(
        'limited',
        async () => {
          times.push(Date.now());
          if (times.length === 6) resolve();
        },
        { connection, limiter: { max: 2, duration: 300 } },
      ),
    );
  });
  await all;
  assert.ok(times[5] - times[0] >= 550, `six jobs at two in 300 ms took ${times[5] - times[0]} ms`);
}

await jobs();
await flows();
await repeats();
await rateLimit();
for (const thing of open.reverse()) await thing.close();
process.exit(0);
