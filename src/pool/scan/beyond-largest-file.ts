/** Images that their filesystem does not let become as long as their guests can make them. */
import type { Finding, ScannedImage } from '#wire';

export interface BeyondLargestFile {
  /** Paths of images of which writes will fail. */
  readonly certain: readonly string[];
  /** Paths of images of which writes may fail. */
  readonly possible: readonly string[];
}

export function imagesBeyondLargestFile(rows: readonly ScannedImage[]): BeyondLargestFile {
  const having = (code: string): string[] =>
    rows
      .filter(
        ({ findings }) =>
          findings.some((finding) => finding.code === code) && !findings.some((finding) => finding.code === 'IMAGE_UNWRITABLE'),
      )
      .map(({ path }) => path);
  return { certain: having('EXCEEDS_LARGEST_FILE'), possible: having('MAY_EXCEED_LARGEST_FILE') };
}

export function largestFileFindings({ certain, possible }: BeyondLargestFile): Finding[] {
  return [
    ...(certain.length > 0 ? [beyond(certain, 'danger', 'will fail')] : []),
    ...(possible.length > 0 ? [beyond(possible, 'warning', 'may fail')] : []),
  ];
}

function beyond([first = '', ...others]: readonly string[], level: Finding['level'], outcome: string): Finding {
  const more = others.length === 0 ? '' : ` and ${others.length} more`;
  return {
    level,
    code: 'IMAGES_EXCEED_LARGEST_FILE',
    message: `The filesystem ends a file before these images are full, and writes ${outcome}: ${first}${more}.`,
  };
}
