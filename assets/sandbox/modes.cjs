'use strict';
// Changes modes by an open file, not by a path: the latter is refused where a
// build's user owns more than the build's own files.

const fs = require('fs');
const { promisify } = require('util');

const FLAGS = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK;
const { chmod, chmodSync } = fs;
const { chmod: chmodPromise } = fs.promises;
const open = promisify(fs.open);
const fchmod = promisify(fs.fchmod);
const close = promisify(fs.close);

async function change(path, mode) {
  let file;
  try {
    file = await open(path, FLAGS);
  } catch {
    return chmodPromise(path, mode);
  }
  try {
    await fchmod(file, mode);
  } finally {
    await close(file);
  }
}

fs.promises.chmod = change;

fs.chmod = function (path, mode, done) {
  if (typeof done !== 'function') {
    return chmod(path, mode, done);
  }
  change(path, mode).then(
    () => process.nextTick(done, null),
    (error) => process.nextTick(done, error),
  );
};

fs.chmodSync = function (path, mode) {
  let file;
  try {
    file = fs.openSync(path, FLAGS);
  } catch {
    return chmodSync(path, mode);
  }
  try {
    fs.fchmodSync(file, mode);
  } finally {
    fs.closeSync(file);
  }
};

// For those who import the names.
require('module').syncBuiltinESMExports();
