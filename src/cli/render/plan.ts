/** Prints the effective settings of a daemon in the syntax of the configuration file. */
import { formatBytes } from '#base';
import type { LevelRule } from '#wire';
import type { ServePlan } from '../serve/plan.ts';

export function planLines(plan: ServePlan): string[] {
  return [
    '[serve]',
    line('listen', plan.listen ?? 'off'),
    line('socket', plan.socket ?? 'off'),
    line('state_directory', plan.stateDirectory),
    ...(plan.tokenFile === undefined ? [] : [line('token_file', plan.tokenFile)]),
    line('interval', durationText(plan.everyMs / 1000)),
    line('full_interval', durationText(plan.fullEveryMs / 1000)),
    line('log_level', plan.logLevel),
    line('raw_files', plan.rawFiles),
    line('allow_directories', plan.allowDirectories),
    ...plan.stores.flatMap(({ directories, rules }) => [
      '',
      '[[store]]',
      line('directories', directories),
      line('policy', rules.policy),
      line('idle_share', rules.idleShare),
      line('floor', sizeText(rules.floor)),
      line('assume', rules.assume),
      line('never_written', rules.neverWritten),
      line('exclude', rules.exclude),
      line('notice', durationText(rules.noticeSeconds)),
      line('relieve', durationText(rules.relieveSeconds)),
      '[store.warning]',
      ...levelLines(rules.warning),
      '[store.critical]',
      ...levelLines(rules.critical),
    ]),
  ];
}

function levelLines({ bytes, percent, seconds }: LevelRule): string[] {
  return [
    line('bytes', bytes === null ? 'off' : sizeText(bytes)),
    line('percent', percent ?? 'off'),
    line('time', seconds === null ? 'off' : durationText(seconds)),
  ];
}

/** As it can be parsed again: exact, in any unit. */
function sizeText(bytes: number): string {
  const text = formatBytes(bytes).replace(' ', '');
  return /\./.test(text) ? `${bytes}` : text;
}

/** In the largest unit that is exact. */
function durationText(seconds: number): string {
  if (seconds > 0 && seconds % 3600 === 0) return `${seconds / 3600}h`;
  return seconds > 0 && seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

/** TOML's strings are JSON's, as far as these go. */
function line(key: string, value: string | number | boolean | readonly string[]): string {
  return `${key} = ${JSON.stringify(value)}`.replaceAll('","', '", "');
}
