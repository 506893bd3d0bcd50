// What both kinds of project need of Metro itself: a file map that learns of
// changes from us, transforms that are kept, and graphs that come out as those
// of a new process.
//
// Metro's own watcher is late and does not say when it is done. So there is
// none: the file map is made as one that watches, and is given the changes of
// the commit by name.
'use strict';

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

/** Milliseconds until the file map must have told of a change. */
const HEARD_WITHIN = 4000;

/** How each file map takes a change. */
const feeds = new WeakMap();

/**
 * Makes the file maps of the package `name`, as `load` finds it, ready to be
 * fed. Must be called before the first is made.
 */
exports.feedable = (load, name) => {
  const map = load(name);
  const { Watcher } = load(path.join(path.dirname(load.resolve(name)), 'Watcher.js'));
  if (typeof map.default !== 'function' || typeof Watcher?.prototype?.watch !== 'function') {
    throw new Error(`${name} is not as this version of HiveSync knows it`);
  }
  const FileMap = map.default;
  let latest = null;
  map.default = class extends FileMap {
    constructor(options) {
      super({ ...options, watch: true, healthCheck: { ...options.healthCheck, enabled: false } });
      latest = this;
    }
  };
  Watcher.prototype.watch = async (feed) => {
    feeds.set(latest, feed);
  };
};

