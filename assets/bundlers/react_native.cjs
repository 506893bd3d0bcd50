// React Native without Expo: what `react-native bundle` does, by the command's
// own function, but for the Metro server, which is made once.
'use strict';

const { createRequire } = require('node:module');
const path = require('node:path');

const inputs = require('./inputs.cjs');
const { Kept, feedable } = require('./metro.cjs');
const shapes = require('./shapes.cjs');

exports.start = async ({ root, platform, entry }) => {
  shapes.any(root);
  const project = createRequire(path.join(root, 'package.json'));
  const reactNative = createRequire(project.resolve('react-native/package.json'));
  const cli = createRequire(communityCli(project, reactNative));
  const context = await cli('@react-native-community/cli-config').loadConfigAsync({});
  const command = context.commands.find(({ name }) => name === 'bundle');
  if (!command) {
    throw new Error('the project has no `bundle` command');
  }
  const plugin = createRequire(reactNative.resolve('@react-native/community-cli-plugin'));
  const metro = createRequire(plugin.resolve('metro/package.json'));
  feedable(metro, 'metro-file-map');
  const bundler = new ReactNative({ platform, entry, context, command });
  bundler.keepServer(metro('./src/Server.js'));
  return bundler;
};

function communityCli(project, reactNative) {
  try {
    return project.resolve('@react-native-community/cli');
  } catch {
    return reactNative.resolve('@react-native-community/cli');
  }
}

class ReactNative {
  #facts;
  #kept = null;

  constructor(facts) {
    this.#facts = facts;
  }

  /** Lets `new Server` answer the one that was made first, and never end it. */
  keepServer(module) {
    let first = null;
    const made = (server) => {
      first = server;
      this.#kept = new Kept(server);
      inputs.configured();
    };
    module.default = class extends module.default {
      constructor(config, options) {
        if (first) {
          return first;
        }
        super(config, options);
        made(this);
      }

      async end() {}
    };
  }

  bundles(file) {
    return this.#kept?.bundles(file) ?? false;
  }

  stale(changes) {
    return this.#kept?.stale(changes);
  }

  async build({ out, changes }) {
    const { platform, entry, context, command } = this.#facts;
    await this.#kept?.begin(changes);
    await command.func([], context, {
      ...defaults(command, context),
      entryFile: entry,
      platform,
      dev: false,
      bundleOutput: path.join(out, 'main.jsbundle'),
      // As for the command: iOS apps look for a folder `assets` beside it.
      assetsDest: platform === 'ios' ? out : path.join(out, 'assets'),
      maxWorkers: 1,
    });
    // The command loads Metro's configuration anew and looks whether React
    // Native's was part of it; node has it loaded already.
    Object.defineProperty(globalThis, '__REACT_NATIVE_METRO_CONFIG_LOADED', {
      get: () => true,
      set: () => {},
    });
    return this.#kept.proof(changes);
  }
}

/** The options of a command that nobody gave, as the command line has them. */
function defaults(command, context) {
  const options = {};
  for (const { name, default: value } of command.options ?? []) {
    const long = /--([\w-]+)/.exec(name)?.[1];
    if (long && value !== undefined) {
      const camel = long.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
      options[camel] = typeof value === 'function' ? value(context) : value;
    }
  }
  return options;
}
