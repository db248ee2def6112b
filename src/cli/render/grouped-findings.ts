/** The findings of a store and the findings and errors of its images, with identical ones grouped. */
import { escapeForTerminal } from '#base';
import type { FindingLevel, ScannedImage, StoreReport } from '#wire';
import { bySeverity, markedLines, textWithCode } from './findings.ts';
import type { Theme } from './theme.ts';

interface Group {
  readonly level: FindingLevel;
  readonly text: string;
  /** Further images that have it, beside the one shown. */
  others: number;
}

export function groupedFindingLines(store: StoreReport, theme: Theme): string[] {
  const groups = bySeverity([...store.findings.map(storeGroup), ...imageGroups(store.images)]);
  if (groups.length === 0) return [];
  return ['', ...groups.flatMap((group) => markedLines(group.level, groupText(group), theme))];
}

function storeGroup(finding: StoreReport['findings'][number]): Group {
  return { level: finding.level, text: textWithCode(finding), others: 0 };
}

/** Grouped by code; the table shows which images could not be read. A group shows its image of the highest risk, the first in the report. */
function imageGroups(images: readonly ScannedImage[]): Group[] {
  const groups = new Map<string, Group>();
  const add = (key: string, level: FindingLevel, image: ScannedImage, said: { message: string; code: string }): void => {
    const group = groups.get(key);
    if (group !== undefined) group.others += 1;
    else groups.set(key, { level, text: `${escapeForTerminal(image.path)}: ${textWithCode(said)}`, others: 0 });
  };
  for (const image of images) {
    if (image.error !== undefined) add(`error ${image.error.code}`, 'critical', image, image.error);
    for (const finding of image.findings) add(`${finding.level} ${finding.code}`, finding.level, image, finding);
  }
  return [...groups.values()];
}

function groupText(group: Group): string {
  if (group.others === 0) return group.text;
  return `${group.text} (and ${group.others} more ${group.others === 1 ? 'image' : 'images'} like it; --json lists them)`;
}
