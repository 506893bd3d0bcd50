// Programs that the project's tools start of themselves: which ones, and what
// of the project they read, is known of the tools.
'use strict';

const PACKAGE = /[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)[\\/](?!.*[\\/]node_modules[\\/])/;
/** What others start programs with. */
const STARTERS = ['@expo/spawn-async', 'cross-spawn', 'execa', 'jest-worker'];
const TOOLS = /^(?:expo|react-native|metro(?:-.*)?|@(?:expo|react-native|react-native-community)[\\/].*)$/;

/** Whether a tool has started one, by the stack of the call. */
exports.started = (stack) => {
  const packages = stack.split('\n').flatMap((line) => PACKAGE.exec(line)?.[1] ?? []);
  const starter = packages.find((name) => !STARTERS.includes(name));
  return starter !== undefined && TOOLS.test(starter);
};
