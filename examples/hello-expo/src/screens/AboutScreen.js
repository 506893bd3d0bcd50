import { Platform, StyleSheet, Text, View } from 'react-native';

import { expo as app } from '../../app.json';
import { dependencies } from '../../package.json';
import { Panel, Screen, Section } from '../components';
import { colors, space, type } from '../theme';

const facts = [
  ['Platform', Platform.OS],
  ['App version', app.version],
  ['Runtime version', app.runtimeVersion],
  ['React Native', dependencies['react-native']],
  ['JavaScript engine', globalThis.HermesInternal ? 'Hermes' : 'the browser’s'],
];

export default function AboutScreen() {
  return (
    <Screen title="About" subtitle="A small notebook that HiveSync builds to show itself at work.">
      <Section title="This preview">
        <Panel>
          {facts.map(([name, value]) => (
            <View key={name} style={styles.fact}>
              <Text style={[type.small, styles.grow]}>{name}</Text>
              <Text style={type.mono}>{value}</Text>
            </View>
          ))}
        </Panel>
      </Section>
      <Section title="Try it">
        <Panel>
          <Text style={type.body}>
            Change the sentence in <Text style={[type.mono, styles.path]}>src/greeting.js</Text>, push, and open the
            preview again.
          </Text>
        </Panel>
      </Section>
    </Screen>
  );
}

const styles = StyleSheet.create({
  fact: { flexDirection: 'row', alignItems: 'center', gap: space(2) },
  grow: { flex: 1 },
  path: { color: colors.primary },
});
