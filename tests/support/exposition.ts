/**
 * A strict reader of the Prometheus text format 0.0.4, to judge what plimsoll writes: whatever the format does not allow,
 * or allows but no scraper wants (samples twice, families apart), throws.
 * Source: prometheus.io/docs/instrumenting/exposition_formats.
 */

export interface ReadSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly help: string;
  readonly type: string;
  readonly samples: ReadSample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const VALUE = /^(?:[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\+Inf|-Inf|NaN)$/;

export function readExposition(text: string): Map<string, Family> {
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let open: { name: string; family: Family } | undefined;
  const lines = text.split('\n').slice(0, -1);
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    if (line.startsWith('# HELP ')) {
      open = readHead(line, lines[index + 1] ?? '');
      if (families.has(open.name)) throw new Error(`family twice: ${open.name}`);
      families.set(open.name, open.family);
      index += 1;
    } else {
      const [name, sample] = readSample(line);
      if (name !== open?.name) throw new Error(`sample outside its family: ${line}`);
      const key = JSON.stringify([name, Object.entries(sample.labels).sort(([a], [b]) => (a < b ? -1 : 1))]);
      if (seen.has(key)) throw new Error(`sample twice: ${line}`);
      seen.add(key);
      open.family.samples.push(sample);
    }
  }
  for (const [name, { samples }] of families) if (samples.length === 0) throw new Error(`family without samples: ${name}`);
  return families;
}

/** The values of a metric, by the labels in `by` joined by spaces. */
export function valuesOf(families: Map<string, Family>, name: string, ...by: string[]): Record<string, number> {
  const samples = families.get(name)?.samples ?? [];
  return Object.fromEntries(samples.map(({ labels, value }) => [by.map((label) => labels[label] ?? '').join(' '), value]));
}

function readHead(help: string, type: string): { name: string; family: Family } {
  const [, name, text = ''] = new RegExp(`^# HELP (${NAME}) (.+)$`).exec(help) ?? [];
  const [, typeName, kind = ''] = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary|untyped)$`).exec(type) ?? [];
  if (name === undefined || typeName !== name) throw new Error(`not a head: ${help} / ${type}`);
  if (/\\(?![\\n])/.test(text.replaceAll('\\\\', ''))) throw new Error(`unknown escape: ${help}`);
  return { name, family: { help: text, type: kind, samples: [] } };
}

function readSample(line: string): [string, ReadSample] {
  const [, name, labels = '', value = ''] = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`, 's').exec(line) ?? [];
  if (name === undefined || !VALUE.test(value)) throw new Error(`not a sample: ${JSON.stringify(line)}`);
  return [name, { labels: readLabels(labels), value: value === '+Inf' ? Infinity : value === '-Inf' ? -Infinity : Number(value) }];
}

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  const one = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(,(?=.)|$)/sy;
  while (one.lastIndex < text.length) {
    const at = one.lastIndex;
    const [, name, value = ''] = one.exec(text) ?? [];
    if (name === undefined || name in labels) throw new Error(`not labels: ${JSON.stringify(text.slice(at))}`);
    labels[name] = value.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
  }
  return labels;
}
