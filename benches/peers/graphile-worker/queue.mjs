// graphile-worker as a side of the queue bench. One role a process, as it is
// deployed: `migrate` lays its tables out, `produce` adds jobs, `work` runs
// them; each prints one line of JSON.
import { EventEmitter } from 'node:events';
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';

const [role, connectionString] = process.argv.slice(2, 4);
const [jobs, concurrency] = process.argv.slice(4).map(Number);
const payload = { project: 7, ref: 'main', platform: 'ios' };
const now = () => performance.timeOrigin + performance.now();
const print = (value) => console.log(JSON.stringify(value));
const pool = () => {
  const made = new pg.Pool({ connectionString, max: concurrency });
  made.on('error', (error) => console.error(error));
  made.on('connect', (client) => client.on('error', (error) => console.error(error)));
  return made;
};

async function migrate() {
  const utils = await makeWorkerUtils({ connectionString });
  await utils.migrate();
  await utils.release();
}

// Adds `jobs` jobs, one a call, `concurrency` calls under way at any time.
async function produce() {
  const pgPool = pool();
  const utils = await makeWorkerUtils({ pgPool });
  const began = now();
  let left = jobs;
  const producer = async () => {
    while (left-- > 0) await utils.addJob('preview', payload);
  };
  await Promise.all(Array.from({ length: concurrency }, producer));
  print({ began, ended: now() });
  process.exit(0);
}

// Runs jobs that do nothing until `jobs` of them are completed in PostgreSQL,
// which is when their rows are gone.
async function work() {
  const pgPool = pool();
  let completed = 0;
  const events = new EventEmitter();
  events.on('job:complete', async () => {
    completed += 1;
    if (completed !== jobs) return;
    const left = 'select exists (select from graphile_worker.jobs) as any';
    while ((await pgPool.query(left)).rows[0].any);
    print({ ended: now() });
    process.exit(0);
  });
  // A pool that holds the jobs it has fetched asks less often: its fastest way.
  await run({
    pgPool,
    // A line for each job would be its largest cost.
    logger: new Logger(() => () => {}),
    events,
    taskList: { preview: async () => {} },
    preset: {
      worker: {
        concurrentJobs: concurrency,
        localQueue: { size: 2 * concurrency },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  });
  print({ ready: true });
}

await { migrate, produce, work }[role]();
