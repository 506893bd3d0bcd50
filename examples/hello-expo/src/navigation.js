// Navigation: a tab, and above it a stack of opened screens. Choosing a tab empties the stack.
import { createContext, useContext, useEffect, useMemo, useReducer } from 'react';
import { BackHandler } from 'react-native';

const NavigationContext = createContext(null);

function reduce(state, action) {
  switch (action.kind) {
    case 'select':
      return { tab: action.tab, stack: [] };
    case 'open':
      return { ...state, stack: [...state.stack, { screen: action.screen, params: action.params }] };
    case 'back':
      return { ...state, stack: state.stack.slice(0, -1) };
    default:
      throw new Error(`navigation knows no action "${action.kind}"`);
  }
}

export function NavigationProvider({ firstTab, children }) {
  const [state, dispatch] = useReducer(reduce, { tab: firstTab, stack: [] });
  const depth = state.stack.length;

  useEffect(() => {
    // Android's back button leaves the app only from a tab's first screen.
    const subscription = BackHandler.addEventListener('hardwareBackPress', () => {
      if (depth === 0) {
        return false;
      }
      dispatch({ kind: 'back' });
      return true;
    });
    return () => subscription.remove();
  }, [depth]);

  const navigation = useMemo(
    () => ({
      tab: state.tab,
      top: state.stack.at(-1),
      select: (tab) => dispatch({ kind: 'select', tab }),
      open: (screen, params) => dispatch({ kind: 'open', screen, params }),
      back: () => dispatch({ kind: 'back' }),
    }),
    [state],
  );
  return <NavigationContext.Provider value={navigation}>{children}</NavigationContext.Provider>;
}

export const useNavigation = () => useContext(NavigationContext);
