/** The log: JSON lines, one a record, whatever names are in it. */
import { pino, destination, type Logger } from 'pino';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** To standard error, synchronously: records before a crash are not lost. */
export function openLog(level: LogLevel): Logger {
  // The journal knows process and host.
  return pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, destination({ fd: 2, sync: true }));
}
