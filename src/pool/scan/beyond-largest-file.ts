/**
 * Images that cannot reach the length that their guests can give them, because of their filesystem or a limit of a
 * process.
 */
import type { Finding, ScannedImage } from '#wire';

export interface BeyondLongest {
  /** What ends a file. */
  readonly by: 'filesystem' | 'process';
  /** Paths of images of which writes will fail. */
  readonly certain: readonly string[];
  /** Paths of images of which writes may fail. */
  readonly possible: readonly string[];
}

export function imagesBeyond(rows: readonly ScannedImage[]): BeyondLongest[] {
  const having = (code: string): string[] =>
    rows
      .filter(
        ({ findings }) =>
          findings.some((finding) => finding.code === code) && !findings.some((finding) => finding.code === 'IMAGE_UNWRITABLE'),
      )
      .map(({ path }) => path);
  return [
    { by: 'filesystem', certain: having('EXCEEDS_LARGEST_FILE'), possible: having('MAY_EXCEED_LARGEST_FILE') },
    { by: 'process', certain: having('EXCEEDS_PROCESS_LIMIT'), possible: having('MAY_EXCEED_PROCESS_LIMIT') },
  ];
}

export function tooLongFindings(found: readonly BeyondLongest[]): Finding[] {
  return found.flatMap(({ by, certain, possible }) => [
    ...(certain.length > 0 ? [beyond(by, certain, 'critical', 'will fail')] : []),
    ...(possible.length > 0 ? [beyond(by, possible, 'warning', 'may fail')] : []),
  ]);
}

const ENDS = {
  filesystem: 'The filesystem ends a file',
  process: 'The limit of the writing process (RLIMIT_FSIZE) ends a file',
} as const;

function beyond(by: BeyondLongest['by'], [first = '', ...others]: readonly string[], level: Finding['level'], outcome: string): Finding {
  const more = others.length === 0 ? '' : ` and ${others.length} more`;
  return {
    level,
    code: by === 'filesystem' ? 'IMAGES_EXCEED_LARGEST_FILE' : 'IMAGES_EXCEED_PROCESS_LIMIT',
    message: `${ENDS[by]} before these images are full, and writes ${outcome}: ${first}${more}.`,
  };
}
