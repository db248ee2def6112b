/** The capabilities of an output stream: its width, and whether it shows colour. */

export type Style = 'strong' | 'faint' | 'good' | 'warning' | 'danger';

export interface Theme {
  /** Columns of a line. */
  readonly width: number;
  readonly terminal: boolean;
  /** `text` in a style, or as it is where there is no colour. */
  paint(style: Style, text: string): string;
}

const SELECT_GRAPHIC: Readonly<Record<Style, number>> = { strong: 1, faint: 2, good: 32, warning: 33, danger: 31 };

const DEFAULT_WIDTH = 80;
/** Narrower than this nothing is readable: let the terminal wrap instead. */
const MIN_WIDTH = 40;

/** No colour; 80 columns by default. */
export function plainTheme(width = DEFAULT_WIDTH): Theme {
  return { width, terminal: false, paint: (_style, text) => text };
}

/** The theme of a stream: colour only on a terminal, and not when NO_COLOR is set or the terminal is dumb. */
export function themeOf(stream: { isTTY?: boolean; columns?: number }, env: NodeJS.ProcessEnv): Theme {
  const terminal = stream.isTTY === true;
  const asked = Number(env['COLUMNS']);
  const columns = (terminal ? stream.columns : undefined) ?? (Number.isInteger(asked) && asked > 0 ? asked : DEFAULT_WIDTH);
  const width = Math.max(MIN_WIDTH, columns);
  const colour = terminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  if (!colour) return { ...plainTheme(width), terminal };
  return { width, terminal, paint: (style, text) => `\u001b[${SELECT_GRAPHIC[style]}m${text}\u001b[0m` };
}
