/** A verdict for people: in words that can be forwarded. */
import { escapeForTerminal, escapeSentence, formatBytes, formatExact } from '#base';
import type { Verdict, VetReason, VetReport } from '#wire';
import { wrapAfter } from './text.ts';
import type { Style, Theme } from './theme.ts';

const VERDICTS: Readonly<Record<Verdict, { readonly word: string; readonly style: Style; readonly means: string }>> = {
  safe: { word: 'SAFE', style: 'good', means: 'nothing in it reaches outside of the file, and it has one meaning only' },
  refused: { word: 'REFUSED', style: 'danger', means: 'do not use it as a disk' },
  ambiguous: { word: 'AMBIGUOUS', style: 'warning', means: 'two readers could take it for two things: do not use it' },
};

const MARKS: Readonly<Record<VetReason['level'], { readonly mark: string; readonly style: Style }>> = {
  refuse: { mark: 'refuse   ', style: 'danger' },
  ambiguous: { mark: 'ambiguous', style: 'warning' },
  note: { mark: 'note     ', style: 'faint' },
};

const EXAMINED: Readonly<Record<VetReport['examined'], string>> = {
  tables: 'header and all tables',
  header: 'the header only',
  none: 'nothing could be read',
};

const LABEL = 12;

export function vetLines(report: VetReport, theme: Theme): string[] {
  const { word, style, means } = VERDICTS[report.verdict];
  const name = report.path === null ? 'standard input' : escapeForTerminal(report.path);
  return [
    theme.paint('strong', name),
    ...wrapAfter(`  ${word}: `, `${means}.`, theme.width).map((line) => line.replace(word, () => theme.paint(style, word))),
    ...report.reasons.flatMap((reason) => reasonLines(reason, theme)),
    ...fact('format', formatText(report), theme),
    ...fact('capacity', report.capacity === null ? 'not known' : sizeText(report.capacity), theme),
    ...fact('length', sizeText(report.length), theme),
    ...fact('examined', EXAMINED[report.examined], theme),
    ...(report.identity.sha256 === null ? [] : [`  ${'SHA-256'.padEnd(LABEL)}${report.identity.sha256}`]),
    ...nextLines(report, theme),
  ];
}

function reasonLines({ level, code, message, at }: VetReason, theme: Theme): string[] {
  const { mark, style } = MARKS[level];
  const place = at === undefined || message.includes('at byte') ? '' : ` At byte ${at}.`;
  const [first = '', ...others] = wrapAfter(`  ${mark}  `, escapeSentence(`${message}${place} [${code}]`), theme.width);
  return [first.replace(mark, () => theme.paint(style, mark)), ...others];
}

function formatText({ format, declared, details }: VetReport): string {
  const source = declared === null ? '' : ` (declared ${declared})`;
  const content = typeof details['content'] === 'string' ? `: ${details['content']}` : '';
  return escapeForTerminal(`${format ?? 'none that is read'}${source}${content}`);
}

function sizeText(bytes: number): string {
  return `${formatBytes(bytes)} (${formatExact(bytes)} bytes)`;
}

function nextLines({ next }: VetReport, theme: Theme): string[] {
  if (next === null) return [];
  return [
    ...fact('next', `give tools the format, so that none guesses: qemu-img info ${next.qemuImg.join(' ')} FILE`, theme),
    ...fact('libvirt', next.libvirt, theme),
  ];
}

function fact(name: string, text: string, theme: Theme): string[] {
  return wrapAfter(`  ${name.padEnd(LABEL)}`, text, theme.width);
}
