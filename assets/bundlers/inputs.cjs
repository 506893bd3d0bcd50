// The files of the project that this process runs or was configured by:
// modules in node's cache, and what was read while the configuration was
// loaded. Once one of them changes, only a new process is as the commit says.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

/** Configurations that node loads as modules which no cache of ours shows. */
const MODULES = ['metro.config.mjs', 'babel.config.mjs', 'app.config.mjs', 'app.config.mts'];
const CODE = /\.(?:[cm]?[jt]sx?|json)$/;

const read = new Set();
let root = '';
let configuring = true;
let unseen = false;

function note(file) {
  if (!configuring || typeof file !== 'string') {
    return;
  }
  const absolute = path.resolve(file);
  if (!ofProject(absolute) || read.has(absolute)) {
    return;
  }
  // Metro reads sources, too; it is told of their changes.
  if (!/[\\/]metro-file-map[\\/]/.test(new Error().stack ?? '')) {
    read.add(absolute);
  }
}

function ofProject(file) {
  return (
    file.startsWith(root + path.sep) && !file.includes(`${path.sep}node_modules${path.sep}`)
  );
}

function hook(object, name) {
  const original = object[name];
  object[name] = function (file, ...rest) {
    note(file);
    return original.call(this, file, ...rest);
  };
}

/** Begins to note what is read. */
exports.watch = (top) => {
  root = top;
  unseen = MODULES.some((name) => fs.existsSync(path.join(top, name))) || isModule(top);
  for (const name of ['readFileSync', 'readFile', 'openSync', 'open', 'createReadStream']) {
    hook(fs, name);
  }
  for (const name of ['readFile', 'open']) {
    hook(fs.promises, name);
  }
};

function isModule(top) {
  try {
    return JSON.parse(fs.readFileSync(path.join(top, 'package.json'), 'utf8')).type === 'module';
  } catch {
    return false;
  }
}

/** The configuration is loaded; what is read from now on are sources. */
exports.configured = () => {
  configuring = false;
};

/**
 * Why `changes` need another process, if they do. `bundled` tells whether a
 * file is a module of the bundle.
 */
exports.touched = (changes, bundled) => {
  const changed = changes.find(
    ({ path: file, change }) =>
      read.has(file) ||
      require.cache[file] ||
      (unseen && change !== 'added' && CODE.test(file) && !bundled(file)),
  );
  return changed && `${path.relative(root, changed.path)} may be a part of the configuration`;
};
