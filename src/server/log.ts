/** The log: JSON lines, one a record, whatever names are in it. */
import { pino, destination, type Logger } from 'pino';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** To standard error, at once: what is logged before a crash is there after it. */
export function openLog(level: LogLevel): Logger {
  // The journal knows process and host.
  return pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, destination({ fd: 2, sync: true }));
}
