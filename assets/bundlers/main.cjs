// A warm bundler: started in a project's own folder with the project's own
// packages, it builds one platform again and again, as it is told over its
// standard input, one JSON object a line.
//
//   -> {"nonce", "tree", "root", "kind", "platform", "entry"}  once, first
//   <- {"ready": true}
//      {"ready": false, "why"}             no process that is kept can build that
//   -> {"id", "out", "changes": [{"path", "change"}]}
//      where a change is "added", "modified" or "deleted"
//   <- {"id", "ended": "built", "proof"}          what it was built of
//      {"id", "ended": "failed"}           why is told on the log
//      {"id", "ended": "stale", "why"}     only a new process can build that
//
// An answer begins with the nonce, because the project's code writes to the
// same standard output. All else that is written there is for the build log.
// Nothing here is trusted by the server: it compares the proof with the files
// of the commit, and builds cold when anything is odd.
'use strict';

const readline = require('node:readline');

const inputs = require('./inputs.cjs');
const { Unsuited } = require('./shapes.cjs');

/** Thrown where the project's tools would have ended the process. */
class Exit extends Error {
  constructor(code) {
    super(`the bundler wanted to exit with code ${code}`);
  }
}

let nonce = '';
let building = false;
const exit = process.exit.bind(process);
process.exit = (code) => {
  if (building) {
    throw new Exit(code ?? 0);
  }
  return exit(code);
};

// Taken before any code of the project runs and may replace it.
const write = process.stdout.write.bind(process.stdout);
function answer(message) {
  return new Promise((done) => write(`\n${nonce}${JSON.stringify(message)}\n`, done));
}

const KINDS = {
  expo: () => require('./expo.cjs'),
  'react-native': () => require('./react_native.cjs'),
};

async function start(order) {
  nonce = order.nonce;
  process.chdir(order.root);
  process.env.NODE_ENV = 'production';
  // Before we watch: what we ask ourselves is no part of the configuration.
  const kind = KINDS[order.kind]();
  inputs.watch(order.tree, order.root);
  try {
    const bundler = await kind.start(order);
    const why = inputs.untold();
    if (why) {
      throw new Unsuited(why);
    }
    await answer({ ready: true });
    return bundler;
  } catch (error) {
    if (!(error instanceof Unsuited)) {
      throw error;
    }
    await answer({ ready: false, why: error.message });
    return exit(0);
  }
}

async function build(bundler, order) {
  const { changes } = order;
  const why = inputs.touched(changes, (file) => bundler.bundles(file)) ?? bundler.stale(changes);
  if (why) {
    return { id: order.id, ended: 'stale', why };
  }
  building = true;
  try {
    const proof = await bundler.build(order);
    // Its first build loads the rest of the configuration.
    const untold = inputs.untold();
    return untold
      ? { id: order.id, ended: 'stale', why: untold }
      : { id: order.id, ended: 'built', proof };
  } catch (error) {
    // Before it exits, a tool has told why.
    if (!(error instanceof Exit)) {
      console.error(String(error?.message ?? error));
    }
    return { id: order.id, ended: 'failed' };
  } finally {
    building = false;
  }
}

async function main() {
  let bundler;
  // The server closes its end when it ends: so does this process.
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (!bundler) {
      bundler = await start(order);
    } else {
      await answer(await build(bundler, order));
    }
  }
}

main().then(
  () => exit(0),
  (error) => {
    console.error(error?.stack ?? String(error));
    exit(1);
  },
);
