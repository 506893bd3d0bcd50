// What of the project this process was configured by: modules in node's cache,
// and what its code has read or asked about files while it decided how things
// are built. Once one of these answers changes, only a new process is as the
// commit says.
//
// An answer counts as long as the configuration is being loaded, and after that
// where code of the project decides how a file is found or transformed: what
// comes of that is remembered, too.
'use strict';

const children = require('node:child_process');
const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const threads = require('node:worker_threads');
const { promisify } = require('node:util');

const { started } = require('./programs.cjs');

/** Configurations that node loads as modules which no cache of ours shows. */
const MODULES = ['metro.config.mjs', 'babel.config.mjs', 'app.config.mjs', 'app.config.mts'];
const CODE = /\.(?:[cm]?[jt]sx?|json)$/;
/** A module that is loaded by name while the code runs, but not the type of one. */
const IMPORT = /\bimport\s*\((?!\s*(['"])[^'"]*\1\s*\)\s*\.\w+\s*[}&|])/;
/** In these folders tools keep what is theirs, or dependencies lie. */
const OTHERS = ['node_modules', '.expo'];
/** Metro finds and reads sources by this; it is told of their changes. */
const SOURCES = /[\\/]metro-file-map[\\/]/;
/** Whose answers are remembered: what finds files, and what transforms them. */
const DECIDING = /[\\/](?:metro-resolver|metro-transform-worker|@babel[\\/]core)[\\/]/;
/** Deeper than any call of a configuration. */
const FRAMES = 200;

/** Calls by what a change of makes them answer otherwise. */
const CALLS = {
  // Whether there is something, and of what kind.
  presence: ['exists', 'access', 'realpath', 'readlink'],
  // That, and all that is known of a file.
  content: ['readFile', 'open', 'createReadStream', 'openAsBlob', 'copyFile', 'stat', 'lstat'],
  // The names in a folder.
  listing: ['readdir', 'opendir'],
  // All that lies there.
  whole: ['cp'],
};

/** Taken before any code of the project runs, and before we watch. */
const { lstatSync, readFileSync, readdirSync, statSync } = fs;
const realpathSync = fs.realpathSync.native;

/** Folders, below which any change counts. */
const wholes = new Set();
/** By `key`: a function that answers each question now, and its first answer. */
const asked = new Map();

let root = '';
let tree = '';
let configuring = true;
let unseen = false;
/** A program that was started, of which nobody knows what it reads. */
let program = null;

/**
 * Begins to note what is asked about the files of `commit`, a checkout, in
 * which the project lies at `top`.
 */
exports.watch = (commit, top) => {
  tree = commit;
  root = top;
  unseen = MODULES.some((name) => fs.existsSync(path.join(top, name))) || isModule(top);
  for (const [kind, names] of Object.entries(CALLS)) {
    const see = (file, options) => note(kind, file, options);
    for (const name of names) {
      hook(fs, name, see);
      hook(fs, `${name}Sync`, see);
      hook(fs.promises, name, see);
    }
  }
  hook(Module, '_resolveFilename', resolved);
  hook(children.ChildProcess.prototype, 'spawn', ({ file }) => begun(file));
  for (const name of ['spawnSync', 'execSync', 'execFileSync']) {
    hook(children, name, begun);
  }
  threads.Worker = class Worker extends threads.Worker {
    constructor(...words) {
      begun(words[0]);
      super(...words);
    }
  };
  Module.syncBuiltinESMExports();
};

function isModule(top) {
  try {
    return JSON.parse(readFileSync(path.join(top, 'package.json'), 'utf8')).type === 'module';
  } catch {
    return false;
  }
}

/** Shows `see` the words of each call, before it is made. */
function hook(object, name, see) {
  if (typeof object[name] === 'function') {
    // The function itself, and other forms of the same call.
    object[name] = hooked(object[name], see, [promisify.custom, 'native']);
  }
}

function hooked(original, see, forms) {
  const replacement = function (...words) {
    see(...words);
    return original.apply(this, words);
  };
  const properties = Object.getOwnPropertyDescriptors(original);
  for (const form of forms.filter((name) => properties[name])) {
    properties[form].value = hooked(original[form], see, []);
  }
  return Object.defineProperties(replacement, properties);
}

function note(kind, named, options) {
  const file = absolute(named);
  if (file === null || !ofProject(file)) {
    return;
  }
  const deep = kind === 'listing' && Boolean(options?.recursive);
  if (!asked.has(key(kind, file, deep)) && configures()) {
    for (const place of places(file)) {
      put(kind, place, deep);
    }
  }
}

/** The path that a call names, if it names one: it may have an open file. */
function absolute(named) {
  try {
    const file = named instanceof URL ? require('node:url').fileURLToPath(named) : named;
    return typeof file === 'string' || Buffer.isBuffer(file) ? path.resolve(String(file)) : null;
  } catch {
    return null;
  }
}

function ofProject(file) {
  if (file !== tree && !file.startsWith(tree + path.sep)) {
    return false;
  }
  const parts = file.slice(tree.length).split(path.sep);
  return !OTHERS.some((name) => parts.includes(name));
}

/** The path itself and, where links lead elsewhere, the one that is meant. */
function places(file) {
  const found = new Set([file]);
  for (const [known, rest] of [
    [file, ''],
    [path.dirname(file), path.basename(file)],
  ]) {
    try {
      found.add(path.join(realpathSync(known), rest));
      break;
    } catch {
      // There is none: then it is meant where its folder is.
    }
  }
  return [...found];
}

function key(kind, file, deep = false) {
  return `${kind}${deep ? ' deep' : ''} ${file}`;
}

function put(kind, file, deep) {
  const question = key(kind, file, deep);
  if (asked.has(question)) {
    return;
  }
  if (kind === 'whole') {
    wholes.add(file);
  }
  const look = kind === 'listing' ? () => names(file, deep) : () => presence(file);
  asked.set(question, { file, look, answer: look() });
}

/** Whether there is something, of what kind, and whether it can be run. */
function presence(file) {
  const one = (look) => {
    const { mode } = look(file);
    const kind = mode & fs.constants.S_IFMT;
    return kind === fs.constants.S_IFREG ? kind | (mode & 0o100) : kind;
  };
  try {
    return `${one(lstatSync)} ${one(statSync)}`;
  } catch (error) {
    return error.code;
  }
}

function names(folder, deep) {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    return error.code;
  }
  return entries
    .filter((entry) => !OTHERS.includes(entry.name))
    .map((entry) => {
      const file = path.join(folder, entry.name);
      const below = deep && entry.isDirectory() ? `/${names(file, true)}/` : '';
      return `${entry.name} ${presence(file)}${below}`;
    })
    .sort()
    .join('\n');
}

/** Whether the code that runs now decides how things are built. */
function configures(stack = trace()) {
  if (SOURCES.test(stack)) {
    return false;
  }
  return configuring || (DECIDING.test(stack) && runsProject(stack));
}

function trace() {
  const { stackTraceLimit, prepareStackTrace } = Error;
  Object.assign(Error, { stackTraceLimit: FRAMES, prepareStackTrace: undefined });
  const { stack } = new Error();
  Object.assign(Error, { stackTraceLimit, prepareStackTrace });
  return String(stack);
}

function runsProject(stack) {
  return stack.split('\n').some((line) => {
    const at = line.indexOf(tree + path.sep);
    return at >= 0 && !line.includes(`${path.sep}node_modules${path.sep}`, at);
  });
}

/** What node looks for when a file of the project requires another. */
function resolved(request, parent, _, options) {
  const from = parent?.filename;
  if (typeof request !== 'string' || !from || !ofProject(from) || Module.isBuiltin(request)) {
    return;
  }
  const near = /^\.{0,2}\//.test(request) || request === '.' || request === '..';
  const folders = near
    ? (options?.paths ?? [path.dirname(from)])
    : (Module._resolveLookupPaths(request, parent) ?? []);
  if (!configures()) {
    return;
  }
  for (const base of folders.map((folder) => path.resolve(folder, request))) {
    for (const place of places(base).filter(ofProject)) {
      const ends = Object.keys(Module._extensions);
      put('presence', place);
      put('content', path.join(place, 'package.json'));
      for (const end of ends) {
        put('presence', place + end);
        put('presence', path.join(place, `index${end}`));
      }
    }
  }
}

/** A program or a thread begins. */
function begun(name) {
  const stack = trace();
  if (program === null && configures(stack) && (runsProject(stack) || !started(stack))) {
    program = path.basename(String(name).split(' ')[0]);
  }
}

/** The configuration is loaded; what is asked from now on is about sources. */
exports.configured = () => {
  configuring = false;
};

/** Why nobody can tell which changes need another process, if so. */
exports.untold = () =>
  program && `its configuration starts a program (${program}), and nobody knows what that reads`;

/**
 * Why `changes` need another process, if they do. `bundled` tells whether a
 * file is a module of the bundle.
 */
exports.touched = (changes, bundled) => {
  if (changes.length === 0) {
    return undefined;
  }
  const modules = unseen || importsMore();
  const changed = changes.find(
    ({ path: file }) =>
      asked.has(key('content', file)) ||
      require.cache[file] ||
      [...wholes].some((whole) => file.startsWith(whole + path.sep)) ||
      (modules && CODE.test(file) && !bundled(file)),
  );
  if (changed) {
    return `${path.relative(root, changed.path)} may be a part of the configuration`;
  }
  for (const { file, look, answer } of asked.values()) {
    if (look() !== answer) {
      const shown = path.relative(root, file) || './';
      return `what the configuration knows of ${shown} has changed`;
    }
  }
  return undefined;
};

/** Whether code of the project loads modules that no cache of ours shows. */
function importsMore() {
  return Object.keys(require.cache).some((file) => {
    try {
      return ofProject(file) && IMPORT.test(readFileSync(file, 'utf8'));
    } catch {
      return true;
    }
  });
}
