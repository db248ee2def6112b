/** Measured states as text: one line each, and the table of slacks. */
import type { StateTruth } from './truth.ts';
import { dataFileBounds, hostBytes, judge, singleFill, snapshotSlack, worstFill } from './verdict.ts';

export interface SlackTable {
  readonly text: string;
  readonly medianRatio: number;
  readonly worstRatio: number;
}

/** One line: figures of plimsoll (`said`) beside those of QEMU; violations follow, one line each. */
export function describeTruth(truth: StateTruth, verbose = false): string {
  const { violations, slackRatio } = judge(truth);
  const said = truth.said;
  const worst = worstFill(truth, 'allocation');
  const longest = worstFill(truth, 'length');
  const parts = [
    `${truth.name} (${truth.kind}): now ${truth.before.image.allocation}/${truth.before.image.length}`,
    `expected ${said?.expected ?? '-'} vs ${singleFill(truth)?.image.allocation ?? '-'}`,
    `commitment ${said?.commitment ?? '-'}${said?.method === 'stat' ? ' by stat' : ''} vs ${worst.image.allocation} ${worst.fill}`,
    `maxLength ${said?.maxLength ?? '-'} vs ${longest.image.length} ${longest.fill}`,
    `nextSnapshot ${said === undefined ? '-' : (said.nextSnapshot?.bytes ?? 'none')} vs ${truth.snapshot?.cost ?? 'none'}`,
    ...(truth.before.dataFile === undefined ? [] : [describeDataFile(truth)]),
    ...(slackRatio === undefined ? [] : [`slack ${percent(slackRatio)}`]),
    ...describeSnapshotSlack(truth),
    ...(violations.length > 0 ? [`${violations.length} VIOLATIONS`] : []),
  ];
  const details = verbose ? [...describeFills(truth), ...describeComponents(truth)] : [];
  return [parts.join(' | '), ...violations.map((violation) => `    ! ${violation}`), ...details].join('\n');
}

/** The slacks of all states, greatest first, with their median. */
export function slackTable(truths: readonly StateTruth[]): SlackTable {
  const rows = truths
    .flatMap((truth) => {
      const ratio = judge(truth).slackRatio;
      return ratio === undefined ? [] : [{ name: truth.name, kind: truth.kind, ratio }];
    })
    .sort((one, other) => other.ratio - one.ratio);
  const medianRatio = rows[Math.floor(rows.length / 2)]?.ratio ?? Number.NaN;
  const worstRatio = rows[0]?.ratio ?? Number.NaN;
  const lines = rows
    .filter(({ ratio }) => ratio !== 0)
    .map(({ name, kind, ratio }) => `  ${percent(ratio).padStart(9)}  ${name} (${kind})`);
  const text =
    rows.length === 0
      ? 'Slack: plimsoll was not asked'
      : [`Slack of ${rows.length} states: median ${percent(medianRatio)}, worst ${percent(worstRatio)}; 0 where not listed`, ...lines].join(
          '\n',
        );
  return { text, medianRatio, worstRatio };
}

function describeSnapshotSlack(truth: StateTruth): string[] {
  const ratio = snapshotSlack(truth);
  return ratio === undefined ? [] : [`slack after a snapshot ${percent(ratio)}`];
}

function describeDataFile(truth: StateTruth): string {
  const reached = Math.max(...truth.fills.map((fill) => fill.dataFile?.allocation ?? 0));
  const length = Math.max(...truth.fills.map((fill) => fill.dataFile?.length ?? 0));
  return `data file ${(truth.said === undefined ? undefined : dataFileBounds(truth.said).commitment) ?? '-'} vs ${reached}, length ${length}`;
}

function describeFills(truth: StateTruth): string[] {
  return truth.fills.map(({ fill, image }) => {
    const treeBytes = image.allocation - image.mapped;
    return `    ${fill}: ${image.allocation}/${image.length}${treeBytes === 0 ? '' : `, of it ${treeBytes} for the map`}`;
  });
}

function describeComponents(truth: StateTruth): string[] {
  const report = truth.said;
  if (report === undefined) return [];
  return [`    host ${hostBytes(report)}`, ...report.components.map(({ name, bytes }) => `    + ${bytes} ${name}`)];
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(3)} %`;
}
