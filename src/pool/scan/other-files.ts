/**
 * Findings of a store about files that are not disk images, excluded files, and processes that could not be inspected.
 */
import { formatBytes, plural, quoteForHumans } from '#base';
import type { Finding } from '#wire';
import type { OtherFile, StoreInput } from './store.ts';

/** Names in a sentence; there can be thousands. */
const NAMED_FILES = 5;
const NAME_CHARACTERS = 120;

/** `holed`: those of the other files whose holes count, `otherHoles` bytes together. */
export function otherFindings(input: StoreInput, holed: readonly OtherFile[], otherHoles: number): Finding[] {
  const { others, excluded, inaccessibleProcesses } = input;
  const findings: Finding[] = [];
  if (others.length > 0) {
    const allocation = others.reduce((sum, other) => sum + other.allocation, 0);
    findings.push({
      level: 'info',
      code: 'OTHER_FILES',
      message: `${plural(others.length, 'other file')} (${formatBytes(allocation)}) skipped: not ${others.length === 1 ? 'a disk image' : 'disk images'}.`,
    });
  }
  if (otherHoles > 0) findings.push(holesFinding(holed, otherHoles));
  if (excluded.files + excluded.directories > 0) {
    const parts = [
      ...(excluded.files > 0 ? [plural(excluded.files, 'file')] : []),
      ...(excluded.directories > 0 ? [plural(excluded.directories, 'directory', 'directories')] : []),
    ];
    findings.push({
      level: 'info',
      code: 'EXCLUDED',
      message: `${parts.join(' and ')} excluded by --exclude: the sums do not include their growth.`,
    });
  }
  if (inaccessibleProcesses !== 0)
    findings.push({
      level: 'warning',
      code: 'WRITERS_UNKNOWN',
      message: `${inaccessibleText(inaccessibleProcesses)}: a removed file that one of them still writes is missing from the sums, and a never-written file may be open in one of them.`,
    });
  return findings;
}

function holesFinding(holed: readonly OtherFile[], otherHoles: number): Finding {
  const largest = holed.toSorted((a, b) => b.holes - a.holes).slice(0, NAMED_FILES);
  const names = largest.map(({ paths: [path = ''], holes }) => `${quoteForHumans(path, NAME_CHARACTERS)} (${formatBytes(holes)})`);
  const more = holed.length > largest.length ? `, and ${holed.length - largest.length} more` : '';
  return {
    level: 'info',
    code: 'OTHER_HOLES',
    message: `${formatBytes(otherHoles)} of the residual are holes in ${plural(holed.length, 'other file')}, which writes can fill: ${names.join(', ')}${more}. Exclude them with --exclude or --never-written.`,
  };
}

function inaccessibleText(inaccessible: Exclude<StoreInput['inaccessibleProcesses'], 0>): string {
  if (inaccessible === 'all') return 'The processes could not be listed';
  if (inaccessible === 'hidepid') return '/proc hides the processes of other users';
  if (inaccessible === 'pid-namespace') return 'Processes outside this container are not visible';
  return `${plural(inaccessible, 'process', 'processes')} could not be inspected`;
}
