// The diary: hives and their inspections, kept in memory for as long as the app runs.
import { createContext, useContext, useMemo, useReducer } from 'react';

const initial = {
  hives: [
    {
      id: 'linden',
      name: 'Linden',
      place: 'Behind the barn, facing south',
      tint: '#F2C94C',
      queen: 'Marked yellow, second year',
      weights: [24.1, 24.9, 26.0, 27.8, 29.5, 31.2, 33.4],
    },
    {
      id: 'clover',
      name: 'Clover',
      place: 'Edge of the meadow',
      tint: '#27AE60',
      queen: 'Unmarked, seen in May',
      weights: [21.7, 22.0, 22.8, 23.1, 24.6, 25.2, 26.1],
    },
    {
      id: 'heather',
      name: 'Heather',
      place: 'Up the hill, third terrace',
      tint: '#3A8DFF',
      queen: 'Marked blue, first year',
      weights: [19.8, 20.3, 20.1, 19.6, 19.2, 18.7, 18.1],
    },
  ],
  inspections: [
    { id: 3, hiveId: 'heather', day: 'Saturday', mood: 'watch', text: 'Losing weight. Fed two litres of syrup.' },
    { id: 2, hiveId: 'linden', day: 'Friday', mood: 'good', text: 'Second super is full, eight frames capped.' },
    { id: 1, hiveId: 'clover', day: 'Wednesday', mood: 'good', text: 'Brood on five frames, calm as ever.' },
  ],
};

function reduce(state, action) {
  switch (action.kind) {
    case 'inspected': {
      const { hiveId, mood, text } = action;
      const id = state.inspections.length + 1;
      return { ...state, inspections: [{ id, hiveId, mood, text, day: 'Today' }, ...state.inspections] };
    }
    default:
      throw new Error(`the diary knows no action "${action.kind}"`);
  }
}

const DiaryContext = createContext(null);

export function DiaryProvider({ children }) {
  const [state, dispatch] = useReducer(reduce, initial);
  const diary = useMemo(
    () => ({
      ...state,
      hive: (id) => state.hives.find((hive) => hive.id === id),
      inspectionsOf: (id) => state.inspections.filter((inspection) => inspection.hiveId === id),
      inspect: (hiveId, mood, text) => dispatch({ kind: 'inspected', hiveId, mood, text }),
    }),
    [state],
  );
  return <DiaryContext.Provider value={diary}>{children}</DiaryContext.Provider>;
}

export const useDiary = () => useContext(DiaryContext);

export const latestWeight = (hive) => hive.weights.at(-1);

/** Kilograms gained over the last week; negative when the hive lost weight. */
export const weekGain = (hive) => latestWeight(hive) - hive.weights[0];
