// BullMQ as a side of the queue bench. One role a process, as it is deployed:
// `produce` adds jobs, `work` runs them; each prints one line of JSON.
import IORedis from 'ioredis';
import { Queue, Worker } from 'bullmq';

const [role, port, jobs, concurrency] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const payload = { project: 7, ref: 'main', platform: 'ios' };
const connect = () => new IORedis({ host: '127.0.0.1', port, maxRetriesPerRequest: null });
const now = () => performance.timeOrigin + performance.now();
const print = (value) => console.log(JSON.stringify(value));
const NAME = 'bench';

// Adds `jobs` jobs, one a call, `concurrency` calls under way at any time.
async function produce() {
  const queue = new Queue(NAME, { connection: connect() });
  await queue.waitUntilReady();
  const began = now();
  let left = jobs;
  const producer = async () => {
    while (left-- > 0) await queue.add('preview', payload, { removeOnComplete: false });
  };
  await Promise.all(Array.from({ length: concurrency }, producer));
  print({ began, ended: now() });
  await queue.close();
  process.exit(0);
}

// Runs jobs that do nothing until `jobs` of them are completed in Redis.
async function work() {
  let completed = 0;
  const worker = new Worker(NAME, async () => {}, { connection: connect(), concurrency });
  worker.on('completed', async () => {
    completed += 1;
    if (completed < jobs) return;
    print({ ended: now() });
    await worker.close();
    process.exit(0);
  });
  await worker.waitUntilReady();
  print({ ready: true });
}

// How long after `add` was called an idle worker has begun, job by job: in one
// process, so that both ends read one clock.
async function pickup() {
  const queue = new Queue(NAME, { connection: connect() });
  let begun;
  const worker = new Worker(NAME, async () => begun(now()), { connection: connect(), concurrency: 1 });
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
  const waits = [];
  for (let i = 0; i < jobs; i += 1) {
    const beginning = new Promise((resolve) => { begun = resolve; });
    const added = now();
    await queue.add('preview', payload);
    waits.push((await beginning) - added);
    // The worker goes back to waiting.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  print({ waits });
  await worker.close();
  await queue.close();
  process.exit(0);
}

await { produce, work, pickup }[role]();
