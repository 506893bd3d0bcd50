// The palette and the scale that every screen draws from.
import { Platform } from 'react-native';

export const colors = {
  background: '#0A0A0C',
  panel: '#16171A',
  divider: '#27292D',
  input: '#3A3D44',
  secondary: '#9BA1AA',
  light: '#ECEFF2',
  primary: '#F2C94C',
  accent: '#3A8DFF',
  gold: '#F2B01C',
  success: '#27AE60',
  error: '#EB5757',
};

export const space = (steps) => steps * 8;

export const radius = { small: 4, medium: 6, large: 8, panel: 12 };

const sans = Platform.select({
  web: 'Inter, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif',
  default: undefined,
});

const mono = Platform.select({
  web: '"JetBrains Mono", ui-monospace, Menlo, Consolas, monospace',
  ios: 'Menlo',
  default: 'monospace',
});

export const type = {
  title: { fontFamily: sans, fontSize: 24, lineHeight: 32, fontWeight: '700', color: colors.light },
  heading: { fontFamily: sans, fontSize: 18, lineHeight: 24, fontWeight: '600', color: colors.light },
  body: { fontFamily: sans, fontSize: 16, lineHeight: 24, color: colors.light },
  small: { fontFamily: sans, fontSize: 14, lineHeight: 20, color: colors.secondary },
  label: { fontFamily: sans, fontSize: 12, lineHeight: 16, fontWeight: '600', color: colors.secondary },
  figure: { fontFamily: sans, fontSize: 32, lineHeight: 40, fontWeight: '700', color: colors.light },
  mono: { fontFamily: mono, fontSize: 14, lineHeight: 20, color: colors.light },
};
