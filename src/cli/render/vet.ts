/** Renders a verdict, worded so that it can be forwarded. */
import stringWidth from 'string-width';
import { escapeForTerminal, escapeSentence, formatBytes, formatExact, shellWord } from '#base';
import type { Verdict, VetReason, VetReport } from '#wire';
import { wrapAfter } from './text.ts';
import type { Style, Theme } from './theme.ts';

const VERDICTS: Readonly<Record<Verdict, { readonly word: string; readonly style: Style; readonly means: string }>> = {
  safe: {
    word: 'SAFE TO ATTACH',
    style: 'good',
    means: 'to a guest, with the format below: it references no other file, its tables are valid, and it is unambiguous',
  },
  convert: {
    word: 'CONVERT ONLY',
    style: 'warning',
    means: 'copy it once into a clean image, with a sandboxed reader; do not attach this file to a guest',
  },
  'header-only': {
    word: 'HEADER ONLY',
    style: 'warning',
    means: 'the tables were not examined: vet the stored file before any use',
  },
  unrecognised: {
    word: 'NOT RECOGNISED',
    style: 'warning',
    means: 'the file has no sign of being a disk; attach it to a guest only as raw, with the format declared',
  },
  refused: { word: 'REFUSED', style: 'danger', means: 'do not use it as a disk' },
  ambiguous: { word: 'AMBIGUOUS', style: 'warning', means: 'it is ambiguous between formats: do not use it' },
};

const MARKS: Readonly<Record<VetReason['level'], { readonly mark: string; readonly style: Style }>> = {
  refuse: { mark: 'refuse   ', style: 'danger' },
  ambiguous: { mark: 'ambiguous', style: 'warning' },
  'header-only': { mark: 'header   ', style: 'warning' },
  unrecognised: { mark: 'unknown  ', style: 'warning' },
  convert: { mark: 'convert  ', style: 'warning' },
  note: { mark: 'note     ', style: 'faint' },
};

const EXAMINED: Readonly<Record<VetReport['examined'], string>> = {
  tables: 'header and all tables',
  header: 'the header only',
  none: 'nothing was readable',
};

const LABEL = 12;

export function vetLines(report: VetReport, theme: Theme): string[] {
  const { word, style } = VERDICTS[report.verdict];
  const means = meaningOf(report);
  const name = report.path === null ? 'standard input' : escapeForTerminal(report.path);
  return [
    theme.paint('strong', name),
    ...wrapAfter(`  ${word}: `, `${means}.`, theme.width).map((line) => line.replace(word, () => theme.paint(style, word))),
    ...report.reasons.flatMap((reason) => reasonLines(reason, theme)),
    ...fact('format', formatText(report), theme),
    ...fact('capacity', report.capacity === null ? 'unknown' : sizeText(report.capacity), theme),
    ...fact('length', sizeText(report.length), theme),
    ...fact('examined', EXAMINED[report.examined], theme),
    ...(report.identity.sha256 === null ? [] : [`  ${'SHA-256'.padEnd(LABEL)}${report.identity.sha256}`]),
    ...nextLines(report, theme),
    ...(report.use === 'refuse' ? [] : fact('never', 'mount it on a host: a verdict never makes that safe.', theme)),
  ];
}

function meaningOf({ verdict, use }: VetReport): string {
  if (verdict === 'unrecognised' && use === 'convert')
    return 'the file has no sign of being a disk, and the policy only allows copying it; do not attach this file to a guest';
  return VERDICTS[verdict].means;
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
  return escapeForTerminal(`${format ?? 'unsupported'}${source}${content}`);
}

function sizeText(bytes: number): string {
  return `${formatBytes(bytes)} (${formatExact(bytes)} bytes)`;
}

function nextLines({ next }: VetReport, theme: Theme): string[] {
  if (next === null) return [];
  const commands = next.convert?.commands ?? [['qemu-img', 'info', ...next.qemuImg, next.file]];
  return [
    ...fact(
      'next',
      next.convert === null ? 'declare the format to every tool, so that it is not guessed:' : 'convert it under limits:',
      theme,
    ),
    ...commandLines(commands, theme.width),
    ...(next.libvirt === null ? [] : fact('libvirt', next.libvirt, theme)),
  ];
}

/** The commands as one that can be pasted whole: joined with &&, and broken only between words, with a backslash. */
function commandLines(commands: readonly (readonly string[])[], width: number): string[] {
  const words = commands.flatMap((command, index) => [...(index === 0 ? [] : ['&&']), ...command.map(shellWord)]);
  const lines: string[] = [];
  let line = '   ';
  for (const word of words) {
    if (line.trim() !== '' && stringWidth(`${line} ${word} \\`) > width) {
      lines.push(`${line} \\`);
      line = '     ';
    }
    line = `${line} ${word}`;
  }
  return [...lines, line];
}

function fact(name: string, text: string, theme: Theme): string[] {
  return wrapAfter(`  ${name.padEnd(LABEL)}`, text, theme.width);
}
