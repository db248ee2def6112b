/** The exit codes prescribed by Nagios for plugins; the only exception to plimsoll's own table. */
import type { Level } from '#wire';

export const NAGIOS_EXITS: Readonly<Record<Level, number>> = { ok: 0, warning: 1, critical: 2, unknown: 3 };
export const UNKNOWN_EXIT = NAGIOS_EXITS.unknown;
