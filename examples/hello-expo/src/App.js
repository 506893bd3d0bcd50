import { Pressable, StatusBar, StyleSheet, Text, View } from 'react-native';
import { SafeAreaProvider, SafeAreaView } from 'react-native-safe-area-context';

import { Cell } from './components';
import { DiaryProvider } from './diary';
import { NavigationProvider, useNavigation } from './navigation';
import AboutScreen from './screens/AboutScreen';
import HiveScreen from './screens/HiveScreen';
import HivesScreen from './screens/HivesScreen';
import InspectScreen from './screens/InspectScreen';
import JournalScreen from './screens/JournalScreen';
import { colors, space, type } from './theme';

const tabs = [
  { name: 'hives', label: 'Hives', Component: HivesScreen },
  { name: 'journal', label: 'Journal', Component: JournalScreen },
  { name: 'about', label: 'About', Component: AboutScreen },
];

const screens = { hive: HiveScreen, inspect: InspectScreen };

export default function App() {
  return (
    <SafeAreaProvider>
      <DiaryProvider>
        <NavigationProvider firstTab="hives">
          <SafeAreaView style={styles.app}>
            <StatusBar barStyle="light-content" />
            <CurrentScreen />
            <TabBar />
          </SafeAreaView>
        </NavigationProvider>
      </DiaryProvider>
    </SafeAreaProvider>
  );
}

function CurrentScreen() {
  const { tab, top } = useNavigation();
  if (top) {
    const Opened = screens[top.screen];
    return <Opened {...top.params} />;
  }
  const { Component } = tabs.find(({ name }) => name === tab);
  return <Component />;
}

function TabBar() {
  const { tab, select } = useNavigation();
  return (
    <View style={styles.bar} accessibilityRole="tablist">
      {tabs.map(({ name, label }) => {
        const color = name === tab ? colors.primary : colors.secondary;
        return (
          <Pressable
            key={name}
            accessibilityRole="tab"
            aria-selected={name === tab}
            onPress={() => select(name)}
            style={({ focused }) => [styles.tab, focused && styles.focused]}
          >
            <Cell tint={color} size={16} />
            <Text style={[type.label, { color }]}>{label}</Text>
          </Pressable>
        );
      })}
    </View>
  );
}

const styles = StyleSheet.create({
  app: { flex: 1, backgroundColor: colors.background },
  bar: { flexDirection: 'row', borderTopWidth: 1, borderTopColor: colors.divider, backgroundColor: colors.panel },
  tab: { flex: 1, minHeight: space(7), alignItems: 'center', justifyContent: 'center', gap: space(0.5) },
  focused: { outlineColor: colors.accent, outlineStyle: 'solid', outlineWidth: 2, outlineOffset: -2 },
});
