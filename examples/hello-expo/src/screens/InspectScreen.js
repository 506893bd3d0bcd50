import { useState } from 'react';
import { Pressable, StyleSheet, Text, TextInput, View } from 'react-native';

import { Button, Screen, Section } from '../components';
import { useDiary } from '../diary';
import { useNavigation } from '../navigation';
import { colors, radius, space, type } from '../theme';

const moods = [
  { value: 'good', label: 'All well' },
  { value: 'watch', label: 'Watch' },
];

export default function InspectScreen({ id }) {
  const { hive, inspect } = useDiary();
  const { back } = useNavigation();
  const [mood, setMood] = useState('good');
  const [text, setText] = useState('');
  const [missing, setMissing] = useState(false);

  const save = () => {
    if (text.trim() === '') {
      setMissing(true);
      return;
    }
    inspect(id, mood, text.trim());
    back();
  };

  return (
    <Screen title="New inspection" subtitle={hive(id).name} onBack={back}>
      <Section title="How is it?">
        <View style={styles.row} accessibilityRole="radiogroup">
          {moods.map(({ value, label }) => (
            <Pressable
              key={value}
              accessibilityRole="radio"
              aria-checked={mood === value}
              onPress={() => setMood(value)}
              style={({ focused }) => [styles.choice, mood === value && styles.chosen, focused && styles.focused]}
            >
              <Text style={[type.body, mood === value && styles.chosenText]}>{label}</Text>
            </Pressable>
          ))}
        </View>
      </Section>
      <Section title="What did you see?">
        <TextInput
          accessibilityLabel="What did you see?"
          multiline
          value={text}
          onChangeText={(next) => {
            setText(next);
            setMissing(false);
          }}
          placeholder="Brood, stores, temper"
          placeholderTextColor={colors.secondary}
          style={[type.body, styles.input, missing && styles.inputMissing]}
        />
        {missing && <Text style={[type.small, styles.missing]}>Write at least a word before saving.</Text>}
        <Button label="Save" onPress={save} />
      </Section>
    </Screen>
  );
}

const styles = StyleSheet.create({
  row: { flexDirection: 'row', gap: space(1) },
  choice: {
    flex: 1,
    minHeight: space(6),
    alignItems: 'center',
    justifyContent: 'center',
    borderRadius: radius.large,
    borderWidth: 1,
    borderColor: colors.input,
  },
  chosen: { borderColor: colors.primary, backgroundColor: colors.primary },
  chosenText: { color: colors.background, fontWeight: '600' },
  focused: { outlineColor: colors.accent, outlineStyle: 'solid', outlineWidth: 2, outlineOffset: 2 },
  input: {
    minHeight: space(14),
    padding: space(2),
    borderRadius: radius.large,
    borderWidth: 1,
    borderColor: colors.input,
    backgroundColor: colors.panel,
    textAlignVertical: 'top',
  },
  inputMissing: { borderColor: colors.error },
  missing: { color: colors.error },
});
