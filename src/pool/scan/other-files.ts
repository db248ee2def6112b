/** What a store's report says of files that are no disk images, of those that were left out, and of those that nobody could see. */
import { formatBytes, quoteForHumans } from '#base';
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
      message: `${counted(others.length, 'other file')} (${formatBytes(allocation)}) taken for no disk image${others.length === 1 ? '' : 's'} and left out.`,
    });
  }
  if (otherHoles > 0) findings.push(holesFinding(holed, otherHoles));
  if (excluded.files + excluded.directories > 0) {
    const parts = [
      ...(excluded.files > 0 ? [counted(excluded.files, 'file')] : []),
      ...(excluded.directories > 0 ? [counted(excluded.directories, 'directory', 'directories')] : []),
    ];
    findings.push({
      level: 'info',
      code: 'EXCLUDED',
      message: `${parts.join(' and ')} left out by --exclude: how far they can grow is in none of the sums.`,
    });
  }
  if (inaccessibleProcesses !== 0)
    findings.push({
      level: 'warning',
      code: 'WRITERS_UNKNOWN',
      message: `${inaccessibleText(inaccessibleProcesses)}: a file that was removed while one of them writes it is not in the sums, and a never-written file may be open in one.`,
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
    message: `${formatBytes(otherHoles)} of the residual are holes in ${counted(holed.length, 'other file')}, which writes can fill: ${names.join(', ')}${more}. --exclude or --never-written leaves them out.`,
  };
}

function inaccessibleText(inaccessible: Exclude<StoreInput['inaccessibleProcesses'], 0>): string {
  if (inaccessible === 'all') return 'The processes could not be listed';
  if (inaccessible === 'hidepid') return '/proc hides the processes of others';
  if (inaccessible === 'pid-namespace') return 'Processes outside of this container are not visible';
  return `${counted(inaccessible, 'process', 'processes')} could not be looked into`;
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
