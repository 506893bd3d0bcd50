import { useState } from 'react';
import { Text } from 'react-native';

import { Button, Inspection, Screen, Section } from '../components';
import { useDiary } from '../diary';
import { type } from '../theme';

export default function JournalScreen() {
  const { hive, inspections } = useDiary();
  const [worriesOnly, setWorriesOnly] = useState(false);
  const shown = worriesOnly ? inspections.filter(({ mood }) => mood === 'watch') : inspections;

  return (
    <Screen title="Journal" subtitle="Every inspection, the newest first.">
      <Button
        kind="quiet"
        label={worriesOnly ? 'Show all' : 'Show worries only'}
        onPress={() => setWorriesOnly(!worriesOnly)}
      />
      <Section title={worriesOnly ? 'Worries' : 'All inspections'}>
        {shown.length === 0 && <Text style={type.small}>Nothing to worry about.</Text>}
        {shown.map((inspection) => (
          <Inspection key={inspection.id} inspection={inspection} hive={hive(inspection.hiveId)} />
        ))}
      </Section>
    </Screen>
  );
}
