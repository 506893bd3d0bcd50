// The few building blocks that all screens share.
import { Image, Pressable, ScrollView, StyleSheet, Text, View } from 'react-native';

import { colors, radius, space, type } from './theme';

export function Screen({ title, subtitle, onBack, children }) {
  return (
    <ScrollView style={styles.scroll} contentContainerStyle={styles.content}>
      {onBack && (
        <Button kind="quiet" label="‹ Back" onPress={onBack} />
      )}
      <Text accessibilityRole="header" style={type.title}>
        {title}
      </Text>
      {subtitle && <Text style={[type.body, styles.subtitle]}>{subtitle}</Text>}
      {children}
    </ScrollView>
  );
}

export function Section({ title, children }) {
  return (
    <View style={styles.section}>
      <Text accessibilityRole="header" style={type.heading}>
        {title}
      </Text>
      {children}
    </View>
  );
}

export function Panel({ children, onPress, label }) {
  if (!onPress) {
    return <View style={styles.panel}>{children}</View>;
  }
  return (
    <Pressable
      accessibilityRole="button"
      accessibilityLabel={label}
      onPress={onPress}
      style={({ pressed, focused }) => [
        styles.panel,
        pressed && styles.panelPressed,
        focused && styles.focused,
      ]}
    >
      {children}
    </Pressable>
  );
}

export function Button({ label, onPress, kind = 'primary' }) {
  const quiet = kind === 'quiet';
  return (
    <Pressable
      accessibilityRole="button"
      onPress={onPress}
      style={({ pressed, focused }) => [
        styles.button,
        quiet ? styles.buttonQuiet : styles.buttonPrimary,
        pressed && styles.buttonPressed,
        focused && styles.focused,
      ]}
    >
      <Text style={[type.body, styles.buttonText, { color: quiet ? colors.accent : colors.background }]}>
        {label}
      </Text>
    </Pressable>
  );
}

/** A hexagon in the colour of a hive. */
export function Cell({ tint, size = 40 }) {
  return (
    <Image
      source={require('../assets/cell.png')}
      style={{ width: size, height: size, tintColor: tint }}
      accessible={false}
    />
  );
}

export function Badge({ mood }) {
  const good = mood === 'good';
  const color = good ? colors.success : colors.error;
  return (
    <View style={[styles.badge, { borderColor: color }]}>
      <Text style={[type.label, { color }]}>{good ? 'All well' : 'Watch'}</Text>
    </View>
  );
}

export function Figure({ value, label }) {
  return (
    <View style={styles.figure}>
      <Text style={type.figure}>{value}</Text>
      <Text style={type.label}>{label}</Text>
    </View>
  );
}

export function Inspection({ inspection, hive }) {
  return (
    <Panel>
      <View style={styles.row}>
        <Text style={[type.label, styles.grow]}>
          {hive ? `${inspection.day} · ${hive.name}` : inspection.day}
        </Text>
        <Badge mood={inspection.mood} />
      </View>
      <Text style={type.body}>{inspection.text}</Text>
    </Panel>
  );
}

const styles = StyleSheet.create({
  scroll: { flex: 1 },
  content: { width: '100%', maxWidth: 640, alignSelf: 'center', padding: space(2), paddingBottom: space(5) },
  subtitle: { color: colors.secondary },
  section: { marginTop: space(3), gap: space(1) },
  panel: {
    padding: space(2),
    gap: space(1),
    borderRadius: radius.panel,
    borderWidth: 1,
    borderColor: colors.divider,
    backgroundColor: colors.panel,
  },
  panelPressed: { backgroundColor: colors.divider },
  focused: { outlineColor: colors.accent, outlineStyle: 'solid', outlineWidth: 2, outlineOffset: 2 },
  button: { minHeight: space(6), paddingHorizontal: space(2), borderRadius: radius.large, justifyContent: 'center' },
  buttonPrimary: { backgroundColor: colors.primary, alignItems: 'center' },
  buttonQuiet: { alignSelf: 'flex-start', marginLeft: -space(2) },
  buttonPressed: { opacity: 0.8 },
  buttonText: { fontWeight: '600' },
  badge: { paddingHorizontal: space(1), paddingVertical: 2, borderRadius: radius.small, borderWidth: 1 },
  figure: { flex: 1 },
  row: { flexDirection: 'row', alignItems: 'center', gap: space(1) },
  grow: { flex: 1 },
});
