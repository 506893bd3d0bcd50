// Expo: what `expo export --no-bytecode` does, by the functions that it does
// it with, but for the Metro server, which is started once.
'use strict';

const { createRequire } = require('node:module');
const { existsSync } = require('node:fs');
const path = require('node:path');

const inputs = require('./inputs.cjs');
const { Kept, feedable } = require('./metro.cjs');
const shapes = require('./shapes.cjs');

/** Settings under which Expo changes modules in place while it serialises. */
const IN_PLACE = ['EXPO_UNSTABLE_METRO_OPTIMIZE_GRAPH', 'EXPO_UNSTABLE_TREE_SHAKING'];
/** Where expo-router looks for its routes; Expo decides once, at its start. */
const ROUTES = ['app', 'src/app'];
/** Style sheets that are made of other files, which Metro is not told of. */
const SASS = /\.s[ac]ss$/;

exports.start = async ({ root, platform }) => {
  const project = createRequire(path.join(root, 'package.json'));
  const expo = createRequire(project.resolve('expo/package.json'));
  const load = createRequire(expo.resolve('@expo/cli/package.json'));
  const part = (name) => load(`./build/src/${name}.js`);
  const { exportAppAsync } = part('export/exportApp');
  const { resolveOptionsAsync } = part('export/resolveOptions');
  const { DevServerManager } = part('start/server/DevServerManager');
  if (typeof exportAppAsync !== 'function' || typeof resolveOptionsAsync !== 'function') {
    throw new Error('@expo/cli is not as this version of HiveSync knows it');
  }
  const { exp } = load('@expo/config').getConfig(root, { skipSDKVersionRequirement: true });
  shapes.expo(root, platform, exp);
  feedable(load, fileMap(load));
  const bundler = new Expo({ root, platform, exportAppAsync, resolveOptionsAsync });
  const begin = DevServerManager.startMetroAsync;
  DevServerManager.startMetroAsync = (...words) =>
    bundler.manager(() => begin.apply(DevServerManager, words));
  return bundler;
};

/** The package of the file map: Expo has its own since SDK 56. */
function fileMap(load) {
  try {
    load.resolve('@expo/metro-file-map');
    return '@expo/metro-file-map';
  } catch {
    return 'metro-file-map';
  }
}

class Expo {
  #facts;
  #manager = null;
  #kept = null;
  #routes;

  constructor(facts) {
    this.#facts = facts;
    this.#routes = routes(facts.root);
  }

  /** Answers the one manager of Metro servers, which `begin` makes. */
  async manager(begin) {
    if (!this.#manager) {
      const manager = await begin();
      manager.stopAsync = async () => {};
      this.#kept = new Kept(manager.getDefaultDevServer().metro);
      this.#manager = manager;
      inputs.configured();
    }
    return this.#manager;
  }

  bundles(file) {
    return this.#kept?.bundles(file) ?? false;
  }

  stale(changes) {
    const set = IN_PLACE.find((name) => process.env[name]);
    if (set) {
      return `${set} is set`;
    }
    if (routes(this.#facts.root) !== this.#routes) {
      return 'the folder of the routes has changed';
    }
    const sheet = changes.find(({ path: file }) => SASS.test(file));
    if (sheet && this.#facts.platform === 'web') {
      return `${path.relative(this.#facts.root, sheet.path)} may be a part of other style sheets`;
    }
    return this.#kept?.stale(changes);
  }

  async build({ out, changes }) {
    const { root, platform, exportAppAsync, resolveOptionsAsync } = this.#facts;
    await this.#kept?.begin(changes);
    const options = await resolveOptionsAsync(root, {
      '--platform': [platform],
      '--output-dir': out,
      '--no-bytecode': platform !== 'web',
      '--max-workers': 1,
    });
    await exportAppAsync(root, options);
    return this.#kept.proof(changes);
  }
}

function routes(root) {
  return ROUTES.filter((name) => existsSync(path.join(root, name))).join();
}
