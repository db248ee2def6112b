import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { component } from '#wire';
import { aLink, anImage, anUnreadableImage } from '../../../tests/support/reports.ts';
import { imageLines } from './image.ts';
import { plainTheme } from './theme.ts';

const plain = (image: Parameters<typeof imageLines>[0], explain = false): string[] => imageLines(image, plainTheme(), { explain });

describe('imageLines()', () => {
  it('shows the figures in IEC units and in exact bytes', () => {
    expect(plain(anImage())).toEqual([
      '/srv/vm/web.qcow2',
      '  format          qcow2 (by its signature): version 3, 64 KiB clusters, 16-bit',
      '                  refcounts',
      '  capacity             40 GiB        42,949,672,960',
      '  length           192.63 KiB               197,248',
      '  allocation          196 KiB               200,704',
      '  commitment        40.01 GiB        42,956,451,840',
      '  expected          40.01 GiB        42,956,427,264',
      '  residual          40.01 GiB        42,956,251,136',
      '  max length        40.01 GiB        42,956,488,704',
      '  next snapshot   one more internal snapshot would add up to 8 KiB (8,192) to',
      '                  the commitment',
    ]);
  });

  it('explains the commitment as a sum that adds up', () => {
    const lines = plain(anImage(), true);
    const sum = lines.slice(lines.indexOf('  The commitment is made of:') + 1);
    expect(sum).toEqual([
      '           200,704      196 KiB  allocated now',
      '  + 42,949,672,960       40 GiB  unallocated guest data',
      '  +      5,242,880        5 MiB  L2 tables to allocate',
      '  +      1,310,720     1.25 MiB  refcount blocks and table to allocate',
      '  +         24,576       24 KiB  host: extent map growth (ext4)',
      '    --------------',
      '  = 42,956,451,840    40.01 GiB  commitment',
    ]);
    const numbers = sum.filter((line) => !line.includes('---')).map((line) => Number(/[\d,]+/.exec(line)?.[0].replaceAll(',', '')));
    expect(numbers.slice(0, -1).reduce((a, b) => a + b)).toBe(numbers.at(-1));
  });

  it('shows a negative component as a subtraction', () => {
    const image = anImage({
      components: [component('allocated', 1000), component('reused-clusters', -24)],
      commitment: 976,
    });
    expect(plain(image, true)).toContain('  -    24         24 B  allocated free clusters that are reused');
  });

  it('calls a guess a guess', () => {
    const lines = plain(anImage({ format: 'raw', formatSource: 'guess', details: {} }));
    expect(lines[1]).toBe('  format          raw (a guess: the file has no signature; declare the format');
  });

  it('reports an unreadable image, without figures', () => {
    expect(plain(anUnreadableImage('/srv/vm/secret.raw'))).toEqual([
      '/srv/vm/secret.raw',
      '  cannot be read  Cannot open file: permission denied',
    ]);
  });

  it('shows the figures known despite an error, and the others as unknown', () => {
    const lines = plain({ ...anUnreadableImage('/x'), length: 4096, allocation: 4096 });
    expect(lines).toContain('  length                4 KiB                 4,096');
    expect(lines).toContain('  commitment          unknown');
  });

  it('notes an open writer, and a missing map of the file', () => {
    const lines = plain(anImage({ openForWriting: true, method: 'stat' })).join('\n');
    expect(lines).toContain('in use          open for writing: the figures lag until the writer flushes');
    expect(lines).toMatch(/commitment .* \(from stat alone\)/);
  });

  it('shows the chain, and why a reference was not followed', () => {
    const refused = aLink({
      depth: 2,
      name: '/etc/shadow',
      path: null,
      format: null,
      declaredFormat: 'raw',
      status: 'refused',
      reason: 'outside of the tree',
      capacity: null,
      length: null,
      allocation: null,
    });
    const lines = plain(anImage({ chain: [aLink(), refused] }));
    expect(lines).toContain('  backing file    /srv/vm/base.qcow2 (qcow2, capacity 10 GiB, allocation 1 GiB)');
    expect(lines).toContain('  backing file    /etc/shadow (raw) — not opened: outside of the tree');
  });

  it('shows findings by severity', () => {
    const lines = plain(
      anImage({
        findings: [
          { level: 'info', code: 'A', message: 'Something to know.' },
          { level: 'critical', code: 'B', message: 'Something to fear.' },
          { level: 'warning', code: 'C', message: 'Something to watch.' },
        ],
      }),
    );
    expect(lines.slice(-3)).toEqual([
      '  CRITICAL  Something to fear. [B]',
      '  warning   Something to watch. [C]',
      '  note      Something to know. [A]',
    ]);
  });

  it('escapes hostile names, reasons and messages', () => {
    const evil = '\u001b[2J\nroot:\u202e';
    const lines = imageLines(
      anImage({
        path: `/srv/${evil}`,
        chain: [aLink({ name: evil, path: null, status: 'refused', reason: evil })],
        unbounded: [{ reason: evil, detail: evil }],
        findings: [{ level: 'info', code: evil, message: evil }],
        components: [{ ...component('blocks', 1), name: evil }],
        details: { [evil]: evil },
      }),
      plainTheme(),
      { explain: true },
    );
    // oxlint-disable-next-line no-control-regex
    for (const line of lines) expect(line).not.toMatch(/[\u0000-\u001f\u007f\u202e]/);
    expect(lines[0]).toBe('/srv/\\x1b[2J\\nroot:\\u202e');
  });

  it('keeps to 80 columns, except for a path', () => {
    const long = 'ein ziemlich langer Satz '.repeat(12);
    const image = anImage({
      chain: [aLink()],
      unbounded: [{ reason: 'r', detail: long }],
      findings: [{ level: 'warning', code: 'W', message: `${long}「設計図」${long}` }],
      components: [{ ...component('blocks', 9_007_199_254_740_991), name: long }],
      commitment: 9_007_199_254_740_991,
      openForWriting: true,
    });
    for (const line of plain(image, true)) expect(stringWidth(line)).toBeLessThanOrEqual(80);
  });

  it.each([40, 60, 80])('fits %i columns', (width) => {
    for (const line of imageLines(anImage({ method: 'stat', openForWriting: true }), plainTheme(width), { explain: false }))
      expect(stringWidth(line), line).toBeLessThanOrEqual(width);
  });

  it('uses colour only where the terminal has it', () => {
    const theme = { width: 80, terminal: true, paint: (style: string, text: string) => `<${style}>${text}</${style}>` };
    expect(imageLines(anImage(), theme, { explain: false })[0]).toBe('<strong>/srv/vm/web.qcow2</strong>');
  });
});