/** A Metro server that is kept between builds. */
exports.Kept = class Kept {
  #server;
  #bundler;
  #incremental;
  #transforms = new Map();
  /** Graphs with their prepended modules, by what they were asked for with. */
  #graphs = new Map();
  /** What was transformed for the build under way: path to SHA-1. */
  #transformed = new Map();
  /** The graphs that the build under way uses. */
  #used = new Set();

  constructor(server) {
    this.#server = server;
    this.#incremental = server.getBundler();
    this.#bundler = this.#incremental.getBundler();
    this.#keepTransforms();
    this.#keepGraphs();
  }

  bundles(file) {
    return [...this.#graphs.values()].some(({ graph }) => graph.dependencies.has(file));
  }

  /** Whether a script that stands before all modules has changed: those are kept. */
  stale(changes) {
    const scripts = new Set(
      [...this.#graphs.values()].flatMap(({ prepend }) => prepend.map((module) => module.path)),
    );
    const changed = changes.find((change) => scripts.has(change.path));
    return changed && `${changed.path} runs before all modules`;
  }

  /** Tells the file map what has changed, and waits until it knows. */
  async begin(changes) {
    this.#transformed.clear();
    this.#used.clear();
    // Ids are given in the order of the graph, as in a new process.
    this.#server._createModuleId = this.#server._config.serializer.createModuleIdFactory();
    this.#incremental._revisionsById.clear();
    await this.#feed(changes);
    if (changes.some(({ change }) => change !== 'modified')) {
      // A file that is new or gone can change what other files' imports mean.
      for (const { graph } of this.#graphs.values()) {
        this.#incremental.getDeltaBundler().endGraph(graph);
      }
      this.#graphs.clear();
    }
  }

  /**
   * One digest of what Metro knows of the changed files, after the build: the
   * server makes it, too, from the files of the commit.
   */
  async proof(changes) {
    const graph = await this.#bundler.getDependencyGraph();
    const proof = createHash('sha1');
    for (const { path: file } of changes) {
      let digest = null;
      if (!this.#watched(file)) {
        digest = fs.existsSync(file) ? sha1(fs.readFileSync(file)) : null;
      } else if (graph.doesFileExist(file)) {
        digest = (await graph.getOrComputeSha1(file)).sha1;
      }
      this.#prove(file, digest);
      proof.update(`${digest ?? '-'} ${file}\n`);
    }
    return proof.digest('hex');
  }

  /** A file that the bundle is made of must have been transformed just now. */
  #prove(file, digest) {
    for (const graph of this.#used) {
      if (graph.dependencies.has(file) && this.#transformed.get(file) !== digest) {
        throw new Error(`Metro has not built ${file} as it is now`);
      }
    }
  }

  #watched(file) {
    const { resolver, watcher } = this.#server._config;
    const ignored = [resolver.blockList ?? []].flat().some((pattern) => pattern.test(file));
    const extensions = [
      ...resolver.sourceExts,
      ...resolver.assetExts,
      ...(watcher?.additionalExts ?? []),
    ];
    return !ignored && extensions.some((extension) => file.endsWith(extension));
  }

  async #feed(changes) {
    const graph = await this.#bundler.getDependencyGraph();
    const map = graph.getWatcher();
    const feed = feeds.get(map);
    if (!feed) {
      throw new Error('the file map does not take changes');
    }
    const top = this.#server._config.projectRoot;
    const fed = changes.filter(({ path: file }) => this.#watched(file));
    // What Metro never saw cannot go.
    const known = ({ path: file, change }) => change !== 'deleted' || graph.doesFileExist(file);
    const heard = hear(map, fed.filter(known));
    for (const change of fed) {
      feed(event(change, top));
    }
    await heard;
  }

  /**
   * Transforms are the same for the same bytes and options. Metro's own cache
   * is on disk: too slow to be asked for every module of a new graph.
   */
  #keepTransforms() {
    const transform = this.#bundler.transformFile.bind(this.#bundler);
    this.#bundler.transformFile = async (file, options, buffer) => {
      if (buffer) {
        return transform(file, options, buffer);
      }
      const graph = await this.#bundler.getDependencyGraph();
      const { sha1: digest } = await graph.getOrComputeSha1(file);
      const key = `${file}\0${JSON.stringify(options)}`;
      const known = this.#transforms.get(key);
      const result = known?.digest === digest ? known.result : await transform(file, options);
      this.#transforms.set(key, { digest, result });
      this.#transformed.set(file, digest);
      return result;
    };
  }

  /** Graphs are brought up to date, and put in the order of new ones. */
  #keepGraphs() {
    const incremental = this.#incremental;
    const build = incremental.buildGraph.bind(incremental);
    // Whoever asks for a revision is to ask for a graph instead.
    incremental.getRevisionByGraphId = () => undefined;
    incremental.buildGraph = async (entry, transform, resolver, others) => {
      const shallow = others?.shallow ?? false;
      const key = JSON.stringify([entry, transform, resolver, shallow, others?.lazy ?? false]);
      let made = this.#graphs.get(key);
      if (made) {
        const deltas = incremental.getDeltaBundler();
        const delta = await deltas.getDelta(made.graph, { reset: true, shallow });
        this.#server._config.serializer.experimentalSerializerHook(made.graph, delta);
      } else {
        made = await build(entry, transform, resolver, others);
        this.#graphs.set(key, made);
      }
      this.#used.add(made.graph);
      return made;
    };
  }
};

/** Waits until the file map `map` has told of all `changes`. */
function hear(map, changes) {
  const missing = new Set(changes.map((change) => change.path));
  if (missing.size === 0) {
    return Promise.resolve();
  }
  return new Promise((heard, failed) => {
    const late = () => failed(new Error(`Metro has not noticed ${[...missing].join(', ')}`));
    const timer = setTimeout(late, HEARD_WITHIN);
    const listen = ({ changes: seen, rootDir }) => {
      for (const files of [seen.addedFiles, seen.modifiedFiles, seen.removedFiles]) {
        for (const [file] of files) {
          missing.delete(path.join(rootDir, file));
        }
      }
      if (missing.size === 0) {
        clearTimeout(timer);
        map.removeListener('change', listen);
        heard();
      }
    };
    map.on('change', listen);
  });
}

function event({ path: file, change }, top) {
  const relativePath = path.relative(top, file);
  if (change === 'deleted') {
    return { event: 'delete', relativePath, root: top, clock: null };
  }
  const { mtimeMs, size } = fs.statSync(file);
  const metadata = { type: 'f', modifiedTime: mtimeMs, size };
  return { event: 'touch', relativePath, root: top, metadata, clock: null };
}

function sha1(bytes) {
  return createHash('sha1').update(bytes).digest('hex');
}
