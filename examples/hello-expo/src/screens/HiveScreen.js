import { StyleSheet, Text, View } from 'react-native';

import { Button, Cell, Inspection, Panel, Screen, Section } from '../components';
import { useDiary } from '../diary';
import { useNavigation } from '../navigation';
import { radius, space, type } from '../theme';

export default function HiveScreen({ id }) {
  const { hive: hiveById, inspectionsOf } = useDiary();
  const { back, open } = useNavigation();
  const hive = hiveById(id);
  const inspections = inspectionsOf(id);

  return (
    <Screen title={hive.name} subtitle={hive.place} onBack={back}>
      <Section title="Weight, last seven days">
        <Panel>
          <WeightChart weights={hive.weights} tint={hive.tint} />
        </Panel>
      </Section>
      <Section title="Queen">
        <Panel>
          <View style={styles.row}>
            <Cell tint={hive.tint} size={24} />
            <Text style={type.body}>{hive.queen}</Text>
          </View>
        </Panel>
      </Section>
      <Section title="Inspections">
        {inspections.length === 0 && <Text style={type.small}>None yet. Write the first one below.</Text>}
        {inspections.map((inspection) => (
          <Inspection key={inspection.id} inspection={inspection} />
        ))}
        <Button label="Write an inspection" onPress={() => open('inspect', { id })} />
      </Section>
    </Screen>
  );
}

function WeightChart({ weights, tint }) {
  // The bars start a little below the lightest day, so that small changes can be seen.
  const floor = Math.min(...weights) - 2;
  const span = Math.max(...weights) - floor;
  return (
    <View accessible accessibilityLabel={`From ${weights[0]} to ${weights.at(-1)} kilograms`}>
      <View style={styles.chart}>
        {weights.map((weight, day) => (
          <View
            key={day}
            style={[styles.bar, { height: `${((weight - floor) / span) * 100}%`, backgroundColor: tint }]}
          />
        ))}
      </View>
      <View style={styles.scale}>
        <Text style={type.label}>{weights[0]} kg</Text>
        <Text style={type.label}>{weights.at(-1)} kg</Text>
      </View>
    </View>
  );
}

const styles = StyleSheet.create({
  row: { flexDirection: 'row', alignItems: 'center', gap: space(1) },
  chart: { height: space(14), flexDirection: 'row', alignItems: 'flex-end', gap: space(1) },
  bar: { flex: 1, borderTopLeftRadius: radius.small, borderTopRightRadius: radius.small },
  scale: { flexDirection: 'row', justifyContent: 'space-between', marginTop: space(1) },
});
