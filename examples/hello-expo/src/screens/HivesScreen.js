import { Image, StyleSheet, Text, View } from 'react-native';

import { Cell, Figure, Panel, Screen, Section } from '../components';
import { latestWeight, useDiary, weekGain } from '../diary';
import { greeting } from '../greeting';
import { useNavigation } from '../navigation';
import { colors, radius, space, type } from '../theme';

export default function HivesScreen() {
  const { hives, inspections } = useDiary();
  const { open } = useNavigation();
  const total = hives.reduce((sum, hive) => sum + latestWeight(hive), 0);

  return (
    <Screen title="Hive Diary" subtitle={greeting}>
      <Image
        source={require('../../assets/meadow.png')}
        style={styles.picture}
        accessibilityLabel="Honeycomb above a meadow at dusk"
      />
      <Panel>
        <View style={styles.figures}>
          <Figure value={hives.length} label="Hives" />
          <Figure value={total.toFixed(1)} label="Kilograms" />
          <Figure value={inspections.length} label="Inspections" />
        </View>
      </Panel>
      <Section title="Your hives">
        {hives.map((hive) => (
          <HiveRow key={hive.id} hive={hive} onPress={() => open('hive', { id: hive.id })} />
        ))}
      </Section>
    </Screen>
  );
}

function HiveRow({ hive, onPress }) {
  const gain = weekGain(hive);
  return (
    <Panel onPress={onPress} label={`Open ${hive.name}`}>
      <View style={styles.row}>
        <Cell tint={hive.tint} />
        <View style={styles.grow}>
          <Text style={[type.body, styles.name]}>{hive.name}</Text>
          <Text style={type.small}>{hive.place}</Text>
        </View>
        <Text style={[type.mono, { color: gain < 0 ? colors.error : colors.success }]}>
          {gain < 0 ? '−' : '+'}
          {Math.abs(gain).toFixed(1)} kg
        </Text>
      </View>
    </Panel>
  );
}

const styles = StyleSheet.create({
  picture: { width: '100%', height: space(22), marginVertical: space(2), borderRadius: radius.panel },
  figures: { flexDirection: 'row', gap: space(1) },
  row: { flexDirection: 'row', alignItems: 'center', gap: space(2) },
  grow: { flex: 1 },
  name: { fontWeight: '600' },
});
